"""Core for the commands of plugins; nothing heavy is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.host import Apart, OpenVersion, RecipeStage

if TYPE_CHECKING:
    import polars as pl


class PluginHost:
    """See `curate.host.Host`."""

    def fit(self, stage: str, params: Mapping[str, Any], *, seed: int) -> Apart:
        """See `curate.host.Host.fit`."""
        from curate.run import apart

        return apart.fit(stage, params, seed=seed)

    def score(
        self,
        stage: str,
        params: Mapping[str, Any],
        pool: Mapping[str, Any],
        *,
        may_fail: int = 0,
        account: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> pl.DataFrame:
        """See `curate.host.Host.score`."""
        from curate.run import apart

        return apart.score(stage, params, pool, may_fail, account)

    def version(self, name: str | Path, out: str | Path = "curated") -> OpenVersion:
        """See `curate.host.Host.version`."""
        from curate.versions.open import open_version

        return open_version(name, out)

    def stages(
        self, recipe: str | Path, sets: Sequence[str] = (), *, prefix: str
    ) -> tuple[RecipeStage, ...]:
        """See `curate.host.Host.stages`."""
        from curate.plugins.registry import get_registry
        from curate.run.check import stages_of

        return tuple(
            RecipeStage(
                step.id,
                step.stage,
                step.where.expr().fill_null(False) if step.where else None,
                step.where.columns if step.where else (),
            )
            for step in stages_of(recipe, sets, get_registry(), prefix)
        )

    def examples(self, table: str | Path | Mapping[str, Any]) -> pl.DataFrame:
        """See `curate.host.Host.examples`."""
        from curate.run import apart

        return apart.examples(table)

    def service(self, name: str) -> Any:
        """See `curate.host.Host.service`."""
        from curate.plugins.registry import get_registry

        return get_registry().service(name)
