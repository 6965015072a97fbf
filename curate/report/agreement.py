"""How the scores of one stage agree with one another. Heavy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.versions.open import Version

_FEWEST = 3
"""Rows that a rank correlation takes."""


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlations of the columns of a stage.

    Attributes:
        stage: Id of the stage.
        kind: Its name, such as `nait.alignment`.
        columns: The columns, without the stage's id.
        rows: Rows that have all of them.
        correlation: [n][n]; None where a column is the same for all rows.
    """

    stage: str
    kind: str
    columns: tuple[str, ...]
    rows: int
    correlation: tuple[tuple[float | None, ...], ...]


def agreements(version: Version) -> list[Agreement]:
    """The agreement of each scoring stage with several columns of fractional numbers."""
    kinds = {stage["id"]: stage for stage in version.manifest["stages"]}
    found = []
    for id, stage in kinds.items():
        columns = [
            column["name"]
            for column in version.manifest["columns"]
            if column["stage"] == id and column["published"] and column["kind"] == "number"
        ]
        if stage["verb"] != "score" or len(columns) < 2:
            continue
        scores = version.scores.select(columns).drop_nulls()
        if len(scores) < _FEWEST:
            continue
        ranks = np.stack([scores[name].rank("average").to_numpy() for name in columns])
        with np.errstate(invalid="ignore", divide="ignore"):  # a constant column has no spread
            values = np.corrcoef(ranks).tolist()
        found.append(
            Agreement(
                id,
                stage["stage"],
                tuple(name.removeprefix(f"{id}_") for name in columns),
                len(scores),
                tuple(tuple(v if v == v else None for v in row) for row in values),  # noqa: PLR0124 - NaN
            )
        )
    return found
