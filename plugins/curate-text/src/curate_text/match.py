"""`text.match`: which of a list of named patterns a text holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, model_validator

from curate.api import (
    Context,
    CurateError,
    Depends,
    InputFile,
    Output,
    Params,
    ScoreStage,
    TextChoice,
    counted,
)
from curate_text import patternlists
from curate_text.patternlists import LISTS, ListName, PatternName, Placed

if TYPE_CHECKING:
    import polars as pl

OWN = "own"


def _searched(pattern: str) -> str:
    try:
        patternlists.searched(pattern)
    except CurateError as error:
        raise ValueError(f"the pattern {error.message}\n{error.remedy}") from None
    return pattern


class MatchParams(Params):
    """Parameters of `text.match`."""

    text: Annotated[TextChoice, Field(description="Which text of an example is searched.")] = (
        "response"
    )
    lists: Annotated[
        list[ListName],
        Field(description="The lists of the plugin that are searched for, a column each."),
    ] = Field(default_factory=lambda: list(LISTS))
    patterns: Annotated[
        dict[PatternName, Annotated[str, AfterValidator(_searched)]],
        Field(description="Patterns of one's own, name > regular expression: the column `own`."),
    ] = Field(default_factory=dict)
    file: Annotated[
        str | None,
        InputFile(),
        Field(description="A file of further patterns of one's own."),
    ] = None

    @model_validator(mode="after")
    def _something(self) -> MatchParams:
        if not (self.lists or self.patterns or self.file):
            raise ValueError("nothing is searched for: name `lists`, `patterns` or a `file`")
        if len(set(self.lists)) < len(self.lists):
            raise ValueError("a list is named twice")
        return self


class Match(ScoreStage):
    """Search texts for named patterns, in time linear in the text.

    Each list is a column that is true where a text holds one of its patterns. `matched` says how
    many patterns the text holds, `patterns` names them, as `refusal.as_an_ai`, in the order of the
    lists, separated by spaces; an empty text where there is none.
    """

    name = "text.match"
    version = 1
    chunk = 4096
    Params = MatchParams
    params: MatchParams

    @property
    def _lists(self) -> list[str]:
        named: list[str] = [name for name in LISTS if name in self.params.lists]
        return named + [OWN] * bool(self.params.patterns or self.params.file)

    def outputs(self) -> Mapping[str, Output]:
        """A truth for each list, a number and names for all."""
        flags = {name: Output("boolean", flag=True) for name in self._lists}
        return {**flags, "matched": Output("integer"), "patterns": Output("string")}

    def depends(self, output: str) -> Depends:
        """Lists of the plugin depend on nothing but themselves."""
        own = ("patterns", "file")
        params = {OWN: own, "matched": ("lists", *own), "patterns": ("lists", *own)}
        return Depends(params=params.get(output, ()), fits=())

    def fingerprints(self) -> Mapping[str, str]:
        """Of the lists that come with the plugin."""
        return patternlists.fingerprints()

    def check_files(self) -> None:
        """Refuse files without patterns, a name twice, and what cannot be searched for."""
        faults = []
        for placed in self._filed():
            try:
                if placed.pattern.name in self.params.patterns:
                    raise CurateError(
                        f"{placed.said} stands in the recipe's `patterns` too",
                        "Name one of the two otherwise.",
                    )
                patternlists.tried(placed)
            except CurateError as error:
                faults.append(error)
        if len(faults) == 1:
            raise faults[0]
        if faults:
            said = [error.message for error in faults]
            remedies = dict.fromkeys(error.remedy for error in faults)
            raise CurateError(
                f"{counted(len(faults), 'pattern')} of {self.params.file} cannot be used",
                "\n  ".join([*said, *remedies]),
            )

    def _filed(self) -> list[Placed]:
        return patternlists.read(self.params.file) if self.params.file else []

    def _placed(self) -> Iterator[tuple[str, Placed]]:
        for name in LISTS:
            if name in self.params.lists:
                yield from ((name, placed) for placed in patternlists.shipped(name))
        for placed in patternlists.inline(self.params.patterns) + self._filed():
            yield OWN, placed

    @cached_property
    def _compiled(self) -> list[tuple[str, str, str]]:
        """List, name and pattern of each."""
        return [
            (name, placed.pattern.name, patternlists.tried(placed))
            for name, placed in self._placed()
        ]

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Search for what is wanted."""
        import polars as pl

        text = pl.col(f"@{self.params.text}")
        every = {"matched", "patterns"} & set(ctx.wanted)
        wanted = [each for each in self._compiled if every or each[0] in ctx.wanted]
        found = {f"{of}.{name}": text.str.contains(at) for of, name, at in wanted}
        made: dict[str, pl.Expr] = {
            name: pl.any_horizontal(key for key in found if key.startswith(f"{name}."))
            for name in self._lists
            if name in ctx.wanted
        }
        if "matched" in every:
            made["matched"] = pl.sum_horizontal(*found).cast(pl.Int64)
        if "patterns" in every:
            named = [pl.when(pl.col(key)).then(pl.lit(key)) for key in found]
            made["patterns"] = pl.concat_str(named, separator=" ", ignore_nulls=True)
        return rows.select("id", **found).select("id", **made)
