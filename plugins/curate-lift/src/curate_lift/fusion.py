"""`lift.fusion`: a model merges two related examples into a harder one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import (
    Child,
    Context,
    CurateError,
    InputFile,
    Llm,
    LlmExpandStage,
    Params,
    Prompt,
    Reads,
    vectors_of,
)
from curate_lift.questions import Question, question_of
from curate_lift.templates import source
from curate_lift.writing import SYNTHETIC, WriterParams, answered, harder

if TYPE_CHECKING:
    import polars as pl

_TEMPLATE = "fusion"

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


class FusionParams(WriterParams):
    """Parameters of `lift.fusion`."""

    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None
    different: Annotated[
        str | None,
        Reads("string", nulls=True),
        Field(
            description="Pair only rows that differ in this column, such as `ability`; rows "
            "without a value are not paired."
        ),
    ] = None
    pairs: Annotated[int, Field(ge=1, description="In how many pairs a row may be.")] = 1
    count: Annotated[
        int | None, Field(ge=1, description="Pairs at most, the nearest first; by default all.")
    ] = None
    neighbours: Annotated[
        int, Field(ge=1, description="How many of a row's nearest rows it may be paired with.")
    ] = 8
    min_similarity: Annotated[
        float, Field(ge=-1, le=1, description="Cosine similarity below which rows are unrelated.")
    ] = 0.3
    max_similarity: Annotated[
        float, Field(ge=-1, le=1, description="Above which they are much the same.")
    ] = 0.9
    template: Annotated[
        str | None, InputFile(), Field(description="A jinja2 file in place of the prompt.")
    ] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.min_similarity >= self.max_similarity:
            raise ValueError("`min_similarity` must be less than `max_similarity`")
        return self


class Fusion(LlmExpandStage):
    """Merges pairs of related examples into new ones, and records both parents.

    Two rows are related where one is among the `neighbours` nearest of the other by cosine
    similarity, within the two bounds. Pairs are taken from the nearest on, as long as neither row
    is in `pairs` pairs already; equals go by id. One call merges both instructions into one that is
    harder than either, a second one answers it, as in `lift.expand`; earlier turns of conversations
    are left out. What goes wrong makes a failed row with both parents and its reason.

    Instruction fusion is not part of the paper's text (arXiv 2312.11508) but of its idea.
    """

    name = "lift.fusion"
    version = 1
    scope: ClassVar[Literal["row", "pool"]] = "pool"
    Params: ClassVar[type[Params]] = FusionParams
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    calls = 2
    params: FusionParams

    def __init__(self, params: FusionParams, id: str) -> None:
        super().__init__(params, id)
        self.makes = params.pairs  # of two rows each

    def fingerprints(self) -> Mapping[str, str]:
        """Of the plugin's own prompt, if it is used."""
        return {} if self.params.template else {_TEMPLATE: self._prompt.fingerprint}

    def check_files(self) -> None:
        """Refuse a template that cannot be rendered."""
        values = Question("Add.", "1 2").values
        self._prompt.check({"first": values, "second": values})

    def expand(self, rows: pl.DataFrame, ctx: Context) -> Iterator[Child]:
        """Pair the rows, and ask about many pairs at a time; each fails alone.

        Yields:
            Children in the order of their pairs, each as soon as those before it are there: one
            failure too many ends the asking.

        Raises:
            CurateError: A vector is zero, or not finite.
        """
        llm: Llm = ctx.service("llm")
        pairs = self._pairs(rows.sort("id"))
        order = iter([tuple(row["id"] for row in pair) for pair in pairs])
        made: dict[tuple[str, ...], Child] = {}
        turn = next(order, None)
        for pair, child, error in llm.each(pairs, lambda pair: self._merged(pair, llm)):
            ids = tuple(row["id"] for row in pair)
            made[ids] = Child(ids, error=error) if child is None else child
            while turn in made:
                yield made.pop(turn)
                turn = next(order, None)

    def _pairs(self, rows: pl.DataFrame) -> Sequence[Pair]:
        from curate_lift.pairs import candidates, paired

        given = self.params
        vectors = vectors_of(rows, given.column, self.id)
        zero = (vectors == 0).all(axis=1).nonzero()[0]
        if len(zero):
            raise CurateError(
                f"Stage '{self.id}': the vector of row {rows['id'][int(zero[0])]} is zero: it is "
                "near to nothing.",
                "Leave such rows out with `where:`.",
            )
        groups = rows[given.different].to_list() if given.different else None
        near, similar = candidates(
            vectors, groups, given.neighbours, given.min_similarity, given.max_similarity
        )
        read = rows.select("id", "messages", *([given.input] if given.input else []))
        return [
            (read.row(one, named=True), read.row(two, named=True))
            for one, two in paired(near, similar, given.pairs, given.count)
        ]

    def _merged(self, pair: Pair, llm: Llm) -> Child:
        column = self.params.input
        first, second = (
            question_of(row["messages"], row[column] if column else None) for row in pair
        )
        prompt = self._prompt.render({"first": first.values, "second": second.values})
        messages = answered(llm, harder(llm, prompt, (), 0), 0)
        ids = tuple(row["id"] for row in pair)
        return Child(ids, messages, round=1, origin=SYNTHETIC, generator=llm.model)

    @cached_property
    def _prompt(self) -> Prompt:
        return source(_TEMPLATE, self.params.template)
