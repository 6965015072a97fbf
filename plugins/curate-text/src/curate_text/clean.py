"""`text.clean`: mends texts in place, rule by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from curate.api import Child, Context, ExpandStage, Params, counted

if TYPE_CHECKING:
    import polars as pl

Rule = Literal[
    "encoding",
    "whitespace",
    "html",
    "punctuation",
    "links",
    "credentials",
    "email",
    "card",
    "ip",
    "phone",
]

RULES: tuple[Rule, ...] = get_args(Rule)
"""In the order in which they work."""

ASKED: tuple[Rule, ...] = ("punctuation", "links")
"""Those that change text with nothing wrong in it: only where they are named."""

DEFAULT: tuple[Rule, ...] = tuple(rule for rule in RULES if rule not in ASKED)
"""What is done without `rules`."""

ROWS = ".rows"
"""After the name of a rule: the rows that it changed."""


class CleanParams(Params):
    """Parameters of `text.clean`."""

    rules: Annotated[
        list[Rule],
        Field(
            min_length=1,
            default_factory=lambda: list(DEFAULT),
            description="What is done; all but punctuation and links by default.",
        ),
    ]
    code: Annotated[
        Literal["leave", "redact"],
        Field(
            description="leave: code stays as it is; redact: rules that redact work inside it too."
        ),
    ] = "leave"

    @field_validator("rules")
    @classmethod
    def _once(cls, rules: list[Rule]) -> list[Rule]:
        if len(set(rules)) < len(rules):
            raise ValueError("a rule is named twice")
        return rules


class Clean(ExpandStage):
    """Mends and redacts the turns of a conversation, in place of the row.

    Rules work in a fixed order, whatever the order in which they are named, again and again until
    nothing changes any more, so that cleaning what was cleaned changes nothing. A row of which
    nothing changes stays itself. Code is left alone: fenced lines, paragraphs with a line that is
    indented or written like code, and what stands between backticks. So is the beginning of every
    line.

    For each rule the changes and the rows that it changed are counted. A row that does not come to
    rest, which takes text made for it, fails.
    """

    name = "text.clean"
    version = 1
    Params: ClassVar[type[Params]] = CleanParams
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    makes: int | None = 1
    params: CleanParams

    def in_place(self) -> bool:
        """Always: a cleaned row takes the place of the row."""
        return True

    def notes(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        """The rules that did something, each with its rows."""
        return tuple(
            f"{rule} {counts[rule]:,} in {counted(counts[rule + ROWS])}"
            for rule in RULES
            if rule in counts
        )

    def expand(self, rows: pl.DataFrame, ctx: Context) -> Iterator[Child]:  # noqa: ARG002 - contract
        """Clean every row; those that change come back."""
        for id, messages in rows.select("id", "messages").iter_rows():
            made, changes = self._cleaned(messages)
            if made != messages:
                rows_of = {f"{name}{ROWS}": 1 for name in changes}
                yield Child((id,), made, replaces=True, counts={**changes, **rows_of})

    def _cleaned(
        self, messages: Sequence[Mapping[str, str]]
    ) -> tuple[list[dict[str, str]], Counter[str]]:
        from curate_text.cleaning import clean

        rules = [rule for rule in RULES if rule in self.params.rules]
        texts, changes = clean(
            [turn["content"] for turn in messages], rules, in_code=self.params.code == "redact"
        )
        turns = [
            {"role": turn["role"], "content": text}
            for turn, text in zip(messages, texts, strict=True)
        ]
        return turns, changes
