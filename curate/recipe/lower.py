"""Conditions as polars expressions; imported only where rows are at hand.

Row by row, with SQL's three-valued logic. Text compares by code points. Arithmetic, ROUND and ABS
are in double precision, and what has no finite result, such as x / 0, is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import polars as pl

from curate.recipe.terms import Call, Column, Literal, Term


def lower(term: Term) -> pl.Expr:
    """The expression of a term."""
    if isinstance(term, Column):
        return pl.col(term.name)
    if isinstance(term, Literal):
        return pl.lit(term.value)
    if term.name in ("in", "like", "ilike", "round"):
        return _with_literals(term)
    return _CALLS[term.name]([lower(arg) for arg in term.args])


def _with_literals(term: Call) -> pl.Expr:
    value = lower(term.args[0])
    literals = [arg.value for arg in term.args[1:] if isinstance(arg, Literal)]
    if term.name == "round":
        digits = int(literals[0]) if literals else 0
        return _finite(_float(value).round(digits, mode="half_away_from_zero"))
    if term.name == "in":
        return _balanced([value == pl.lit(literal) for literal in literals], pl.Expr.or_)
    flags = "(?is)" if term.name == "ilike" else "(?s)"
    wild = {"%": ".*", "_": "."}
    body = "".join(wild.get(char, re.escape(char)) for char in str(literals[0]))
    return value.str.contains(f"{flags}^{body}$", literal=False, strict=True)


def _balanced(parts: Sequence[pl.Expr], join: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> pl.Expr:
    """Join a chain as a tree of logarithmic depth: polars recurses over expressions."""
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [join(pair[0], pair[1]) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]


def _float(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.Float64)


def _finite(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_finite()).then(value)


def _arithmetic(operate: Callable[[pl.Expr, pl.Expr], pl.Expr], args: Sequence[pl.Expr]) -> pl.Expr:
    return _finite(operate(_float(args[0]), _float(args[1])))


def _remainder(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """The remainder with the sign of the dividend, as in SQL."""
    return (a.abs() % b.abs()) * a.sign()


_CALLS: dict[str, Callable[[Sequence[pl.Expr]], pl.Expr]] = {
    "and": lambda args: _balanced(args, pl.Expr.and_),
    "or": lambda args: _balanced(args, pl.Expr.or_),
    "not": lambda args: args[0].not_(),
    "is null": lambda args: args[0].is_null(),
    "=": lambda args: args[0] == args[1],
    "<>": lambda args: args[0] != args[1],
    "<": lambda args: args[0] < args[1],
    "<=": lambda args: args[0] <= args[1],
    ">": lambda args: args[0] > args[1],
    ">=": lambda args: args[0] >= args[1],
    "+": partial(_arithmetic, pl.Expr.add),
    "-": partial(_arithmetic, pl.Expr.sub),
    "*": partial(_arithmetic, pl.Expr.mul),
    "/": partial(_arithmetic, pl.Expr.truediv),
    "%": partial(_arithmetic, _remainder),
    "neg": lambda args: -_float(args[0]),
    "abs": lambda args: _float(args[0]).abs(),
    "coalesce": pl.coalesce,
    "length": lambda args: args[0].str.len_chars().cast(pl.Int64),
    "lower": lambda args: args[0].str.to_lowercase(),
    "upper": lambda args: args[0].str.to_uppercase(),
    "trim": lambda args: args[0].str.strip_chars(),
    "starts_with": lambda args: args[0].str.starts_with(args[1]),
    "ends_with": lambda args: args[0].str.ends_with(args[1]),
    "contains": lambda args: args[0].str.contains(args[1], literal=True),
}
