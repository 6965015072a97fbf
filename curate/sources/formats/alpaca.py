"""The shape of Alpaca: instruction, input and output, with system and history where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from curate.hookspecs import hookimpl
from curate.sources.formats.base import Format, RowError, optional_text_of, text_of

if TYPE_CHECKING:
    import polars as pl

CURATE_API = 1


class Alpaca(Format):
    """One question and its answer in a row, earlier pairs in `history`."""

    name = "alpaca"
    required = ("instruction", "output")
    optional = ("input", "system", "history")
    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "instruction": ("question", "prompt", "query", "problem"),
        "input": ("context",),
        "output": ("response", "answer", "completion", "solution"),
    }

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """System, earlier pairs, the question (instruction, newline, input), the answer."""
        instruction = text_of(row, "instruction")
        given = optional_text_of(row, "input")
        asked = f"{instruction}\n{given}" if given else instruction
        turns = _pair(asked, text_of(row, "output"))
        if row.get("history"):
            turns = [*_history(row["history"]), *turns]
        system = optional_text_of(row, "system")
        return [{"role": "system", "content": system}, *turns] if system else turns

    def read_texts(self, texts: Mapping[str, pl.Series]) -> Sequence[tuple[str, pl.Series]] | None:
        """Question and answer, where the file has no more and every row has both."""
        import polars as pl

        asked, answered = texts.get("instruction"), texts.get("output")
        if asked is None or answered is None or {"history", "system"} & texts.keys():
            return None
        if asked.null_count() or answered.null_count():
            return None
        if "input" in texts:
            given = texts["input"]
            joined = pl.concat_str(asked, pl.lit("\n"), given)
            has_input = given.is_not_null() & (given != "")
            asked = pl.select(pl.when(has_input).then(joined).otherwise(asked)).to_series()
        return [("user", asked), ("assistant", answered)]

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """Pairs of user and assistant, after a system turn or none; no tools."""
        fields: dict[str, Any] = {}
        if tools or any(turn.get("tool_calls") for turn in messages):
            return None
        turns = list(messages)
        if turns and turns[0]["role"] == "system":
            fields["system"] = turns.pop(0)["content"]
        pairs = list(zip(turns[::2], turns[1::2], strict=False))
        speakers = [(one["role"], two["role"]) for one, two in pairs]
        if not pairs or len(turns) % 2 or set(speakers) != {("user", "assistant")}:
            return None
        asked, answered = pairs.pop()
        if pairs:
            fields["history"] = [[one["content"], two["content"]] for one, two in pairs]
        return fields | {
            "instruction": asked["content"],
            "input": "",
            "output": answered["content"],
        }

    def rewrite_in_place(
        self,
        row: Mapping[str, Any],
        messages: Sequence[Mapping[str, Any]],
        rejected: Sequence[Mapping[str, Any]] | None = None,  # noqa: ARG002 - it has none
    ) -> dict[str, Any]:
        """The question in instruction and input as in the other row, where that can be told.

        It can where one of both is still there as it was, or where the question has as many lines.
        """
        fields = self.rewrite(row, messages)
        was, given, asked = row.get("instruction"), row.get("input"), fields["instruction"]
        if isinstance(asked, str) and isinstance(was, str) and isinstance(given, str) and given:
            fields["instruction"], fields["input"] = _parted(asked, was, given)
        return fields


def _parted(asked: str, was: str, given: str) -> tuple[str, str]:
    """A question as instruction and input, which joined by a newline are the question."""
    if asked.endswith(f"\n{given}"):
        return asked[: -len(given) - 1], given
    if asked.startswith(f"{was}\n"):
        return was, asked[len(was) + 1 :]
    lines, first = asked.split("\n"), was.count("\n") + 1
    if len(lines) == first + given.count("\n") + 1:
        return "\n".join(lines[:first]), "\n".join(lines[first:])
    return asked, ""


def _pair(asked: str, answered: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def _history(history: Any) -> list[dict[str, str]]:
    turns = []
    for pair in history if isinstance(history, list) else [history]:
        match pair:
            case [str(asked), str(answered)]:
                turns += _pair(asked, answered)
            case _:
                raise RowError("history", "is not a list of pairs of texts")
    return turns


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Alpaca())
