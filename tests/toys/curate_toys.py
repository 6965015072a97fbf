"""A plugin of toy stages, found through its entry points like anyone else's."""

import time
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
import xxhash
from pydantic import BaseModel, Field

from curate.api import (
    POOL,
    Child,
    Clause,
    Condition,
    Decisions,
    Depends,
    ExpandStage,
    FilterStage,
    FuseStage,
    InputFile,
    LlmExpandStage,
    LlmParams,
    LlmScoreStage,
    Neutral,
    Output,
    Params,
    PolicyError,
    Reads,
    Reference,
    ScoreStage,
    TextChoice,
    hookimpl,
)

CURATE_API = 1


def number(text, salt=""):
    return xxhash.xxh3_64_intdigest((salt + text).encode())


class ScoreParams(Params):
    text: TextChoice = "both"
    salt: str = ""
    batch_size: Annotated[int, Neutral()] = 7
    mode: Literal["fine", "few", "wrong_id", "twice", "nan", "null", "text", "extra"] = "fine"
    fail_on: str | None = None
    raise_on: str | None = None
    wait: Annotated[float, Neutral()] = 0.0
    log: Annotated[str | None, Neutral()] = None


class Count(ScoreStage):
    """A number from the text alone; misbehaves on request."""

    name = "toys.count"
    version = 1
    Params = ScoreParams

    def outputs(self):
        return {"number": Output("number"), "even": Output("boolean", flag=True)}

    def stream(self, rows, ctx):
        for part in rows.iter_slices(self.params.batch_size):
            time.sleep(self.params.wait)
            if self.params.log:
                with Path(self.params.log).open("a") as log:
                    log.writelines(f"{id}\n" for id in part["id"])
            yield self.score(part, ctx)

    def score(self, rows, ctx):
        texts = rows[f"@{self.params.text}"].to_list()
        if self.params.raise_on and any(self.params.raise_on in text for text in texts):
            raise ValueError(f"cannot bear {self.params.raise_on}")
        values = [number(text, self.params.salt) % 1000 / 8 for text in texts]
        result = rows.select("id").with_columns(
            number=pl.Series(values), even=pl.Series([int(value) % 2 == 0 for value in values])
        )
        if self.params.fail_on:
            fails = [self.params.fail_on in text for text in texts]
            result = result.with_columns(
                error=pl.Series(["not today" if fail else None for fail in fails], dtype=pl.String)
            )
        first = pl.int_range(pl.len()) == 0
        match self.params.mode:
            case "few":
                result = result[1:]
            case "wrong_id":
                result = result.with_columns(
                    id=pl.when(first).then(pl.lit("0" * 32)).otherwise("id")
                )
            case "twice":
                result = pl.concat([result, result[:1]])
            case "nan":
                result = result.with_columns(number=pl.when(first).then(np.nan).otherwise("number"))
            case "null":
                result = result.with_columns(number=pl.when(first).then(None).otherwise("number"))
            case "text":
                result = result.with_columns(number=pl.lit("many"))
            case "extra":
                result = result.with_columns(more=1)
        return result


class SpreadParams(Params):
    column: Annotated[str, Reads("number")]


class Spread(ScoreStage):
    """Distance from the mean of the pool: fitted on it."""

    name = "toys.spread"
    version = 1
    Params = SpreadParams

    def outputs(self):
        return {"distance": Output("number", tolerance=1e-9)}

    def fits(self):
        return {"mean": POOL}

    def fit(self, part, rows, ctx):
        return {"mean": np.array([rows[self.params.column].mean()])}

    def score(self, rows, ctx):
        mean = float(ctx.fits["mean"]["mean"][0])
        return rows.select("id", distance=(pl.col(self.params.column) - mean).abs())


class Vector(ScoreStage):
    """Two numbers from the text."""

    name = "toys.vector"
    version = 1
    reads = ("@both",)

    def outputs(self):
        return {"vector": Output("vector")}

    def score(self, rows, ctx):
        pairs = [[len(text), number(text) % 9 + 1] for text in rows["@both"]]
        return rows.select("id").with_columns(
            vector=pl.Series(pairs, dtype=pl.Array(pl.Float32, 2))
        )


class FitsParams(Params):
    when: Annotated[str, Condition()]


class Fits(ScoreStage):
    """1 where a condition holds, 0 where it does not, -1 where that is not known."""

    name = "toys.fits"
    version = 1
    Params = FitsParams

    def outputs(self):
        return {"number": Output("number")}

    def score(self, rows, ctx):
        return rows.select("id", number=pl.col("@when").cast(pl.Float64).fill_null(-1))


class LikeParams(Params):
    targets: dict[str, Reference]
    words: Annotated[str | None, InputFile()] = None


class Like(ScoreStage):
    """Share of a target set's words that the text holds: one output and one fit a target."""

    name = "toys.like"
    version = 1
    Params = LikeParams
    reads = ("@both",)

    def outputs(self):
        return {name: Output("number") for name in self.params.targets}

    def fits(self):
        return dict(self.params.targets)

    def fit(self, part, rows, ctx):
        words = sorted({word for text in rows["@both"] for word in text.split()})
        return {"words": np.array(words)}

    def depends(self, output):
        return Depends(params=("words",), fits=(output,))

    def score(self, rows, ctx):
        result = rows.select("id")
        for name in ctx.wanted:
            words = set(ctx.fits[name]["words"].tolist())
            shares = [len(words & set(text.split())) / max(len(words), 1) for text in rows["@both"]]
            result = result.with_columns(pl.Series(name, shares))
        return result


class ExpandParams(Params):
    every: int = 2
    in_place: bool = False
    fail_on: str | None = None
    raise_on: str | None = None
    children: int = 1
    generator: str | None = None
    license: str | None = None
    bad: Literal["", "stranger", "nothing", "column", "id", "unsaid", "origin"] = ""


class Double(ExpandStage):
    """Writes rows again with a mark, beside them or in their place."""

    name = "toys.double"
    version = 1
    Params = ExpandParams
    reads = ("@instruction", "@response")

    def in_place(self):
        return self.params.in_place

    def expand(self, rows, ctx):
        for id, instruction, response in rows.select("id", "@instruction", "@response").iter_rows():
            if self.params.raise_on and self.params.raise_on in instruction:
                raise ValueError("cannot be written again")
            if number(instruction) % self.params.every:
                continue
            for at in range(self.params.children):
                if self.params.fail_on and self.params.fail_on in instruction:
                    yield Child((id,), replaces=self.params.in_place, error="no answer")
                    continue
                yield Child(
                    parents=("f" * 32,) if self.params.bad == "stranger" else (id,),
                    messages=None
                    if self.params.bad == "nothing"
                    else [
                        {"role": "user", "content": f"{instruction} (again {at})"},
                        {"role": "assistant", "content": response},
                    ][: 1 if self.params.bad == "unsaid" else 2],
                    replaces=self.params.in_place,
                    origin="machine" if self.params.bad == "origin" else "synthetic",
                    generator=self.params.generator,
                    license=self.params.license,
                    columns={"column": {"never": 1}, "id": {"id": "0" * 32}}.get(
                        self.params.bad, {}
                    ),
                )


class Pairs(ExpandStage):
    """Joins neighbouring rows into one: two parents, pool scope."""

    name = "toys.pairs"
    version = 1
    Params = ExpandParams
    scope = "pool"
    reads = ("@instruction", "@response")

    def in_place(self):
        return self.params.in_place

    def expand(self, rows, ctx):
        rows = rows.sort("id")
        for at in range(0, len(rows) - 1, 2):
            pair = rows[at : at + 2]
            yield Child(
                parents=tuple(pair["id"]),
                messages=[
                    {"role": "user", "content": "\n".join(pair["@instruction"])},
                    {"role": "assistant", "content": "\n".join(pair["@response"])},
                ],
                replaces=self.params.in_place,
            )


class OddParams(Params):
    share: int = 3
    bad: Literal["", "few", "reason", "null", "untouched"] = ""
    all: bool = False


class Odd(FilterStage):
    """Drops rows by their id."""

    name = "toys.odd"
    version = 1
    Params = OddParams
    reasons: ClassVar = {"odd": "the id is odd"}
    value = "the number that decided"

    def filter(self, rows, ctx):
        values = [number(id) % self.params.share for id in rows["id"]]
        keep = [value != 0 and not self.params.all for value in values]
        decided = rows.select("id").with_columns(
            keep=pl.Series(keep, dtype=pl.Boolean),
            value=pl.Series(values, dtype=pl.Float64),
            reason=pl.Series([None if k else "odd" for k in keep], dtype=pl.String),
        )
        match self.params.bad:
            case "few":
                decided = decided[1:]
            case "reason":
                decided = decided.with_columns(keep=False, reason=pl.lit("whim"))
            case "null":
                decided = decided.with_columns(keep=pl.lit(None, dtype=pl.Boolean))
        return Decisions(decided)


class Nosy(Odd):
    """Sees rows outside its `where:`, and drops them if told to."""

    name = "toys.nosy"
    version = 1
    sees_all = True

    def filter(self, rows, ctx):
        decided = super().filter(rows, ctx).rows
        if self.params.bad != "untouched":
            free = rows["@asked"]
            decided = decided.with_columns(
                keep=pl.col("keep") | ~free,
                reason=pl.when(pl.col("keep") | ~free).then(None).otherwise("reason"),
            )
        return Decisions(decided)


class PickParams(Params):
    most: int = 5


class Pick(FuseStage):
    """Takes up to so many rows of each table."""

    name = "toys.pick"
    version = 1
    Params = PickParams
    reasons: ClassVar = {"full": "its table gave enough"}

    def fuse(self, tables, ctx):
        parts = []
        for rows in tables.values():
            rank = rows["id"].rank("ordinal")
            keep = rank <= self.params.most
            parts.append(
                rows.select("id").with_columns(
                    keep=keep, reason=pl.when(keep).then(None).otherwise(pl.lit("full"))
                )
            )
        return Decisions(pl.concat(parts), facts={"tables": len(tables)})


class RationParams(Params):
    origin: str = "human"
    least: int = 0
    most: int = 1000
    by: Annotated[str | None, Reads("number", nulls=True)] = None
    strict: Annotated[str | None, Reads("number")] = None
    blind: bool = False
    relax: bool = False
    bad: Literal["", "clause", "number", "slack"] = ""


class Ration(FuseStage):
    """Takes so many rows of an origin, the first by id, and all others; certifies it."""

    name = "toys.ration"
    version = 1
    Params = RationParams
    reads = ("origin",)
    reasons: ClassVar = {"over": "its origin has enough rows"}

    def foresees(self):
        return None if self.params.blind else self.inputs()

    def foresee(self, tables, *, exact):
        counts = {
            name: int((rows["origin"] == self.params.origin).sum()) for name, rows in tables.items()
        }
        if sum(counts.values()) < self.params.least and not self.params.relax:
            raise PolicyError(
                f"{self.params.least} rows are asked for, there are {counts}, exact: {exact}",
                "Ask for fewer.",
            )

    def fuse(self, tables, ctx):
        rows = pl.concat([table.select("id", "origin") for table in tables.values()])
        mine = pl.col("origin") == self.params.origin
        rank = pl.when(mine).then(pl.col("id")).rank("ordinal")
        decided = rows.select(
            "id",
            keep=~mine | (rank <= self.params.most),
            reason=pl.when(mine & (rank > self.params.most)).then(pl.lit("over")),
        )
        there = int((rows["origin"] == self.params.origin).sum())
        taken = min(there, self.params.most)
        if taken < self.params.least and not self.params.relax:
            raise PolicyError(f"{self.params.least} rows are asked for, {taken} came")
        state = "relaxed" if taken < self.params.least else "slack"
        if self.params.bad == "clause":
            return Decisions(decided, certificate=({"name": "mine"},))
        clause = Clause(
            name=f"shares.origin.{self.params.origin}",
            asked=f">= {self.params.least} rows",
            rows=np.int64(taken) if self.params.bad == "number" else taken,
            of=int(decided["keep"].sum()),
            state="binding" if taken == self.params.least else state,
            slack=-1 if self.params.bad == "slack" else taken - self.params.least,
            available=there,
        )
        return Decisions(decided, certificate=(clause,))


class Marks(BaseModel):
    mark: Annotated[int, Field(ge=0, le=10)]


class Mark(LlmScoreStage):
    """Asks a model for a mark, as JSON."""

    name = "toys.mark"
    version = 1
    Params = LlmParams
    reads = ("@both",)

    def outputs(self):
        return {"mark": Output("integer")}

    def ask(self, row, llm):
        return {"mark": llm.ask_for(Marks, f"Mark this as JSON: {row['@both']}").mark}


class Echo(LlmScoreStage):
    """The length of a model's answer to the instruction."""

    name = "toys.echo"
    version = 1
    Params = LlmParams
    reads = ("@instruction",)

    def outputs(self):
        return {"length": Output("integer"), "text": Output("string")}

    def ask(self, row, llm):
        text = llm.ask(row["@instruction"]).text
        return {"length": len(text), "text": text}


class RewriteParams(LlmParams):
    in_place: bool = False
    cut: bool = False


class Rewrite(LlmExpandStage):
    """Two answers that depend on one another: the instruction written anew, then answered."""

    name = "toys.rewrite"
    version = 1
    Params = RewriteParams
    reads = ("@instruction",)
    calls = 2

    def in_place(self):
        return self.params.in_place

    def ask(self, row, llm):
        written = llm.ask(f"Write anew: {row['@instruction']}", cut=self.params.cut).text
        answer = llm.ask(written, cut=self.params.cut).text
        turns = [
            {"role": "user", "content": written},
            {"role": "assistant", "content": answer},
        ]
        return [
            Child(
                (row["id"],),
                turns,
                replaces=self.params.in_place,
                origin="synthetic",
                generator=llm.model,
            )
        ]


ASKING = (Mark, Echo, Rewrite)


@hookimpl
def register_stages(register):
    for stage in (
        Count,
        Spread,
        Vector,
        Fits,
        Like,
        Double,
        Pairs,
        Odd,
        Nosy,
        Pick,
        Ration,
        *ASKING,
    ):
        register(stage)
