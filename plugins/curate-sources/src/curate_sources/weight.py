"""`sources.weight`: a sampling or loss weight for each example, by the group that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from curate.api import (
    Context,
    CurateError,
    Output,
    Params,
    Reads,
    ScoreStage,
    Share,
    nearest,
)
from curate_sources.amounts import read_amount
from curate_sources.naming import UNKNOWN, named

if TYPE_CHECKING:
    import polars as pl

_SHARE = r"^(0|\d*\.\d+|\d+(\.\d+)?\s*%)$"
_SHOWN = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": _SHARE},
        ]
    }
)


def _share(value: object) -> object:
    """A share as an exact decimal: 0.6 or `60%`, as in a policy."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.match(_SHARE, text):
        raise ValueError(
            f"'{text}' is no share of the draws: write one with a point or a % sign, such as 0.6 "
            "or 60%"
        )
    amount = read_amount(text)
    return Decimal(amount.value.numerator) / amount.value.denominator


class WeightParams(Params):
    """Parameters of `sources.weight`."""

    by: Annotated[
        str,
        Reads("string", nulls=True),
        Field(
            description="Column whose values make the groups, such as origin, generator, source or "
            "ability."
        ),
    ]
    temperature: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="A group of n rows is drawn in proportion to n^(1/T): 1 as they are, above "
            "it more evenly, 100 nearly even; below 1 the large ones even more.",
        ),
    ] = None
    weights: Annotated[
        dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None,
        Field(
            min_length=1,
            description="Group: the weight of each of its rows; 1 where it is not named.",
        ),
    ] = None
    shares: Annotated[
        dict[str, Annotated[Share, BeforeValidator(_share), _SHOWN]] | None,
        Field(
            min_length=1,
            description='Group: its share of all draws, such as 0.6 or "60%". Groups that are not '
            "named share what is left, in proportion to their rows.",
        ),
    ] = None
    cap: Annotated[
        float | None,
        Field(
            ge=1,
            allow_inf_nan=False,
            description="The most that a row may weigh, where the mean is 1: how often it is drawn "
            "in an epoch. What that cuts off goes to the others, in proportion.",
        ),
    ] = None
    unknown: Annotated[
        Literal["group", "error"],
        Field(
            description="What rows without a value are: a group of the name unknown, or an error."
        ),
    ] = "group"
    normalize: Annotated[
        Literal["mean", "sum", "none"],
        Field(
            description="mean: weights are 1 on average; sum: they sum to 1; none: as `weights` "
            "writes them."
        ),
    ] = "mean"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ways = [each for each in (self.temperature, self.weights, self.shares) if each is not None]
        if len(ways) != 1:
            raise ValueError("give exactly one of `temperature`, `weights` and `shares`")
        if self.normalize == "none" and self.weights is None:
            raise ValueError(
                "`normalize: none` is for `weights`: a temperature or shares give proportions only"
            )
        if self.normalize == "none" and self.cap is not None:
            raise ValueError(
                "`cap` is in units of the mean weight: it does not go with `normalize: none`"
            )
        if self.shares and sum(self.shares.values()) > 1:
            raise ValueError(f"the shares sum to {sum(self.shares.values())}, which is more than 1")
        return self


class Weight(ScoreStage):
    """How often a trainer should draw each example, or how much its loss should count.

    With N rows in groups g of n_g rows, and p_g the share of all draws that a group is to have,
    each of its rows weighs w_g = p_g N / n_g. So the mean weight is 1: an epoch of N draws with
    these weights keeps its size, and w_g is how often a row of g is expected in it.

    - temperature T: p_g is proportional to n_g^(1/T) (Arivazhagan et al., arXiv 1907.05019; the
      exponent of XLM-R, arXiv 1911.02116, is 1/T).
    - weights u: p_g is proportional to u_g n_g.
    - shares s: p_g = s_g; groups that are not named have what is left, in proportion to n_g.

    With `cap` c, groups above c are set to c and the others scaled up in proportion, until none is
    above c and the mean is 1 again; so a small group is not repeated without limit (the aim of
    UniMax, arXiv 2304.09151, which caps an even distribution).
    """

    name = "sources.weight"
    version = 1
    scope: ClassVar[Literal["row", "pool"]] = "pool"
    Params: ClassVar[type[Params]] = WeightParams
    params: WeightParams

    def outputs(self) -> Mapping[str, Output]:
        """The weight."""
        return {"weight": Output("number")}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Weigh all rows.

        Raises:
            CurateError: Rows have no value and may not, a group that is named has no rows, or what
                is asked for cannot be had of these groups.
        """
        import polars as pl

        if rows.is_empty():
            return rows.select("id", weight=pl.lit(None, dtype=pl.Float64))
        group = rows.select(named(self.params.by).alias("group"))["group"]
        # in the order of their names, so that sums do not depend on the order of rows
        counts = dict(group.value_counts(name="rows").sort("group").iter_rows())
        found = self._weights(counts)
        for name, count in counts.items():
            ctx.count(f"rows.{name}", count)
        weight = group.replace_strict(found, return_dtype=pl.Float64)
        return rows.select("id").with_columns(weight.alias("weight"))

    def _weights(self, counts: Mapping[str, int]) -> dict[str, float]:
        """The weight of a row of each group, from the groups' rows."""
        given = self.params
        if given.unknown == "error" and UNKNOWN in counts:
            raise self._error(
                f"{counts[UNKNOWN]} rows have no {given.by}",
                "Leave them out with `where:`, or let them be a group: `unknown: group`.",
            )
        for name in given.weights or given.shares or ():
            if name not in counts:
                raise self._error(f"no row has the {given.by} '{name}'", nearest(name, [*counts]))
        raw = self._raw(counts)
        if given.normalize == "none":
            return raw
        balanced = self._balanced(raw, counts)
        if given.normalize == "mean":
            return balanced
        total = sum(counts.values())
        return {name: weight / total for name, weight in balanced.items()}

    def _raw(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Weights up to a factor."""
        given = self.params
        if given.weights is not None:
            return {name: given.weights.get(name, 1.0) for name in counts}
        if given.temperature is not None:
            largest, power = max(counts.values()), 1 / given.temperature
            return {name: (rows / largest) ** power / rows for name, rows in counts.items()}
        shares = given.shares or {}
        left = 1 - sum(shares.values())
        others = {name: rows for name, rows in counts.items() if name not in shares}
        if bool(left) != bool(others):
            said = f"the shares sum to {sum(shares.values())}"
            if others:
                raise self._error(
                    f"{said}, which leaves nothing for {', '.join(others)}",
                    "Give these a share, 0 if they are not to be drawn; or leave some over for all "
                    "groups that are not named.",
                )
            raise self._error(
                f"{said}, and there is no other group to have the rest",
                "Make them sum to 1.",
            )
        rest = float(left) / max(sum(others.values()), 1)
        return {
            name: float(shares[name]) / rows if name in shares else rest
            for name, rows in counts.items()
        }

    def _balanced(self, raw: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
        """Weights in the same proportions whose mean is 1, none above the cap."""
        order = sorted((name for name in counts if raw[name] > 0), key=lambda n: (raw[n], n))
        cap = inf if self.params.cap is None else self.params.cap
        total, drawn = sum(counts.values()), sum(counts[name] for name in order)
        if not drawn:
            raise self._error("every row has the weight 0", "Give some group a weight above 0.")
        if cap * drawn < total:
            raise self._error(
                f"`cap: {cap:g}` cannot be kept: {drawn} of {total} rows have a weight above 0, so "
                f"they weigh {total / drawn:g} on average",
                "Raise it, or leave the other rows out with `where:`.",
            )
        found = dict.fromkeys(counts, 0.0)
        masses = list(accumulate(raw[name] * counts[name] for name in order))
        left = float(total)
        while order:
            heaviest, scale = order[-1], left / masses[-1]
            if raw[heaviest] * scale < cap:
                return found | {name: raw[name] * scale for name in order}
            found[heaviest] = cap
            left -= cap * counts[heaviest]
            order.pop()
            masses.pop()
        return found

    def _error(self, message: str, remedy: str) -> CurateError:
        return CurateError(f"Stage '{self.id}': {message}.", remedy)
