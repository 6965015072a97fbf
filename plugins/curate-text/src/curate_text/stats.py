"""`text.stats`: numbers about a text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from curate.api import Context, Depends, InputFile, Output, Params, ScoreStage, TextChoice
from curate_text import wordlists
from curate_text.wordlists import Language

if TYPE_CHECKING:
    import polars as pl

Name = Literal[
    "characters",
    "words",
    "lines",
    "mean_line",
    "longest_line",
    "alnum",
    "letters",
    "special",
    "upper",
    "char_repetition",
    "word_repetition",
    "stopwords",
    "flagged",
]
NAMES: tuple[Name, ...] = get_args(Name)
WHOLE = ("characters", "words", "lines", "longest_line")
"""Outputs that count; the others are shares, and an average."""

_DEPENDS: Mapping[str, tuple[str, ...]] = {
    "char_repetition": ("char_n",),
    "word_repetition": ("word_n",),
    "stopwords": ("language", "stopwords"),
    "flagged": ("language", "flagged"),
}


class StatsParams(Params):
    """Parameters of `text.stats`."""

    text: Annotated[TextChoice, Field(description="Which text of an example is measured.")] = "both"
    outputs: Annotated[
        list[Name] | None,
        Field(min_length=1, description="The columns wanted; all where it is not given."),
    ] = None
    char_n: Annotated[
        int, Field(ge=1, le=1000, description="Characters of a run that may be repeated.")
    ] = 10
    word_n: Annotated[
        int, Field(ge=1, le=1000, description="Words of a run that may be repeated.")
    ] = 10
    language: Annotated[
        Language, Field(description="Whose lists of words are used, where no file is given.")
    ] = "en"
    stopwords: Annotated[
        str | None,
        InputFile(),
        Field(description="A file of stop words, one a line, in place of the language's."),
    ] = None
    flagged: Annotated[
        str | None,
        InputFile(),
        Field(description="A file of flagged words, one a line, in place of the language's."),
    ] = None

    @field_validator("outputs")
    @classmethod
    def _once(cls, outputs: list[Name] | None) -> list[Name] | None:
        if outputs and len(set(outputs)) < len(outputs):
            raise ValueError("a column is named twice")
        return outputs


class Stats(ScoreStage):
    r"""Count what a text is made of.

    `@` stands for the text chosen, c for a Unicode code point, and an empty text has 0 everywhere.

    - `characters`: code points.
    - `lines`, `longest_line`, `mean_line`: as `str.splitlines` cuts them; characters of a line
      without what ends it, the most and on average.
    - `alnum`: letters and digits (`str.isalnum`), of all characters.
    - `letters`: letters (`str.isalpha`), of all characters.
    - `special`: characters that are neither of these, nor marks (Unicode's M), nor white space
      (`str.isspace`), of all characters.
    - `upper`: upper-case letters (`str.isupper`), of all letters (`str.isalpha`).
    - `words`: letters and digits in a row, each with the marks behind it; an apostrophe or hyphen
      between two of them is inside the word. Each Han or kana character is a word by itself.
      Words are compared in lower case, one code point at a time.
    - `char_repetition`: of all runs of `char_n` characters that the text has, one beginning at each
      character, the share of those that are among the most frequent: of d different runs the
      floor(sqrt(d)) most frequent ones, as far as they occur more than once.
    - `word_repetition`: of all runs of `word_n` words the share of those that occur more than once.
    - `stopwords`, `flagged`: words that belong to an entry of the list, of all words. An entry of
      several words is found where they follow one another.
    """

    name = "text.stats"
    version = 1
    chunk = 4096
    Params = StatsParams
    params: StatsParams

    def outputs(self) -> Mapping[str, Output]:
        """What is wanted, in the order of the table."""
        wanted = NAMES if self.params.outputs is None else self.params.outputs
        kinds: dict[bool, Output] = {True: Output("integer"), False: Output("number")}
        return {name: kinds[name in WHOLE] for name in NAMES if name in wanted}

    def depends(self, output: str) -> Depends:
        """Only what bears on the number; which text it was is seen in its content."""
        return Depends(params=_DEPENDS.get(output, ()), fits=())

    def fingerprints(self) -> Mapping[str, str]:
        """Of the lists that come with the plugin."""
        return wordlists.fingerprints()

    def check_files(self) -> None:
        """Refuse lists without a word."""
        for name in self._lists:
            self._entries(name)

    @property
    def _lists(self) -> list[str]:
        return [name for name in ("stopwords", "flagged") if name in self.outputs()]

    def _entries(self, name: str) -> list[str]:
        own: str | None = getattr(self.params, name)
        return wordlists.entries(own or wordlists.shipped(name, self.params.language))

    @cached_property
    def _hashed(self) -> dict[str, Sequence[Any]]:
        from curate_text.measures import entries_of

        return {name: entries_of(self._entries(name)) for name in self._lists}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Count what is wanted, many texts at once, on all processors."""
        import numpy as np
        import polars as pl

        from curate_text.characters import Texts, pieces
        from curate_text.measures import Measures

        if rows.is_empty():
            kinds = {name: pl.Int64 if name in WHOLE else pl.Float64 for name in ctx.wanted}
            return pl.DataFrame(schema={"id": pl.String, **kinds})
        column = rows[f"@{self.params.text}"]
        lengths = column.str.len_chars().cast(pl.Int64).to_numpy()
        lists, params = self._hashed, self.params

        def measured(part: slice) -> list[Any]:
            texts = Texts.of(column[part].to_list(), lengths[part])
            measures = Measures(texts, params.char_n, params.word_n, lists)
            return [getattr(measures, name)() for name in ctx.wanted]

        with ThreadPoolExecutor(_threads()) as threads:  # numpy works without the GIL
            parts = list(threads.map(measured, pieces(lengths)))
        return rows.select("id").with_columns(
            pl.Series(name, np.concatenate(values))
            for name, values in zip(ctx.wanted, zip(*parts, strict=True), strict=True)
        )


def _threads() -> int:
    """As many as OpenMP would take: a worker is told a part of the processors.

    The variable may hold a number for each level (`4,2`); what is no number above 0 does not count.
    """
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    told = int(said) if said.isdecimal() else 0
    return told or os.cpu_count() or 1
