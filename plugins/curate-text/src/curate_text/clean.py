"""`text.clean`: mends texts in place, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from curate.api import STILL_IN, Child, Context, ExpandStage, Params, common_start, counted

if TYPE_CHECKING:
    import polars as pl

Rule = Literal[
    "encoding",
    "whitespace",
    "html",
    "tags",
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

DEFAULT: tuple[Rule, ...] = ("encoding", "whitespace", "html")
"""What is done without `rules`: what mends. The others may take what a task is about."""

REGIONS = ("US", "CN")
"""Where phone numbers are from by default: the countries of the languages that are looked for."""

ROWS = ".rows"
"""After a name in the counts: the rows that it is in."""
LEFT = ".left"
"""After the name of a rule in the counts: what it would have redacted, and left in code."""

EQUAL = "equal answers"
"""In the counts: pairs whose answers are the same now, and were not."""

_NO_PAIR = "cleaned, chosen and rejected begin with nothing in common: there is no prompt"


class CleanParams(Params):
    """Parameters of `text.clean`."""

    rules: Annotated[
        list[Rule],
        Field(
            min_length=1,
            default_factory=lambda: list(DEFAULT),
            description="What is done: by default encoding, whitespace and html.",
        ),
    ]
    code: Annotated[
        Literal["leave", "redact"],
        Field(
            description="leave: code stays as it is; redact: rules that redact work inside it too."
        ),
    ] = "leave"
    regions: Annotated[
        list[str],
        Field(
            default_factory=lambda: list(REGIONS),
            description="Where phone numbers without a + are from: two letters each (ISO 3166-1).",
        ),
    ]

    @field_validator("rules")
    @classmethod
    def _once(cls, rules: list[Rule]) -> list[Rule]:
        if len(set(rules)) < len(rules):
            raise ValueError("a rule is named twice")
        return rules

    @field_validator("regions")
    @classmethod
    def _known(cls, regions: list[str]) -> list[str]:
        from phonenumbers import SUPPORTED_REGIONS

        for region in regions:
            if region not in SUPPORTED_REGIONS:
                raise ValueError(f"{region!r} is no region, as US and CN are")
        return regions


class Clean(ExpandStage):
    """Mends and redacts the turns of a conversation, in place of the row.

    Rules work in a fixed order, whatever the order in which they are named, again and again until
    nothing changes any more, so that cleaning what was cleaned changes nothing. A row of which
    nothing changes stays itself. The rejected answer of a preference is cleaned with the
    conversation that it belongs to. Code is left alone: fenced lines, paragraphs with a line that
    is indented or written like code, and what stands between backticks. So is the beginning of
    every line.

    For each rule the changes, what it left in code, and the rows of both are counted. A row that
    does not come to rest, which takes text made for it, fails.
    """

    name = "text.clean"
    version = 3
    Params: ClassVar[type[Params]] = CleanParams
    reads: ClassVar[tuple[str, ...]] = ("messages", "@rejected", "@seam")
    makes: int | None = 1
    params: CleanParams

    def in_place(self) -> bool:
        """Always: a cleaned row takes the place of the row."""
        return True

    def notes(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        """The rules that did something, or left something, each with its rows."""
        said = {"": "", LEFT: " left in code"}
        notes = [
            f"{rule}{words} {counts[rule + which]:,} in {counted(counts[rule + which + ROWS])}"
            for rule in RULES
            for which, words in said.items()
            if rule + which in counts
        ]
        notes += [
            f"{rule} left in column {column} in {counted(rows)}"
            for rule in RULES
            for name, rows in counts.items()
            for found, column in [name.split(STILL_IN, 1)] * (STILL_IN in name)
            if found == rule
        ]
        equal = [f"{EQUAL} {counted(counts[EQUAL])}"] if EQUAL in counts else []
        return (*notes, *equal)

    def expand(self, rows: pl.DataFrame, ctx: Context) -> Iterator[Child]:  # noqa: ARG002 - contract
        """Clean every row; those that change come back."""
        from curate_text.cleaning import clean

        rules = [rule for rule in RULES if rule in self.params.rules]
        for id, messages, rejected, seam in rows.select("id", *self.reads).iter_rows():
            old = [turn["content"] for turn in (*messages, *(rejected or ()))]
            common = seam == "common"
            told = [old[0] + answer for answer in old[1:]] if common else old
            cleaned = clean(
                told,
                rules,
                in_code=self.params.code == "redact",
                regions=self.params.regions,
                # between prompt and answer white space is part of what is trained on
                ends=[(at == 0, at > 0) for at in range(len(old))] if seam == "texts" else None,
            )
            new = cleaned.texts
            if common:
                end = common_start(*new)
                if not end:
                    yield Child((id,), replaces=True, error=_NO_PAIR)
                    continue
                new = [new[0][:end], *(text[end:] for text in new)]
            left = {f"{rule}{LEFT}": times for rule, times in cleaned.left.items()}
            counts = {**cleaned.changes, **left}
            counts |= {f"{name}{ROWS}": 1 for name in counts}
            if cleaned.texts == told:
                if counts:
                    yield Child((id,), counts=counts)
                continue
            turns = [
                {"role": turn["role"], "content": text}
                for turn, text in zip((*messages, *(rejected or ())), new, strict=True)
            ]
            made, answer = turns[: len(messages)], turns[len(messages) :]
            if rejected:
                same = made[-len(answer) :] == answer
                counts |= {EQUAL: 1} if same and messages[-len(answer) :] != rejected else {}
            yield Child(
                (id,),
                made,
                replaces=True,
                rejected=answer if rejected else None,
                removed=cleaned.removed,
                counts=counts,
            )
