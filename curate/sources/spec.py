"""What a recipe's source and a stage's reference both say about their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from curate.contract.parameters import Reference
from curate.recipe.model import OnFailure, Source


@dataclass(frozen=True)
class Spec:
    """How rows are to be read; fields as in a recipe's source."""

    path: str | list[str] | None
    dataset: str | None = None
    split: str | None = None
    revision: str | None = None
    version: str | None = None
    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str | None] = field(default_factory=dict)
    on_failure: OnFailure | None = None

    def options(self) -> dict[str, Any]:
        """What changes rows, besides the files themselves; JSON values."""
        said = asdict(self)
        for name in ("path", "dataset", "revision", "on_failure"):
            del said[name]
        said["version"] = self.version is not None
        rule = None if self.on_failure is None else self.on_failure.set_aside
        return said | {"set_aside": rule}


ROW_FACTS = ("origin", "generator", "license", "ability")
"""Columns that hold per row unless the source says the same for all of its rows."""


def spec_of(source: Source | Reference) -> Spec:
    """The same for both kinds; a reference's rows are never set aside."""
    if isinstance(source, Reference):
        return Spec(
            path=source.path, format=source.format, columns=source.columns, types=source.types
        )
    return Spec(
        path=source.path,
        dataset=source.dataset,
        split=source.split,
        revision=source.revision,
        version=source.version,
        format=source.format,
        columns=source.columns,
        types=source.types,
        given={name: getattr(source, name) for name in ROW_FACTS},
        on_failure=source.on_failure,
    )
