"""What checking makes of a recipe: its stages, ready to run, and what its sources hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from curate.asking import LLM
from curate.contract.columns import BY_FORMAT, TEXTS, Kind
from curate.contract.marks import Prefers, Reads
from curate.contract.parameters import given
from curate.contract.stages import Stage
from curate.examples.columns import FRAMEWORK
from curate.prefer import columns_of, numbers_of
from curate.recipe.document import Document
from curate.recipe.model import OnFailure, Recipe, StageSpec
from curate.recipe.names import OUTPUT
from curate.recipe.where import Where
from curate.sources.schema import Schema

if TYPE_CHECKING:
    from curate.sources.load import Loaded

PAID = OnFailure(set_aside="2%")
"""The rule for stages that ask language models, where the recipe has none."""


@dataclass(frozen=True)
class Step:
    """A stage of the pipeline, ready to run.

    Attributes:
        index: 0-based, in the pipeline.
        spec: As the recipe says it.
        stage: The instance, with a vector column named where the recipe leaves it out.
        id: Its id, given or by default.
        inputs: Names of the tables that it consumes.
        result: Name of the table that it produces.
        where: What it may touch; None: every row.
        columns: What is there before it: framework columns, texts, originals, scores.
        adds: The score columns that it writes, by full name.
        conditions: Parsed conditions among its parameters, by parameter.
    """

    index: int
    spec: StageSpec
    stage: Stage
    id: str
    inputs: tuple[str, ...]
    result: str
    where: Where | None
    columns: Mapping[str, Kind]
    adds: Mapping[str, Kind]
    conditions: Mapping[str, Where] = field(default_factory=dict)

    @property
    def on_failure(self) -> OnFailure | None:
        """How many rows may fail; where answers are paid for, some may unless the recipe says."""
        return self.spec.on_failure or (PAID if LLM in self.stage.services else None)

    @property
    def strict(self) -> list[str]:
        """The columns in which a null needs `missing:` to say what it means.

        All that the stage reads but texts and conditions, framework columns, columns that it takes
        with nulls, and those that a preference compares with a value.
        """
        lenient = {*FRAMEWORK, *(f"@{name}" for name in self.conditions), *TEXTS, *BY_FORMAT}
        for each in given(self.stage.params):
            value, reads = each.value, each.mark(Reads)
            if value is not None and reads is not None and reads.nulls:
                lenient.update(name for _, name in each.columns())
            elif value is not None and each.mark(Prefers):
                lenient.update(set(columns_of(value)) - set(numbers_of(value)))
        return [name for name in self.stage.inputs() if name not in lenient]


@dataclass(frozen=True)
class Checked:
    """A recipe without mistakes.

    Attributes:
        recipe: The recipe.
        document: Its text and places.
        steps: The stages in order.
        schemas: What the sources hold, by name.
        loaded: The rows of sources that had to be read for that, where the caller wants them;
            `load_sources` takes each out of here, once.
    """

    recipe: Recipe
    document: Document
    steps: tuple[Step, ...]
    schemas: Mapping[str, Schema]
    loaded: dict[str, Loaded] = field(default_factory=dict, repr=False)

    @property
    def ids(self) -> list[str]:
        """The ids of all that gets an entry among the stages: where rows are split, that too."""
        return [
            *(step.id for step in self.steps),
            *([OUTPUT] if self.recipe.output.divided else []),
        ]
