"""Opening a published version; nothing is read before it is asked for."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, UsageError
from curate.printing import one_line
from curate.sources.published import (
    damaged,
    datasets_of,
    find_version,
    known_dataset,
    read_manifest,
    shards_of,
    versions_of,
)
from curate.versions.funnel import funnel
from curate.versions.splits import data_files, splits_of

if TYPE_CHECKING:
    import datasets
    import polars as pl

    from curate.versions.export import Exported
    from curate.versions.reproduce import Reproduced
    from curate.versions.verify import Verified

__all__ = ["Version", "datasets_of", "find_version", "known_dataset", "open_pair", "open_version"]


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

    @property
    def splits(self) -> dict[str, int]:
        """The splits in their order, each with its rows; `train` alone where none are named."""
        return splits_of(self.manifest)

    def dataset(self, split: str | None = None) -> datasets.Dataset | datasets.DatasetDict:
        """The kept rows as a Hugging Face dataset.

        Args:
            split: Those of one split; None: of all, as a `DatasetDict` where there are several.

        Raises:
            UsageError: There is no such split.
            CurateError: The package `datasets` is not installed, the split is empty, or `data/` is
                damaged.
        """
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise CurateError(
                f"A datasets.Dataset needs the package 'datasets': {error}",
                "pip install 'curate-data[hub]', or take .frame().",
            ) from error
        shards_of(self.path)  # `datasets` takes whatever lies in the folder
        if split is not None:
            data_files(self.path, self.manifest, [split])
            if not self.splits[split]:
                raise CurateError(
                    f"The split {split} of {self.name}@{self.version} is empty.",
                    "Take .frame(), or give it a larger share in the recipe.",
                )
        elif len(self.splits) == 1:
            (split,) = self.splits
        dataset: datasets.Dataset | datasets.DatasetDict = load_dataset(str(self.path), split=split)
        return dataset

    def frame(self, split: str | Sequence[str] | None = None) -> pl.DataFrame:
        """The kept rows in their order: the framework's columns, then the original ones.

        Args:
            split: Those of one split or of several; None: of all, one split after the other.

        Raises:
            UsageError: There is no such split.
            CurateError: A file is missing, cannot be read, or is none that was published.
        """
        wanted = [split] if isinstance(split, str) else split
        return self._read(*data_files(self.path, self.manifest, wanted))

    @property
    def shards(self) -> list[Path]:
        """The files with the kept rows, in their order; raises as `frame` does."""
        return data_files(self.path, self.manifest)

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
        split: str | Sequence[str] = (),
    ) -> Exported:
        """Write the kept rows as training data; as `curate export`, without entries for trainers.

        Args:
            to: A .jsonl (also .gz, .zst) or .parquet file, or a folder; never over a file.
            format: Name of the row shape, such as `messages`.
            scores: Add the score columns.
            provenance: Add id, source, origin, generator, license, ability and parents.
            columns: Add these columns.
            skip: Leave out rows that the shape cannot say.
            split: Only the rows of this split, or of these; needed where there are several.

        Raises:
            CurateError: The file is there already, there is no such format, column or split, or
                the shape cannot say a row.
        """
        from curate.versions.export import export, target

        splits = [split] if isinstance(split, str) else list(split)
        file = target(self, Path(to), folder=str(to).endswith("/"), splits=splits)
        return export(
            self,
            file,
            format,
            scores=scores,
            provenance=provenance,
            columns=columns,
            skip=skip,
            splits=splits,
        )

    def explain(self, id: str) -> dict[str, Any]:
        """The life of one example: its ledger row, `scores`, and all that `explain` tells.

        Args:
            id: The whole id; `versions.explain.explain` says what comes back.

        Raises:
            UsageError: No example has this id.
        """
        from curate.versions.explain import explain

        return explain(self, id)

    def verify(self, sha256: str | None = None) -> Verified:
        """Whether this is what was published: every file, the books, the digest and the card.

        Args:
            sha256: The hash of SHA256SUMS that is known from elsewhere; None: not compared.
        """
        from curate.versions.verify import verify

        return verify(self.path, sha256)

    def reproduce(self, sets: Sequence[str] = ()) -> Reproduced:
        """Make this version again from its lock and compare the digests; publishes nothing.

        Args:
            sets: Overrides that the digest does not see, such as `sources.x.path=...`.

        Raises:
            LockedError: A plugin, file, model or paid answer is missing or differs.
            CurateError: The version is damaged, or the run failed.
        """
        from curate.versions.reproduce import reproduce

        return reproduce(self.path, sets)

    def scan(self, *files: Path) -> pl.LazyFrame:
        """Tables of this version, one after another, read when they are collected.

        Raises:
            CurateError: One is missing, or is no whole table.
        """
        import polars as pl

        for file in files:
            with self._reading(file):
                pl.read_parquet_schema(file)
        return pl.scan_parquet(list(files), glob=False, hive_partitioning=False)

    def _read(self, *files: Path) -> pl.DataFrame:
        import polars as pl

        with self._reading(*files):
            return pl.read_parquet(list(files), glob=False, hive_partitioning=False)

    @contextmanager
    def _reading(self, *files: Path) -> Iterator[None]:
        import polars as pl

        try:
            yield
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            names = ", ".join(file.relative_to(self.path).as_posix() for file in files)
            said = one_line(str(error).partition("\n")[0])
            raise damaged(self.path, f"{names} cannot be read: {said}") from error

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
    """Open a version; see `find_version` for its name.

    Raises:
        UsageError: There is no such dataset or version.
        CurateError: The version is damaged.
    """
    return Version(find_version(name, Path(root)))


def open_pair(one: str, two: str | None, root: Path) -> tuple[Version, Version]:
    """Open two versions that are to be compared, the earlier one first where one is named alone.

    Args:
        one: As for `open_version`.
        two: The other; None: the latest version of that dataset, or the one before where `one` is
            the latest.
        root: Where versions live.

    Raises:
        UsageError: There is no such version, or no other to compare it with.
    """
    first = open_version(one, root)
    if two is not None:
        return first, open_version(two, root)
    versions = versions_of(first.path.parent)
    latest = versions[-1] if versions else None
    if latest is not None and first.version != latest:
        return first, Version(first.path.parent / latest)
    if len(versions) < 2:
        raise UsageError(
            f"{first.name}@{first.version} is the only version of '{first.name}'.",
            "Name another to compare it with.",
        )
    return Version(first.path.parent / versions[-2]), first
