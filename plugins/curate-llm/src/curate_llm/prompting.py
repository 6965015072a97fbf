"""What the stages share: where the prompt comes from, and what it is given besides texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from curate.api import CurateError, InputFile, LlmParams, Prompt, Reads
from curate_llm.fields import FieldParams


class PromptParams(LlmParams):
    """Parameters of stages that ask by a prompt of the recipe's."""

    prompt: Annotated[
        str | None, Field(description="The prompt, a jinja2 template, in the recipe itself.")
    ] = None
    template: Annotated[
        str | None,
        InputFile(),
        Field(description="A jinja2 file in its place, and in that of a preset's prompt."),
    ] = None
    columns: Annotated[
        list[str],
        Reads("plain"),
        Field(description="Columns that the prompt is given besides, as `row`."),
    ] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _own_template(cls, given: object) -> object:
        """A file takes the place of a preset's prompt; this runs before the preset fills in."""
        if isinstance(given, Mapping) and "template" in given and "prompt" not in given:
            return {"prompt": None, **given}
        return given

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.template is None):
            presets = " or a `preset`" if self.presets else ""
            raise ValueError(
                f"give one prompt: `prompt`, `template`{presets}"
                if self.prompt is None
                else "`prompt` and `template` are two prompts: leave one of them out"
            )
        return self

    def asked(self) -> Prompt:
        """The prompt.

        Raises:
            CurateError: Its file cannot be read.
        """
        if self.template is not None:
            return Prompt.of_file(self.template)
        return Prompt("prompt", self.prompt or "")

    def check_named(self, fields: Mapping[str, FieldParams], question: str) -> None:
        """Refuse a prompt that leaves the model to guess what the fields of its answer are called.

        Args:
            fields: Of the answer.
            question: The prompt, rendered.

        Raises:
            CurateError: A field that has to be there is not named, and the endpoint is not told.
        """
        missing = [
            f"'{name}'"
            for name, field in fields.items()
            if not field.optional and not re.search(rf"(?<!\w){name}(?!\w)", question)
        ]
        if missing and self.llm.structured != "json_schema":
            raise CurateError(
                f"The prompt does not name {' nor '.join(missing)}, which the answer needs.",
                "Write `{{ form }}` where it says what to answer with.",
            )

    def example(self) -> dict[str, Any]:
        """What `row` may look like, to try a prompt on."""
        return {"row": dict.fromkeys(self.columns, "1")} if self.columns else {}

    def besides(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a row, for the prompt."""
        return {"row": {name: row[name] for name in self.columns}} if self.columns else {}
