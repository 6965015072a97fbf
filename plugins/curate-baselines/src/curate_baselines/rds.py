"""`baselines.rds`: nearness to samples of what is wanted (RDS+)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from curate.api import (
    Context,
    CurateError,
    Output,
    Params,
    Reads,
    Reference,
    ScoreStage,
    vectors_of,
)

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

SCORE = "score"


class RDSParams(Params):
    """Parameters of `baselines.rds`."""

    targets: Annotated[
        dict[str, Reference],
        Field(description="Target: samples of it. Each gives one column.", min_length=1),
    ]
    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in self.targets:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == SCORE:
                raise ValueError(
                    f"'{name}' cannot name a target: use a-z, 0-9 and underscores, a letter "
                    f"first, and not '{SCORE}'"
                )
        return self


class RDS(ScoreStage):
    """The order in which RDS+ takes rows, and each row's cosine to the nearest sample of a target.

    RDS+ (Ivison et al., arXiv 2503.01807) embeds pool and samples by the position-weighted mean of
    a model's last hidden states (its appendix G.2; `embed.sentence` with `pooling: weighted`),
    compares them by cosine, and goes round until there are enough rows (section 3.1):

    - One target: its samples take turns (algorithm 1).
    - Several: the targets take turns, each by S'[t, d], the highest cosine of row d to any sample
      of t (algorithm 1 over S').
    - Who has a turn takes the row that stands highest for it of those that it has not taken itself.
      Where another took that row before, the turn is lost: rows count once, and in the paper's
      algorithm a row is struck off the list of its taker only (so does the authors' code,
      hamishivi/automated-instruction-selection, `get_top_influences`).

    `score` is 1 for the row taken first, 1 - 1/n for the next and 1/n for the last of n rows, so
    that `core.top` by it takes the rows that RDS+ takes, for every size. `<target>` is the cosine.

    Targets take turns in the order of their names, samples in that of their vectors' numbers, ties
    go to the smaller id; the paper has them as they stand in files.
    """

    name = "baselines.rds"
    version = 1
    scope = "pool"
    Params: ClassVar[type[Params]] = RDSParams
    params: RDSParams

    def outputs(self) -> Mapping[str, Output]:
        """A cosine for each target, and the order."""
        return {**{name: Output("number") for name in self.params.targets}, SCORE: Output("number")}

    def fits(self) -> Mapping[str, Reference]:
        """One part for each target."""
        return self.params.targets

    def fit_depends(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - the same for all parts
        """Nothing but what is read: another target leaves this one alone."""
        return ()

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002 - the contract's
        """Keep the vectors of a target's samples, in the order of their numbers.

        Returns:
            `vectors`, float32 [samples, width].

        Raises:
            CurateError: There are no samples, or one has no finite vector.
        """
        import numpy as np

        if rows.is_empty():
            raise CurateError(
                f"Stage '{self.id}': the target '{part}' has no samples.",
                "Give it a table with rows.",
            )
        vectors = vectors_of(rows, self.params.column, self.id)
        # not by id: a fit is remembered by what it reads, and equal vectors are all alike
        return {"vectors": vectors[np.lexsort(vectors.T[::-1])]}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Score all rows.

        Raises:
            CurateError: A row has no finite vector.
        """
        import numpy as np
        import polars as pl

        from curate_baselines.round_robin import cosines, nearest, turns

        ordered = rows.sort("id")
        vectors = vectors_of(ordered, self.params.column, self.id)
        samples = {name: ctx.fits[name]["vectors"] for name in sorted(self.params.targets)}
        found = {name: nearest(vectors, each) for name, each in samples.items()}
        if len(samples) == 1:
            (only,) = samples.values()
            taken = turns(cosines(vectors, only), len(only))
        else:
            taken = turns(found.values(), len(samples))
        place = np.empty(len(taken), dtype=np.int64)
        place[np.argsort(taken)] = np.arange(len(taken))
        score = (len(taken) - place) / max(len(taken), 1)
        columns = {name: pl.Series(each) for name, each in found.items()}
        return ordered.select("id").with_columns(**columns, **{SCORE: pl.Series(score)})
