"""The shape of TRL's unpaired preferences: a prompt, an answer, and whether it is a good one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from curate.hookspecs import hookimpl
from curate.sources.formats.base import Conversation, Format, RowError, spoken
from curate.sources.formats.messages import read_turns
from curate.sources.formats.preference import as_they_are, said, turns_in

CURATE_API = 1


class Unpaired(Format):
    """A prompt, an answer, and whether it is a good one: TRL's unpaired preferences.

    `format: auto` takes such rows for prompt-completion, which they are too.
    """

    name = "unpaired-preference"
    required = ("prompt", "completion", "label")
    turn_keys = None
    paired = True
    plain = True
    automatic = False

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns of prompt and completion."""
        if not isinstance(row.get("label"), bool):
            raise RowError("label", f"is {spoken(row.get('label'))}, not true or false")
        prompt = turns_in(row, "prompt", "user", read_turns)
        return [*prompt, *turns_in(row, "completion", "assistant", read_turns)]

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The same turns, and whether they are texts."""
        plain = all(isinstance(row[field], str) for field in ("prompt", "completion"))
        return Conversation(list(self.read(row)), plain=plain)

    def write(
        self,
        messages: Sequence[Mapping[str, Any]],  # noqa: ARG002 - the contract's
        tools: Sequence[Any] | None = None,  # noqa: ARG002 - the same
    ) -> dict[str, Any] | None:
        """Nothing: a conversation alone does not say whether its answer is a good one."""
        return None

    def rows(self, whole: Conversation) -> list[dict[str, Any]] | None:
        """The chosen answer with the label true, the rejected one with false."""
        if whole.rejected is None:
            return None
        prompt = whole.turns[: whole.answered]
        answers = {True: whole.turns[whole.answered :], False: whole.rejected}
        return [
            {
                "prompt": said(prompt) if whole.plain else prompt,
                "completion": said(turns) if whole.plain else turns,
                "label": label,
            }
            for label, turns in answers.items()
        ]

    def rewrite(
        self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Empty fields: whether a new answer is a good one nobody has said."""
        del row, messages
        return dict.fromkeys(self.fields)

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Lists in all rows, where one has lists."""
        fields = {"prompt": "user", "completion": "assistant"}
        if all(isinstance(row[field], str) for row in rows for field in fields):
            return rows
        return [
            row | {field: turns_in(row, field, who, as_they_are) for field, who in fields.items()}
            for row in rows
        ]


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Unpaired())
