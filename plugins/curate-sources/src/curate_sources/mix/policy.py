"""The policy of a mix, as a recipe writes it, and the rules that it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from curate.api import Params, Reads, nearest
from curate_sources.amounts import read_amount, read_bounds
from curate_sources.mix.rules import PARTS, Rule
from curate_sources.ordering import OrderParams

UNKNOWN = "unknown"
"""What a row without a value in a column is called."""


def _bounds(value: object) -> str:
    return read_bounds(value).text


def _amount(value: object) -> str:
    read_amount(value)
    return str(value)


def _no_more_than_all(values: dict[str, str]) -> dict[str, str]:
    """Refuse lower bounds on the values of one column that together are more than all."""
    lows = [bounds for bounds in map(read_bounds, values.values()) if bounds.low]
    shares = sum((each.low or 0 for each in lows if each.unit == "share"), Fraction(0))
    rows = sum((each.low or 0 for each in lows if each.unit == "rows"), Fraction(0))
    if shares > 1 or (rows > 0 and shares == 1):
        and_rows = f" and {rows} rows" if rows else ""
        raise ValueError(
            f"the lower bounds come to {float(shares):.6g} of the mix{and_rows}, which is more "
            "than all of it"
        )
    return values


def _plain(value: object) -> object:
    """A column's value as text: booleans and whole numbers too."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _values(value: object) -> object:
    return [_plain(each) for each in value] if isinstance(value, list) else [_plain(value)]


def _set(values: list[str]) -> list[str]:
    """In one order, each once: in which they are written must change no name and no tie."""
    return sorted(set(values))


_NUMBER_TOO = WithJsonSchema({"type": ["string", "number"]})
BoundsText = Annotated[str, BeforeValidator(_bounds), _NUMBER_TOO]
"""`>= 0.6`, `15%..25%`, `<= 64 rows`, `0.6`, `all`; see `curate_sources.amounts`."""
AmountText = Annotated[str, BeforeValidator(_amount), _NUMBER_TOO]
"""A share or a number of rows."""
Values = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_values),
    AfterValidator(_set),
    WithJsonSchema({"type": ["string", "array", "number", "boolean"]}),
]
"""A value, or several any of which will do."""


def _or_number(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a plain number stands for the mapping."""
    mapping = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": ["integer", "string"], "description": "Exactly so many."}, mapping]


class Size(Params):
    """How many rows are taken: the most from `min` to `max` that the policy allows."""

    model_config = ConfigDict(json_schema_extra=_or_number)

    min: Annotated[int, Field(ge=1)] = 1
    max: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _exactly(cls, value: object) -> object:
        if isinstance(value, str):
            amount = read_amount(value)
            if amount.unit != "rows":
                raise ValueError(f"a size is a number of rows, which '{value}' is not")
            value = int(amount.value)
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min} is above `max` {self.max}")
        return self

    @property
    def text(self) -> str:
        """As a recipe could write it."""
        if self.min == self.max:
            return f"{self.min} rows"
        low = f"at least {self.min} rows" if self.min > 1 else ""
        high = f"at most {self.max} rows" if self.max is not None else ""
        return ", ".join(each for each in (low, high) if each) or "as many as can be"


class Licenses(Params):
    """Which licences rows may have."""

    deny: Annotated[
        list[str],
        Field(
            description="Licences that no row may have; `*` stands for any characters, capital "
            "letters make no difference.",
            default_factory=list,
        ),
    ]
    unknown: Annotated[
        Literal["error", "keep", "drop"],
        Field(description="What a row is whose licence nobody stated."),
    ] = "error"


class Limit(Params):
    """Bounds on the rows that have certain values."""

    where: Annotated[
        dict[str, Values],
        Reads("any", nulls=True),
        Field(description="Column > value (or list of values); all must hold."),
    ] = Field(default_factory=dict)
    per: Annotated[
        str | None,
        Reads("any", nulls=True),
        Field(description="Column for each value of which the limit holds by itself."),
    ] = None
    min: Annotated[AmountText | None, Field(description="At least so much.")] = None
    max: Annotated[AmountText | None, Field(description="At most so much.")] = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a limit has `min`, `max` or both")
        if not self.where and self.per is None:
            raise ValueError("a limit names rows by `where`, `per` or both; `size` is about all")
        low, high = (None if v is None else read_amount(v) for v in (self.min, self.max))
        if low and high and low.unit == high.unit and low.value > high.value:
            raise ValueError(f"`min` {self.min} is above `max` {self.max}")
        return self

    @property
    def name(self) -> str:
        """Its place in the policy, by what it is about."""
        said = [f"{column}={'|'.join(self.where[column])}" for column in sorted(self.where)]
        return ",".join([*said, *([f"per {self.per}"] if self.per else [])])


class Relax(Params):
    """What may be missed where a policy cannot be met."""

    relax: Annotated[
        list[str],
        Field(
            min_length=1,
            description="Clauses, or parts of the policy, in the order in which they give way: "
            "size, licenses, shares, shares.origin, shares.origin.human, limits...",
        ),
    ]


class MixParams(OrderParams):
    """Parameters of `sources.mix`."""

    size: Annotated[
        Size | None,
        Field(
            description="How many rows: a number, {max: N} (the most up to N that the policy "
            "allows) or {min: N} (the most from N on). Without it, the most that it allows."
        ),
    ] = None
    shares: Annotated[
        dict[str, Annotated[dict[str, BoundsText], AfterValidator(_no_more_than_all)]],
        Reads("any", nulls=True),
        Field(
            description="Column > value > what part of the mix may have it: `>= 0.6`, `<= 40%`, "
            "`0.15..0.25`, `<= 64 rows`, `0.3` (exactly), `all`. Rows without a value are "
            "`unknown`.",
            default_factory=dict,
        ),
    ]
    licenses: Annotated[Licenses | None, Field(description="Licences that rows may have.")] = None
    limits: Annotated[
        list[Limit],
        Field(description="Bounds on combinations of values.", default_factory=list),
    ]
    spread: Annotated[
        Literal["natural", "even"],
        Field(
            description="What is evened out where the policy leaves a choice: `natural` the part "
            "taken of what there is, `even` the rows taken."
        ),
    ] = "natural"
    maximize: Annotated[
        Literal["rank"] | None,
        Field(
            description="`rank`: the mix with the highest sum of percentile ranks by `rank_by`, in "
            "place of a spread."
        ),
    ] = None
    on_infeasible: Annotated[
        Literal["error"] | Relax,
        Field(description="What happens if the policy cannot be met."),
    ] = "error"

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.maximize and self.rank_by is None:
            raise ValueError("`maximize: rank` needs `rank_by`, the column that gives the ranks")
        if self.maximize and (self.prefer or "spread" in self.model_fields_set):
            other = "prefer" if self.prefer else "spread"
            raise ValueError(f"`maximize: rank` leaves nothing to `{other}`: leave out one of them")
        names = [limit.name for limit in self.limits]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two limits are about {name}: write one with `min` and `max`")
        self._check_sums()
        self._check_pairs()
        if isinstance(self.on_infeasible, Relax):
            self._check_relaxed(self.on_infeasible.relax)
        return self

    def _check_sums(self) -> None:
        """Refuse lower bounds on the values of one column that together are above the size."""
        most = self.size.max if self.size else None
        for column, values in self.shares.items():
            lows = [rule for rule in self._shares(column, values) if rule.low is not None]
            shares = sum((r.low or 0 for r in lows if r.unit == "share"), Fraction(0))
            rows = sum((r.low or 0 for r in lows if r.unit == "rows"), Fraction(0))
            if most is not None and rows + shares * most > most:
                raise ValueError(
                    f"the shares of `{column}` ask for at least {rows} rows"
                    + (f" and {float(shares):.6g} of the mix" if shares else "")
                    + f", which is more than the {most} of `size`"
                )

    def _check_pairs(self) -> None:
        """Refuse two clauses about the same rows that contradict each other at every size."""
        most = self.size.max if self.size else None
        exact = most if self.size and self.size.min == most else None
        by_select: dict[Any, list[Rule]] = {}
        for rule in chain(self._all_shares(), self._limits({})):
            by_select.setdefault(rule.select, []).append(rule)
        for rules in by_select.values():
            for one in rules:
                for other in rules:
                    low, high = (
                        (one.rows(exact)[0], other.rows(exact)[1])
                        if exact is not None
                        else (one.low, other.high)
                    )
                    comparable = exact is not None or one.unit == other.unit
                    if comparable and low is not None and high is not None and low > high:
                        if one is other:
                            raise ValueError(
                                f"`{one.name}: {one.asked}` is no whole number of rows, where "
                                f"the size is {exact}"
                            )
                        raise ValueError(
                            f"`{one.name}: {one.asked}` and `{other.name}: {other.asked}` "
                            "contradict each other"
                        )

    def _check_relaxed(self, names: Sequence[str]) -> None:
        known = list(self.relaxable(self.rules({})))
        per = tuple(f"limits.{limit.name}." for limit in self.limits if limit.per)
        for name in names:
            if name not in known and not name.startswith(per):  # which values there are shows later
                raise ValueError(
                    f"`relax` names '{name}', which the policy does not have; "
                    f"{nearest(name, known)}"
                )

    @property
    def named(self) -> frozenset[str]:
        """The columns that clauses name."""
        named = {*self.shares, *(["license"] if self.licenses else [])}
        for limit in self.limits:
            named |= {*limit.where, *([limit.per] if limit.per else [])}
        return frozenset(named)

    def relaxable(self, rules: Sequence[Rule]) -> dict[str, tuple[str, ...]]:
        """What `relax` may name > the rules that it means: parts, columns, limits, single rules.

        Args:
            rules: Of this policy, for some pool.
        """
        limits = [f"limits.{limit.name}" for limit in self.limits]
        found: dict[str, list[str]] = {name: [] for name in ["limits"] * bool(limits) + limits}
        for rule in rules:
            names = {rule.name, rule.part}
            if rule.part == "shares":
                names.add(f"shares.{rule.select[0][0]}")
            names.update(name for name in limits if rule.name.startswith(f"{name}."))
            for name in names:
                found.setdefault(name, []).append(rule.name)
        return {name: tuple(meant) for name, meant in found.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values make cells, sorted; `source` always is one."""
        return tuple(sorted(self.named | {"source"}))

    def rules(self, values: Mapping[str, Sequence[str]]) -> tuple[Rule, ...]:
        """The rules of the policy, sorted by part and name; the size always is one.

        Args:
            values: Column > the values that the pool has, for limits with `per`.
        """
        size = self.size or Size()
        high = None if size.max is None else Fraction(size.max)
        rules = [Rule("size", size.text, "size", Fraction(size.min), high)]
        if self.licenses is not None:
            denied = ", ".join(self.licenses.deny) or "nothing"
            rules.append(Rule("licenses", f"deny {denied}", "licenses"))
        rules += [*self._all_shares(), *self._limits(values)]
        return tuple(sorted(rules, key=lambda rule: (PARTS.index(rule.part), rule.name)))

    def _all_shares(self) -> Iterator[Rule]:
        for column, values in self.shares.items():
            yield from self._shares(column, values)

    @staticmethod
    def _shares(column: str, values: Mapping[str, str]) -> Iterator[Rule]:
        for value, text in values.items():
            bounds = read_bounds(text)
            yield Rule(
                f"shares.{column}.{value}",
                text,
                "shares",
                bounds.low,
                bounds.high,
                bounds.unit,
                bounds.everything,
                ((column, frozenset({value})),),
            )

    def _limits(self, values: Mapping[str, Sequence[str]]) -> Iterator[Rule]:
        for limit in self.limits:
            where = {column: frozenset(names) for column, names in limit.where.items()}
            if limit.per is None:
                yield from _limit(limit, f"limits.{limit.name}", where)
                continue
            own = where.get(limit.per)
            for value in values.get(limit.per, ()):
                if own is None or value in own:
                    name = f"limits.{limit.name}.{value}"
                    yield from _limit(limit, name, {**where, limit.per: frozenset({value})})


def _limit(limit: Limit, name: str, where: Mapping[str, frozenset[str]]) -> Iterator[Rule]:
    """One rule, or two where the bounds are in different units."""
    select = tuple(sorted(where.items()))
    low, high = (None if v is None else read_amount(v) for v in (limit.min, limit.max))
    asked = [f">= {limit.min}" if low else "", f"<= {limit.max}" if high else ""]
    if low and high and low.unit != high.unit:
        yield Rule(f"{name}.min", asked[0], "limits", low.value, None, low.unit, False, select)
        yield Rule(f"{name}.max", asked[1], "limits", None, high.value, high.unit, False, select)
        return
    bound = low or high
    assert bound is not None
    text = ", ".join(each for each in asked if each)
    yield Rule(
        name,
        text,
        "limits",
        low.value if low else None,
        high.value if high else None,
        bound.unit,
        False,
        select,
    )
