"""Core for the commands of plugins; nothing heavy is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curate.host import Apart

if TYPE_CHECKING:
    import polars as pl


class PluginHost:
    """See `curate.host.Host`."""

    def fit(self, stage: str, params: Mapping[str, Any], *, seed: int) -> Apart:
        """See `curate.host.Host.fit`."""
        from curate.run import apart

        return apart.fit(stage, params, seed=seed)

    def score(self, stage: str, params: Mapping[str, Any], pool: Mapping[str, Any]) -> pl.DataFrame:
        """See `curate.host.Host.score`."""
        from curate.run import apart

        return apart.score(stage, params, pool)

    def service(self, name: str) -> Any:
        """See `curate.host.Host.service`."""
        from curate.plugins.registry import get_registry

        return get_registry().service(name)
