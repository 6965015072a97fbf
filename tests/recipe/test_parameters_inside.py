"""Parameters inside parameters: what they name is read, checked and evaluated like any other."""

from __future__ import annotations

from typing import Annotated

from curate.contract.marks import Condition, Neutral, Reads
from curate.contract.parameters import Params, Reference, TextChoice, given, named_columns
from curate.run.resolve import _without_references


class Rule(Params):
    where: Annotated[str, Condition()]
    also: Annotated[list[str], Reads("any")]


class Near(Params):
    examples: Reference
    column: Annotated[str | None, Reads("vector")] = None


class Outer(Params):
    by: Annotated[str, Reads("string")]
    rules: list[Rule] | None = None
    near: Near | None = None
    text: TextChoice = "both"
    keep: Annotated[str | None, Condition()] = None


def test_columns_are_named_in_the_order_of_the_fields_at_every_depth() -> None:
    rules = [{"where": "a > 1", "also": ["b", "c"]}, {"where": "d > 1", "also": []}]
    near = {"examples": "x.jsonl", "column": "v"}
    params = Outer.model_validate({"by": "e", "rules": rules, "near": near, "keep": "f > 1"})
    assert list(named_columns(params)) == [
        *("e", "@rules.0.where", "b", "c", "@rules.1.where", "v", "@both", "@keep"),
    ]


def test_what_is_not_given_names_nothing() -> None:
    params = Outer.model_validate({"by": "e", "near": {"examples": "x.jsonl"}})
    assert list(named_columns(params)) == ["e", "@both"]


def test_every_parameter_has_its_place_and_marks() -> None:
    params = Outer.model_validate({"by": "e", "rules": [{"where": "a > 1", "also": []}]})
    found = {each.path: each for each in given(params)}
    assert [*found] == [
        ("by",),
        ("rules",),
        ("rules", 0, "where"),
        ("rules", 0, "also"),
        ("near",),
        ("text",),
        ("keep",),
    ]
    assert found["rules", 0, "where"].name == "rules.0.where"
    assert found["rules", 0, "where"].mark(Condition) == Condition()
    assert found["rules", 0, "where"].mark(Reads) is None
    assert found["by",].mark(Reads) == Reads("string")


class Quick(Params):
    size: int
    threads: Annotated[int, Neutral()] = 1


class Many(Params):
    parts: list[Quick]


def test_what_changes_no_result_is_in_no_key_at_any_depth() -> None:
    params = Many.model_validate({"parts": [{"size": 2, "threads": 5}, {"size": 3}]})
    assert _without_references(params) == {"parts": [{"size": 2}, {"size": 3}]}
