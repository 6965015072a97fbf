"""Opening a published version; nothing is read before it is asked for."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, UsageError
from curate.sources.published import datasets_of, find_version, known_dataset, read_manifest
from curate.versions.funnel import funnel
from curate.versions.text import one_line

if TYPE_CHECKING:
    import datasets
    import polars as pl

    from curate.versions.export import Exported

__all__ = ["Version", "datasets_of", "known_dataset", "open_version"]


class Version:
    """One version of a dataset, as it lies on disk.

    Attributes:
        path: Its folder.
        manifest: Books, stages, sources and environment; see `manifest.json`.
        name: The dataset.
        version: Such as `v3`, or `preview`.
        digest: Hex sha256 over rows, ledger, inputs and recipe.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a version by its folder; raises CurateError where that holds no manifest."""
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        self.name: str = self.manifest["name"]
        self.version: str = self.manifest["version"]
        self.digest: str = self.manifest["digest"]

    def dataset(self) -> datasets.Dataset:
        """The kept rows as a Hugging Face dataset.

        Raises:
            CurateError: The package `datasets` is not installed.
        """
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise CurateError(
                f"A datasets.Dataset needs the package 'datasets': {error}",
                "pip install 'curate-data[hub]', or take .frame().",
            ) from error
        dataset: datasets.Dataset = load_dataset(str(self.path), split="train")
        return dataset

    def frame(self) -> pl.DataFrame:
        """The kept rows in their order: the framework's columns, then the original ones."""
        return self._read(*sorted((self.path / "data").iterdir()))

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """The fate of every example ever seen, one row each."""
        return self._read(self.path / "ledger.parquet")

    @cached_property
    def scores(self) -> pl.DataFrame:
        """`id` and the score columns, for rows that were dropped too."""
        return self._read(self.path / "scores.parquet")

    @cached_property
    def dropped(self) -> pl.DataFrame | None:
        """Readable rows that were not kept, whole; None where the recipe leaves them out."""
        file = self.path / "dropped.parquet"
        return self._read(file) if file.exists() else None

    def export(
        self,
        to: str | Path,
        format: str,
        *,
        scores: bool = False,
        provenance: bool = False,
        columns: Sequence[str] = (),
        skip: bool = False,
    ) -> Exported:
        """Write the kept rows as training data; as `curate export`, without entries for trainers.

        Args:
            to: A .jsonl (also .gz, .zst) or .parquet file, or a folder; never over a file.
            format: Name of the row shape, such as `messages`.
            scores: Add the score columns.
            provenance: Add id, source, origin, generator, license, ability and parents.
            columns: Add these columns.
            skip: Leave out rows that the shape cannot say.

        Raises:
            CurateError: The file is there already, there is no such format or column, or the
                shape cannot say a row.
        """
        from curate.versions.export import export, target

        file = target(self, Path(to), folder=str(to).endswith("/"))
        return export(
            self,
            file,
            format,
            scores=scores,
            provenance=provenance,
            columns=columns,
            skip=skip,
        )

    def explain(self, id: str) -> dict[str, Any]:
        """What became of one example: its ledger row, and its scores under `scores`.

        Raises:
            CurateError: No example has this id.
        """
        import polars as pl

        rows = self.ledger.filter(pl.col("id") == id).to_dicts()
        if not rows:
            raise UsageError(
                f"{self.name}@{self.version} has seen no example with the id '{one_line(id)}'.",
                "Ids are in the column `id` of .frame(), .dropped and .ledger.",
            )
        scores = self.scores.filter(pl.col("id") == id).drop("id").to_dicts()
        return {**rows[0], "scores": scores[0] if scores else {}}

    def _read(self, *files: Path) -> pl.DataFrame:
        import polars as pl

        return pl.read_parquet(list(files), glob=False, hive_partitioning=False)

    def __repr__(self) -> str:
        books = self.manifest["books"]
        seen = books["sources"] + books["created"]
        return (
            f"<curate version {self.name}@{self.version}: {books['kept']:,} of {seen:,} examples "
            f"kept, {self.path}>"
        )

    def _repr_html_(self) -> str:
        """The funnel as a table, for notebooks."""
        rows = [
            (step.id, f"{step.verb} {step.stage}", f"{step.entered:,}", f"{step.out:,}", step.why())
            for step in funnel(self.manifest)
        ]
        head = "".join(f"<th>{name}</th>" for name in ("stage", "does", "in", "out", "why"))
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(one_line(cell))}</td>' for cell in row)}</tr>"
            for row in rows
        )
        title = html.escape(repr(self))
        return f"<p><code>{title}</code></p><table><tr>{head}</tr>{body}</table>"


def open_version(name: str | Path, root: str | Path = "curated") -> Version:
    """Open a version.

    Args:
        name: `NAME@vN`, `NAME@preview`, `NAME` (its latest version), or the path of a version's
            folder (a `Path`, or text with a slash in it).
        root: Where versions live.

    Raises:
        UsageError: There is no such dataset or version.
        CurateError: The version is damaged.
    """
    return Version(find_version(name, Path(root)))
