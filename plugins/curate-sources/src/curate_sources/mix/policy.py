"""The whole policy of a mix, and the rules that it comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from curate.api import PolicyError, Reads, nearest
from curate_sources.amounts import read_amount, read_bounds
from curate_sources.mix.parts import BoundsText, Licenses, Limit, Relax, Size
from curate_sources.mix.rules import PARTS, Rule
from curate_sources.ordering import OrderParams

MOST_VALUES = 1_000
"""Values of a `per` column, each of which is a clause."""


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


def _choice(value: object) -> object:
    if value != "error" and not isinstance(value, Mapping | Relax):
        raise ValueError(f"'{value}' is no choice; write `error` or `{{relax: [size, ...]}}`")
    return value


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
        dict[
            str,
            Annotated[
                dict[str, BoundsText], Field(min_length=1), AfterValidator(_no_more_than_all)
            ],
        ],
        Reads("plain", nulls=True),
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
        BeforeValidator(_choice),
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
        clauses = [rule.name for rule in self.rules()]
        for name in clauses:
            if clauses.count(name) > 1:
                raise ValueError(
                    f"two clauses would be called {name}: a column or value with a dot or `=` in "
                    "its name reads like another"
                )
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
        plain = (rule for rule in self._limits(_no_values) if not rule.per)
        for rule in chain(self._all_shares(), plain):
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
                        if one is other and isinstance(self.on_infeasible, Relax):
                            continue  # a part of a row is missed, and said to be
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
        known = list(self.relaxable(self.rules()))
        per = tuple(f"limits.{limit.name}." for limit in self.limits if limit.per)
        for name in names:
            if name not in known and not name.startswith(per):  # which values there are shows later
                raise ValueError(
                    f"`relax` names '{name}', which the policy does not have. "
                    f"{nearest(name, known)}".rstrip()
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
        found: dict[str, list[str]] = {f"limits.{limit.name}": [] for limit in self.limits}
        for rule in rules:
            for name in dict.fromkeys((rule.part, *rule.within, rule.name)):
                found.setdefault(name, []).append(rule.name)
        return {name: tuple(meant) for name, meant in found.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values make cells, sorted; `source` always is one."""
        return tuple(sorted(self.named | {"source"}))

    def rules(self, values: Callable[[Limit], Sequence[str]] | None = None) -> tuple[Rule, ...]:
        """The rules of the policy, sorted by part and name; the size always is one.

        Args:
            values: The values, in the pool, of the column of a limit with `per`; None: such limits
                are left out.
        """
        size = self.size or Size()
        high = None if size.max is None else Fraction(size.max)
        rules = [Rule("size", size.text, "size", Fraction(size.min), high)]
        if self.licenses is not None:
            denied = ", ".join(self.licenses.deny) or "nothing"
            rules.append(Rule("licenses", f"deny {denied}", "licenses"))
        rules += [*self._all_shares(), *self._limits(values or _no_values)]
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
                (f"shares.{column}",),
            )

    def _limits(self, values: Callable[[Limit], Sequence[str]]) -> Iterator[Rule]:
        for limit in self.limits:
            where = {column: frozenset(names) for column, names in limit.where.items()}
            found = values(limit) if limit.per else ()
            if not found:  # of `per` too: a limit about no rows at all is a clause about none
                yield from _limit(limit, f"limits.{limit.name}", where)
            if len(found) > MOST_VALUES:
                raise PolicyError(
                    f"The limit `per: {limit.per}` comes to {len(found):,} clauses, as many as "
                    f"that column has values; {MOST_VALUES:,} are the most.",
                    "Name a column with fewer values.",
                )
            for value in found:
                one = {**where, str(limit.per): frozenset({value})}
                yield from _limit(limit, f"limits.{limit.name}.{value}", one)


def _no_values(_limit: Limit) -> Sequence[str]:
    """No values: what a limit with `per` comes to shows with the rows."""
    return ()


def _limit(limit: Limit, name: str, where: Mapping[str, frozenset[str]]) -> Iterator[Rule]:
    """One rule, or two where the bounds are in different units."""
    within, per = (f"limits.{limit.name}",), limit.per is not None
    select = tuple(sorted(where.items()))
    low, high = (None if v is None else read_amount(v) for v in (limit.min, limit.max))
    asked = [f">= {limit.min}" if low else "", f"<= {limit.max}" if high else ""]
    if low and high and low.unit != high.unit:
        yield Rule(
            f"{name}.min", asked[0], "limits", low.value, None, low.unit, False, select, within, per
        )
        yield Rule(
            f"{name}.max",
            asked[1],
            "limits",
            None,
            high.value,
            high.unit,
            False,
            select,
            within,
            per,
        )
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
        within,
        per,
    )
