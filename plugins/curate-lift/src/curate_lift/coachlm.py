"""How often a rubric gives the expert's version of an example the higher mark.

Imported when the command runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.api import CurateError, Host
from curate_llm.scoring import sampled, scored

VERSIONS: Mapping[str, Mapping[str, str]] = {
    version: {
        "instruction": f"{word} Instruction",
        "input": f"{word} Input",
        "output": f"{word} Response",
    }
    for version, word in (("raw", "Raw"), ("expert", "Revised"))
}
"""The two versions of an example > Alpaca's fields and the columns of the data set."""


@dataclass(frozen=True)
class Verdict:
    """How the marks of two versions compare, for one part of the rubric.

    Args:
        part: Its name, or `total`.
        higher: Pairs of which the expert's version has more points.
        ties: Pairs with equal points.
        lower: Pairs of which it has fewer.
        gain: Points that it has more, on average.
    """

    part: str
    higher: int
    ties: int
    lower: int
    gain: float


@dataclass(frozen=True)
class Failure:
    """A version that could not be marked: the id of its pair, `raw` or `expert`, and why."""

    pair: str
    version: str
    error: str


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    Args:
        pairs: In the file, or the sample of it.
        unchanged: Pairs that the expert left as they were; they are not marked.
        failed: Pairs of which a version could not be marked.
        verdicts: Over the other pairs, the total first.
        failures: The versions that could not be marked.
        llm: What asking took, as a manifest records it.
    """

    pairs: int
    unchanged: int
    failed: int
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    llm: Mapping[str, Any]


def compare(
    host: Host,
    file: str,
    params: Mapping[str, Any],
    sample: int | None,
    seed: int,
    may_fail: int | None = None,
) -> Report:
    """Mark raw and expert versions by `lift.quality`, through the memo and the journal.

    Args:
        host: Core.
        file: With the columns of `VERSIONS`.
        params: Of the stage.
        sample: Pairs to take, by a seeded hash of their ids; None: all.
        seed: For the sample.
        may_fail: How many versions may stay without marks; None: a tenth of them, rounded up.

    Raises:
        CurateError: The file cannot be read, more versions fail than may, or the run has to stop.
    """
    wide = {
        version: host.examples({"path": file, "columns": dict(columns)})
        for version, columns in VERSIONS.items()
    }
    texts = ["@instruction", "@response"]
    pairs = (
        wide["raw"]
        .select("id", *texts)
        .join(wide["expert"].select("id", *texts), on="id", suffix=" expert", validate="1:1")
    )
    pairs = sampled(pairs, sample, seed)
    same = pl.all_horizontal(pl.col(text) == pl.col(f"{text} expert") for text in texts)
    changed = pairs.filter(~same)
    if changed.is_empty():
        raise CurateError(f"{file}: no pair differs between its two versions.")
    lines, places = list[dict[str, str]](), list[tuple[str, str]]()
    for version, columns in VERSIONS.items():
        of = wide[version].filter(pl.col("id").is_in(changed["id"].to_list()))
        for row in of.iter_rows(named=True):
            lines.append({field: row[column] for field, column in columns.items()})
            places.append((row["id"], version))
    names = [f"the {version} version of pair {pair}" for pair, version in places]
    scores, llm = scored(host, "lift.quality", params, lines, names, may_fail)
    known = pl.DataFrame(places, ["pair", "version"], orient="row")
    marked = pl.concat([known[scores["at"]], scores.drop("at")], how="horizontal")
    failed = marked.filter(pl.col("error").is_not_null()).sort("pair", "version")
    failures = tuple(Failure(*row) for row in failed.select("pair", "version", "error").rows())
    marks = marked.filter(pl.col("error").is_null())
    parts = [name for name in marks.columns if marks.schema[name] == pl.Int64]
    both = marks.filter(pl.col("version") == "raw").join(
        marks.filter(pl.col("version") == "expert"), on="pair", suffix=" expert"
    )
    verdicts = tuple(
        _verdict(part, both[part], both[f"{part} expert"])
        for part in sorted(parts, key=lambda part: part != "total")
    )
    unchanged = len(pairs) - len(changed)
    return Report(len(pairs), unchanged, len(changed) - len(both), verdicts, failures, llm)


def _verdict(part: str, raw: pl.Series, expert: pl.Series) -> Verdict:
    gain = expert - raw
    mean = float(gain.to_numpy().mean()) if len(gain) else 0.0
    return Verdict(part, int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum()), mean)
