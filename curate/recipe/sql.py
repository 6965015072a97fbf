"""SQL conditions as a small tree of what is allowed in them, and nothing else.

sqlglot parses; every node of its tree is then either on the list below, with all its arguments,
or refused by name. Only this module knows sqlglot; it is imported where there is a condition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sqlglot import Token, TokenType, exp, parse_one, tokenize
from sqlglot.errors import ParseError, TokenError

from curate.recipe.terms import Call, Column, Literal, Term, WhereError

MAX_LENGTH = 10_000
MAX_DEPTH = 32
ALLOWED = (
    "Allowed are columns, literals, AND, OR, NOT, comparisons, IN, BETWEEN, LIKE, ILIKE, IS NULL, "
    "+ - * / %, and abs, coalesce, contains, ends_with, length, lower, round, starts_with, trim, "
    "upper."
)


_CALLS: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    exp.Not: ("not", ("this",)),
    exp.Neg: ("neg", ("this",)),
    exp.In: ("in", ("this", "expressions")),
    exp.Like: ("like", ("this", "expression")),
    exp.ILike: ("ilike", ("this", "expression")),
    exp.Length: ("length", ("this",)),
    exp.Lower: ("lower", ("this",)),
    exp.Upper: ("upper", ("this",)),
    exp.Trim: ("trim", ("this",)),
    exp.Abs: ("abs", ("this",)),
    exp.Round: ("round", ("this", "decimals")),
    exp.Coalesce: ("coalesce", ("this", "expressions")),
    exp.StartsWith: ("starts_with", ("this", "expression")),
    exp.EndsWith: ("ends_with", ("this", "expression")),
    exp.Contains: ("contains", ("this", "expression")),
    exp.EQ: ("=", ("this", "expression")),
    exp.NEQ: ("<>", ("this", "expression")),
    exp.LT: ("<", ("this", "expression")),
    exp.LTE: ("<=", ("this", "expression")),
    exp.GT: (">", ("this", "expression")),
    exp.GTE: (">=", ("this", "expression")),
    exp.Add: ("+", ("this", "expression")),
    exp.Sub: ("-", ("this", "expression")),
    exp.Mul: ("*", ("this", "expression")),
    exp.Div: ("/", ("this", "expression")),
    exp.Mod: ("%", ("this", "expression")),
}
_REFUSED: dict[type[Any], str] = {
    exp.Query: "a subquery",
    exp.Subquery: "a subquery",
    exp.Exists: "a subquery",
    exp.Window: "a window function",
    exp.AggFunc: "an aggregate",
    exp.Cast: "a cast",
    exp.Star: "*",
    exp.Placeholder: "a placeholder",
    exp.Parameter: "a name beginning with @",
    exp.Block: "a second statement",
    exp.Case: "CASE",
    exp.Escape: "ESCAPE",
    exp.Null: "NULL outside IS NULL",
    exp.Is: "IS other than IS NULL",
}
_REMEDIES: dict[type[Any], str] = {
    exp.Null: "Write `column IS NULL` or `column IS NOT NULL`.",
    exp.Parameter: 'Put the name in double quotes: "@response".',
}


def parse(text: str) -> Term:
    """Parse a condition.

    Raises:
        WhereError: It is no SQL, or holds what is not allowed, or is too long or too deep.
    """
    if len(text) > MAX_LENGTH:
        raise WhereError(f"the condition is longer than {MAX_LENGTH:,} characters", MAX_LENGTH)
    try:
        tree: Any = parse_one(text, into=exp.Condition)
    except RecursionError:
        raise WhereError("the condition is nested too deep", 0, "Split it.") from None
    except TokenError:
        quote = min((i for i in (text.rfind("'"), text.rfind('"')) if i >= 0), default=0)
        raise WhereError("a quote is not closed", quote, "Close it.") from None
    except ParseError as error:
        raise _syntax(error, text) from None
    return _convert(tree, 0)


def clauses(text: str) -> list[str]:
    """What the ANDs at the top of a condition join, each as it is written.

    Args:
        text: A condition that can be parsed.

    Returns:
        The condition itself where an OR, a NOT or nothing is at its top. What stands in
        parentheses is one clause; those around the whole condition are left out.
    """
    tokens = tokenize(text)
    while _enclosed(tokens):
        tokens = tokens[1:-1]
    found: list[list[Token]] = [[]]
    depth, between = 0, False
    for token in tokens:
        kind = token.token_type
        depth += _NESTS.get(kind, 0)
        if depth == 0 and kind is TokenType.OR:
            return [text]
        if depth == 0 and kind is TokenType.AND and not between:
            found.append([])
            continue
        if depth == 0 and kind in (TokenType.BETWEEN, TokenType.AND):
            between = kind is TokenType.BETWEEN
        found[-1].append(token)
    return [text[part[0].start : part[-1].end + 1] for part in found] if found[1:] else [text]


_NESTS = {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}


def _enclosed(tokens: list[Token]) -> bool:
    """Whether the first token is a parenthesis that the last one closes."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += _NESTS.get(token.token_type, 0)
        if depth == 0:
            return at > 0 and at == len(tokens) - 1
    return False


def _syntax(error: ParseError, text: str) -> WhereError:
    if not error.errors:
        return WhereError("the condition is empty", 0, "Write one, or remove the key.")
    found = error.errors[0]
    lines = text.splitlines(keepends=True)
    end = sum(map(len, lines[: found["line"] - 1])) + found["col"]
    word = found["highlight"] or ""
    missing = str(found["description"]).startswith("Required keyword")
    message = f"something is missing at '{word}'" if missing else f"'{word}' cannot stand here"
    return WhereError(f"not a condition: {message}", max(0, end - len(word)), ALLOWED)


def _convert(node: Any, depth: int) -> Term:
    if depth > MAX_DEPTH:
        raise WhereError("the condition is nested too deep", _offset(node), "Split it.")
    if type(node) in _CALLS:
        return _call(node, depth)
    if type(node) in _SPECIAL:
        return _SPECIAL[type(node)](node, depth)
    raise _refusal(node)


def _call(node: Any, depth: int) -> Term:
    name, keys = _CALLS[type(node)]
    negated = bool(node.args.get("negate"))  # of LIKE; NOT IN and NOT BETWEEN stand under a Not
    known = (*keys, "negate", "typed", "safe")
    more = [value for key, value in node.args.items() if value and key not in known]
    if more:
        if isinstance(more[0], exp.Query):
            raise _refusal(more[0])
        raise WhereError(f"this form of {name.upper()} is not allowed", _offset(node), ALLOWED)
    args = []
    for key in keys:
        value = node.args.get(key)
        for arg in value if isinstance(value, list) else [] if value is None else [value]:
            args.append(_convert(arg, depth + 1))
    first = args[0].offset
    offset = int(node.meta["start"]) if "start" in node.meta else first
    if name == "neg" and isinstance(args[0], Literal) and not isinstance(args[0].value, str):
        return Literal(-args[0].value, first)
    call = Call(name, tuple(args), offset)
    _check_literals(call)
    return Call("not", (call,), offset) if negated else call


def _check_literals(call: Call) -> None:
    """Arguments that must be literals, so that a condition means the same for every row."""
    literal = all(isinstance(arg, Literal) for arg in call.args[1:])
    if call.name == "in" and (len(call.args) < 2 or not literal):
        raise WhereError("IN takes a list of literals", call.offset, "Write a IN ('x', 'y').")
    if call.name in ("like", "ilike"):
        pattern = call.args[1]
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            raise WhereError(f"{call.name.upper()} takes a pattern in single quotes", call.offset)
        if len(pattern.value) > 1000:
            raise WhereError("a pattern is longer than 1,000 characters", pattern.offset)
    if call.name == "round" and len(call.args) == 2:
        digits = call.args[1]
        fits = isinstance(digits, Literal) and type(digits.value) is int
        if not fits or not 0 <= int(digits.value) <= 15:  # type: ignore[union-attr]  # fits says so
            raise WhereError("ROUND takes 0 to 15 digits", call.offset)


def _between(node: Any, depth: int) -> Term:
    if node.args.get("symmetric"):
        raise WhereError("this form of BETWEEN is not allowed", _offset(node), ALLOWED)
    term, low, high = (_convert(node.args[key], depth + 1) for key in ("this", "low", "high"))
    bounds = (Call(">=", (term, low), term.offset), Call("<=", (term, high), term.offset))
    return Call("and", bounds, term.offset)


def _connector(node: Any, depth: int) -> Term:
    """A chain of ANDs or of ORs, taken apart without recursion: chains may be long."""
    parts, stack = [], [node]
    while stack:
        part = stack.pop()
        if type(part) is type(node):
            stack += [part.expression, part.this]
        else:
            parts.append(_convert(part, depth + 1))
    return Call("and" if isinstance(node, exp.And) else "or", tuple(parts), parts[0].offset)


def _is(node: Any, depth: int) -> Term:
    if not isinstance(node.expression, exp.Null):
        raise _refusal(node)
    term = _convert(node.this, depth + 1)
    return Call("is null", (term,), term.offset)


def _column(node: Any, depth: int) -> Column:  # noqa: ARG001 - one signature for all
    identifier = node.this
    if not isinstance(identifier, exp.Identifier):
        raise _refusal(identifier)
    if any(value for key, value in node.args.items() if key != "this"):
        remedy = (
            "A field inside another cannot be named, make it a column of its own in the file; a"
            ' column whose own name holds a dot stands in double quotes: "a.b".'
        )
        raise WhereError("only columns can be named", _offset(node), remedy)
    return Column(str(identifier.this), bool(identifier.args.get("quoted")), _offset(node))


def _literal(node: Any, depth: int) -> Literal:  # noqa: ARG001 - one signature for all
    if isinstance(node, exp.Boolean):
        return Literal(bool(node.this), _offset(node))
    text = str(node.this)
    if node.is_string:
        return Literal(text, _offset(node))
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else float(text)
    if abs(value) >= 2**63 or not math.isfinite(value):
        raise WhereError(f"the number {text[:40]} is too large", _offset(node))
    return Literal(value, _offset(node))


def _refusal(node: Any) -> WhereError:
    name = next((words for kind, words in _REFUSED.items() if isinstance(node, kind)), None)
    remedy = next((words for kind, words in _REMEDIES.items() if isinstance(node, kind)), ALLOWED)
    if name is None and isinstance(node, exp.Func):
        word = node.this if isinstance(node, exp.Anonymous) else node.sql_name()
        name = f"the function {str(word).lower()[:40]}"
    return WhereError(
        f"{name or type(node).__name__.upper()} is not allowed", _offset(node), remedy
    )


def _offset(node: Any) -> int:
    """Where a node begins: the least position known of it and what is below it."""
    starts = [inner.meta["start"] for inner in node.walk() if "start" in inner.meta]
    return min(starts, default=0)


_SPECIAL: dict[type[Any], Callable[[Any, int], Term]] = {
    exp.Paren: lambda node, depth: _convert(node.this, depth + 1),
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: _literal,
    exp.And: _connector,
    exp.Or: _connector,
    exp.Is: _is,
    exp.Between: _between,
}
