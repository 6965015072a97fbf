"""A row that a stage writes anew stands in the columns that its parent came in."""

import json

import pytest

from curate.sources.formats.alpaca import Alpaca
from curate.versions.make import run_recipe
from curate.versions.open import Version

ASKED = [{"role": "user", "content": "q"}]
ANSWERED = [{"role": "assistant", "content": "a"}]
AGAIN = [{"role": "user", "content": "q (again 0)"}]
SPOKEN = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
SPOKEN_AGAIN = [{"from": "human", "value": "q (again 0)"}, SPOKEN[1]]


@pytest.mark.parametrize(
    ("row", "options", "made"),
    [
        ({"prompt": "q", "completion": "a"}, {}, {"prompt": "q (again 0)", "completion": "a"}),
        (
            {"prompt": ASKED, "completion": ANSWERED, "tools": [{"name": "f"}]},
            {},
            {"prompt": AGAIN, "completion": ANSWERED, "tools": '[{"name":"f"}]'},
        ),
        (
            {"conversations": SPOKEN},
            {"types": {"conversations": "json"}},
            {"conversations": json.dumps(SPOKEN_AGAIN, separators=(",", ":"))},
        ),
        ({"messages": ASKED + ANSWERED, "tools": [{"name": "f"}]}, {}, {"tools": '[{"name":"f"}]'}),
        (
            {"chat": ASKED + ANSWERED},
            {"columns": {"messages": "chat"}},
            {"chat": AGAIN + ANSWERED},
        ),
        (
            {"instruction": "q", "input": "", "output": "a", "note": 1},
            {},
            {"instruction": "q (again 0)", "input": "", "output": "a", "note": 1},
        ),
    ],
)
def test_columns_of_a_row_that_takes_the_place_of_another(tmp_path, row, options, made):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    stage = {"expand": "toys.double", "with": {"in_place": True, "every": 1}}
    recipe = {"name": "t", "sources": {"s": {"path": str(file), **options}}, "pipeline": [stage]}
    frame = Version(run_recipe(recipe, out=tmp_path / "curated").path).frame()
    (child,) = frame.to_dicts()
    assert child["messages"] == AGAIN + ANSWERED
    assert {name: child[name] for name in made} == made


@pytest.mark.parametrize(
    ("was", "asked", "made"),
    [
        (("Add.", "1"), "Add.\n1 2", ("Add.", "1 2")),  # the instruction is still there
        (("Add.", "1\n2"), "Add them.\nup\n1\n2", ("Add them.\nup", "1\n2")),  # the input is
        (("Add. \nup", "1 "), "Add.\nup\n1", ("Add.\nup", "1")),  # neither, but as many lines
        (("Add.", "1"), "Sum\nup\n1 and 2", ("Sum\nup\n1 and 2", "")),  # nobody can tell
        (("Add.", ""), "Add\n1", ("Add\n1", "")),
        (("Add.", None), "Add\n1", ("Add\n1", "")),
    ],
)
def test_an_input_stays_where_it_can_be_told(was, asked, made):
    row = {"instruction": was[0], "input": was[1], "output": "3"}
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": "4"}]
    alpaca = Alpaca()
    fields = alpaca.rewrite_in_place(row, messages)
    assert (fields["instruction"], fields["input"]) == made
    assert alpaca.read(fields) == messages
    beside = alpaca.rewrite(row, messages)
    assert (beside["instruction"], beside["input"]) == (asked, "")
