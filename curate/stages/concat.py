"""`core.concat`: several tables become one, with every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from curate.api import Context, Decisions, FuseStage

if TYPE_CHECKING:
    import polars as pl


class Concat(FuseStage):
    """Join tables into one that holds every row of each."""

    name = "core.concat"
    version = 1

    def fuse(self, tables: Mapping[str, pl.DataFrame], ctx: Context) -> Decisions:  # noqa: ARG002 - the signature is the verb's
        """Keep everything."""
        import polars as pl

        ids = pl.concat([table.select("id") for table in tables.values()])
        return Decisions(ids.with_columns(keep=pl.lit(value=True)))
