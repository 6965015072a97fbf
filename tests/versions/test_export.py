"""Exports: rows as they came, converted where they came otherwise, and never over a file."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.commands import call
from curate.errors import CurateError, UsageError
from curate.sources.formats.found import every_shape
from curate.versions import export as exporting
from curate.versions.export import export, target
from curate.versions.make import run_recipe
from curate.versions.open import Version

LENGTH = {"score": "core.length", "id": "length"}
ALPACA = [
    {"instruction": "Add.", "input": "1 and 2", "output": "3", "topic": "math"},
    {"instruction": "Name a colour.", "input": "", "output": "Red\u2028\u0000 \"\\", "topic": None},
]  # fmt: skip
CALL = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"at": "Bern"}'}}
CALLING = {
    "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "assistant", "content": "Sun."},
    ],
    "tools": [{"type": "function", "function": {"name": "w"}}],
}
SPOKEN = {
    "conversations": [
        {"from": "human", "value": "q"},
        {"from": "gpt", "value": "a", "weight": 1},
        {"from": "human", "value": "r"},
        {"from": "gpt", "value": "b"},
    ],
    "system": "Be kind.",
}


@pytest.fixture
def version(tmp_path):
    """Publishes rows by source; `columns` maps fields of all of them."""

    def make(sources, *pipeline, **options):
        said = {}
        for name, rows in sources.items():
            file = tmp_path / "in" / f"{name}.jsonl"
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
            said[name] = {"path": str(file), **options}
        recipe = {"name": "toy", "sources": said, "pipeline": list(pipeline or [LENGTH])}
        return Version(run_recipe(recipe, out=tmp_path / "curated").path)

    return make


def read(file):
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        ("alpaca", {"instruction": "i", "input": "x", "output": "o"}),
        (
            "alpaca",
            {
                "system": "s",
                "history": [["q", "a"]],
                "instruction": "i",
                "input": "",
                "output": "o",
            },
        ),
        ("messages", CALLING),
        ("sharegpt", SPOKEN),
        ("sharegpt", {"conversations": [{"from": "user", "value": "q"}], "tools": "[]"}),
        ("prompt-completion", {"prompt": "p", "completion": ""}),
        ("text", {"text": "what\nis learned"}),
        (
            "prompt-completion",
            {"prompt": CALLING["messages"][:3], "completion": CALLING["messages"][3:]},
        ),
    ],
)
def test_rows_go_out_as_they_came_but_for_other_columns(version, tmp_path, shape, row):
    named = {"format": "text"} if shape == "text" else {}
    made = version({"a": [{"before": 1, **row, "after": [1]}]}, **named)
    exported = export(made, tmp_path / "x.jsonl", shape)
    line = (tmp_path / "x.jsonl").read_text()
    assert line == json.dumps(row, separators=(",", ":")) + "\n" or json.loads(line) == row
    assert list(json.loads(line)) == list(row)
    assert (exported.rows, exported.unchanged, exported.skipped) == (1, 1, 0)


TEXT = st.text(max_size=5) | st.sampled_from(["\x00", "\r\n", "\u2028", "\U0001f600", '"\\'])


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.fixed_dictionaries({"instruction": TEXT, "input": TEXT, "output": TEXT}),
        min_size=1,
        max_size=4,
    )
)
def test_alpaca_in_is_alpaca_out_to_the_byte(version, tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("x") / "x.jsonl"
    export(version({"a": rows}), file, "alpaca")
    assert [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] == rows


def test_names_of_a_mapping_become_those_of_the_format(version, tmp_path):
    rows = [{"question": "q", "context": "c", "answer": "a"}]
    mapping = {"instruction": "question", "input": "context", "output": "answer"}
    export(version({"a": rows}, columns=mapping), tmp_path / "x.jsonl", "alpaca")
    assert read(tmp_path / "x.jsonl") == [{"instruction": "q", "input": "c", "output": "a"}]


def test_every_shape_from_every_shape(version, tmp_path):
    plain = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    shapes = [shape for shape, _ in every_shape() if not shape.paired and shape.name != "text"]
    names = [shape.name for shape in shapes]
    assert names == ["alpaca", "messages", "prompt-completion", "sharegpt"]
    rows = {shape.name.replace("-", "_"): [shape.write(plain)] for shape in shapes}
    made = version(rows)
    for shape in shapes:
        exported = export(made, tmp_path / f"{shape.name}.jsonl", shape.name)
        assert read(exported.path) == [shape.write(plain)] * 4
        assert exported.unchanged == 1


def test_calls_go_whole_into_shapes_that_know_them(version, tmp_path):
    called = {"name": "w", "arguments": {"at": "Bern"}}
    spoken = [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": json.dumps(called)},
        {"from": "observation", "value": "sun"},
        {"from": "gpt", "value": "Sun."},
    ]
    tools = json.dumps(CALLING["tools"])
    made = version({"s": [{"conversations": spoken, "tools": tools}]}, types={"tools": "string"})
    export(made, tmp_path / "m.jsonl", "messages")
    (row,) = read(tmp_path / "m.jsonl")
    function = {"name": "w", "arguments": '{"at":"Bern"}'}
    assert row["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": function}],
    }
    assert row["tools"] == CALLING["tools"]
    back = version({"m": [CALLING]})
    exported = export(back, tmp_path / "s.jsonl", "sharegpt")
    (row,) = read(tmp_path / "s.jsonl")
    assert json.loads(row["conversations"][1]["value"]) == called
    assert json.loads(row["tools"]) == CALLING["tools"]
    assert exported.lost == {"tool_call_id": 1}


def test_what_turns_hold_besides_goes_along_or_is_counted(version, tmp_path):
    made = version({"s": [SPOKEN]})
    export(made, tmp_path / "m.jsonl", "messages")
    (row,) = read(tmp_path / "m.jsonl")
    assert row["messages"][2] == {"role": "assistant", "content": "a", "weight": 1}
    assert row["messages"][4] == {"role": "assistant", "content": "b"}
    assert export(made, tmp_path / "a.jsonl", "alpaca").lost == {"weight": 1}


def test_whole_messages_that_were_read_as_json(version, tmp_path):
    rows = [
        {"messages": [CALLING["messages"][0], {**CALLING["messages"][1], "more": n}]}
        for n in (1, "x")
    ]
    made = version({"m": rows}, types={"messages": "json"})
    export(made, tmp_path / "x.jsonl", "messages")
    assert read(tmp_path / "x.jsonl") == rows
    with pytest.raises(CurateError, match=r"Parquet cannot hold it: messages\[\]\.more") as caught:
        export(made, tmp_path / "x.parquet", "messages")
    assert caught.value.remedy == "Export to .jsonl."
    assert not (tmp_path / "x.parquet").exists()


def test_what_a_stage_rewrote_does_not_go_out_as_it_came(version, tmp_path):
    again = {"expand": "toys.double", "with": {"in_place": True, "every": 1}}
    made = version({"a": ALPACA[:1], "m": [{"messages": CALLING["messages"]}]}, again)
    export(made, tmp_path / "a.jsonl", "alpaca")
    export(made, tmp_path / "m.jsonl", "messages")
    texts = ["Add.\n1 and 2 (again 0)", "Weather?\n\nsun (again 0)"]
    asked = [(row["instruction"], row["input"]) for row in read(tmp_path / "a.jsonl")]
    assert asked == [("Add.", "1 and 2 (again 0)"), (texts[1], "")]
    assert [row["messages"][0]["content"] for row in read(tmp_path / "m.jsonl")] == texts


def test_rewritten_rows_are_told_from_those_that_came_and_from_converted_ones(
    version, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    again = {
        "expand": "toys.double",
        "id": "again",
        "where": "source = 'b'",
        "with": {"in_place": True, "every": 1},
    }
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    version({"a": ALPACA[:1], "b": ALPACA[1:2], "m": [{"messages": talk}]}, again)
    assert call(["export", "toy", "--format", "alpaca", "--to", "x.jsonl"]) == 0
    said = capsys.readouterr().err
    assert "x.jsonl: 3 rows, 1 as they came, 1 rewritten by again, 1 converted\n" in said
    assert call(["export", "toy", "--format", "messages", "--to", "y.jsonl", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["unchanged"], facts["rewritten"]) == (1, {})


def test_rows_that_a_shape_cannot_say(version, tmp_path):
    made = version({"a": ALPACA, "m": [CALLING]})
    id = made.frame().filter(pl.col("source") == "m")["id"].item()
    with pytest.raises(CurateError) as caught:
        export(made, tmp_path / "x.jsonl", "alpaca")
    assert f"1 of 3 rows cannot be said in the shape alpaca, the first of them {id}" in str(
        caught.value
    )
    assert "--skip" in str(caught.value)
    assert list(tmp_path.glob("*x.jsonl")) == []
    exported = export(made, tmp_path / "x.jsonl", "alpaca", skip=True)
    assert (exported.rows, exported.skipped) == (2, 1)
    alone = version({"m": [CALLING]})
    with pytest.raises(CurateError, match="Choose another format"):
        export(alone, tmp_path / "y.jsonl", "alpaca", skip=True)


def test_texts_beside_lists_become_lists(version, tmp_path):
    made = version({"p": [{"prompt": "p", "completion": "c"}], "s": [SPOKEN]})
    export(made, tmp_path / "x.jsonl", "prompt-completion")
    rows = read(tmp_path / "x.jsonl")
    assert rows[0]["prompt"] == [{"role": "user", "content": "p"}]
    assert [turn["content"] for turn in rows[1]["prompt"]] == ["Be kind.", "q", "a", "r"]


def test_what_stands_beside_the_fields(version, tmp_path):
    made = version({"a": ALPACA}, origin="human")
    frame = made.frame()
    plain = export(made, tmp_path / "a.jsonl", "alpaca")
    assert plain.fields == ("instruction", "input", "output")
    full = export(
        made, tmp_path / "b.jsonl", "alpaca", scores=True, provenance=True, columns=["topic"]
    )
    rows = read(full.path)
    assert list(rows[0]) == [
        *("instruction", "input", "output", "id", "source", "origin", "generator", "license"),
        *("ability", "parents", "length_characters", "length_words", "topic"),
    ]
    assert [row["id"] for row in rows] == frame["id"].to_list()
    assert [row["topic"] for row in rows] == ["math", None]
    scores = dict(made.scores.select("id", "length_words").iter_rows())
    assert [row["length_words"] for row in rows] == [scores[row["id"]] for row in rows]
    one = export(made, tmp_path / "c.jsonl", "alpaca", columns=["length_words"])
    assert one.fields[3:] == ("length_words",)
    with pytest.raises(UsageError, match="Did you mean 'topic'"):
        export(made, tmp_path / "d.jsonl", "alpaca", columns=["topik"])
    with pytest.raises(UsageError, match="'output' is a field of alpaca"):
        export(made, tmp_path / "d.jsonl", "alpaca", columns=["output"])


def test_files_of_every_kind_hold_the_same_rows(version, tmp_path):
    made = version({"a": ALPACA, "m": [CALLING]})
    for suffix in exporting.SUFFIXES:
        export(made, tmp_path / f"x{suffix}", "messages", provenance=True)
    rows = read(tmp_path / "x.jsonl")
    packed = gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes())
    assert packed == (tmp_path / "x.jsonl").read_bytes()
    with pa.input_stream(str(tmp_path / "x.jsonl.zst"), compression="zstd") as stream:
        assert stream.read() == packed
    table = pl.read_parquet(tmp_path / "x.parquet")
    assert table["id"].to_list() == [row["id"] for row in rows]
    assert table["messages"][2][1]["tool_calls"][0]["id"] == "c1"
    assert table.schema["generator"] == pl.String
    assert table.schema["parents"] == pl.List(pl.String)


def test_the_same_version_gives_the_same_bytes(version, tmp_path):
    made = version({"a": ALPACA, "m": [CALLING]})
    for suffix in exporting.SUFFIXES:
        for name in ("one", "two"):
            export(made, tmp_path / f"{name}{suffix}", "messages", scores=True)
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_an_export_reads_as_a_source_again(version, tmp_path):
    made = version({"a": ALPACA, "s": [SPOKEN]})
    for shape in (shape for shape, _ in every_shape() if not shape.paired and shape.name != "text"):
        again = version(
            {"x": read(export(made, tmp_path / f"{shape.name}.jsonl", shape.name).path)}
        )
        assert again.frame()["messages"].to_list() == made.frame()["messages"].to_list()


def test_nothing_is_written_over(version, tmp_path, monkeypatch):
    made = version({"a": ALPACA})
    file = tmp_path / "x.jsonl"
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"x\.jsonl is there already"):
        target(made, file, folder=False)
    with pytest.raises(UsageError, match="has appeared meanwhile"):
        export(made, file, "alpaca")
    monkeypatch.setattr(exporting.os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    with pytest.raises(UsageError, match="has appeared meanwhile"):
        export(made, file, "alpaca")
    assert file.read_text() == "mine"
    export(made, tmp_path / "y.jsonl", "alpaca")
    assert len(read(tmp_path / "y.jsonl")) == 2
    assert not list(tmp_path.glob(".*"))


def test_in_python(version, tmp_path):
    made = version({"a": ALPACA})
    exported = made.export(tmp_path / "x.jsonl", "alpaca", columns=["topic"])
    assert read(exported.path) == ALPACA
    assert made.export(f"{tmp_path}/new/", "messages").path == tmp_path / "new" / "toy-v1.jsonl"


def test_where_an_export_may_go(version, tmp_path):
    made = version({"a": ALPACA})
    assert target(made, tmp_path / "new", folder=False) == tmp_path / "new" / "toy-v1.jsonl"
    assert target(made, tmp_path, folder=False) == tmp_path / "toy-v1.jsonl"
    assert target(made, tmp_path / "v1.2", folder=True) == tmp_path / "v1.2" / "toy-v1.jsonl"
    with pytest.raises(UsageError, match=r"exports are \.jsonl"):
        target(made, tmp_path / "x.csv", folder=False)
    with pytest.raises(UsageError, match="would lie in a version"):
        target(made, made.path / "data" / "x.jsonl", folder=False)


def test_the_command(version, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    version({"a": ALPACA, "m": [CALLING]})
    assert call(["export", "toy", "--format", "alpaca", "--to", "x.jsonl"]) == 1
    assert "1 of 3 rows cannot be said" in capsys.readouterr().err
    assert call(["export", "toy@v1", "--format", "alpaca", "--to", "x.jsonl", "--skip"]) == 0
    said = capsys.readouterr()
    assert "wrote x.jsonl: 2 rows, all as they came\nleft out: 1 row that" in said.err
    assert said.out.startswith("# LLaMA-Factory, dataset_info.json:\n{")
    assert call(["export", "toy", "--format", "alpaka", "--to", "y.jsonl"]) == 2
    assert "Did you mean 'alpaca'?" in capsys.readouterr().err
    assert call(["export", "toy", "--format", "alpaca", "--to", "x.jsonl"]) == 2
    assert "there already" in capsys.readouterr().err
    assert call(["export", "toy", "--format", "messages", "--to", "d/", "--json", "--scores"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["path"], facts["rows"], facts["unchanged"]) == ("d/toy-v1.jsonl", 3, 1)
    assert facts["files"] == ["d/dataset_info.json", "d/toy-v1.axolotl.yaml"]
    assert {Path(file).name for file in facts["files"]} < {p.name for p in Path("d").iterdir()}


def test_tools_and_calls_go_out_as_they_came(version, tmp_path):
    """Objects without fields, nulls, numbers of any length and the order of keys are said whole."""
    schema = {"type": "object", "properties": {}, "default": None}
    function = {"name": "now", "arguments": {}}
    call = {"type": "function", "id": "c1", "function": function}
    other = {"function": {"arguments": {"wei": 10**24, "x": [None]}, "name": "pay"}}
    turns = [
        {"content": "q", "role": "user"},
        {"role": "assistant", "tool_calls": [call, other], "content": None},
    ]
    one = {"messages": turns, "tools": [{"function": {"name": "now", "parameters": schema}}]}
    plain = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    exported = version({"s": [one, plain]}).export(tmp_path / "out.jsonl", "messages")
    assert (exported.unchanged, dict(exported.lost)) == (2, {})
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    expected = [one, plain | {"tools": None}]  # every line of a file has the same keys
    assert [json.dumps(json.loads(line)) for line in lines] == list(map(json.dumps, expected))


def test_conversations_of_all_shapes_go_into_one_version(version, tmp_path):
    spoken = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    shared = {"conversations": spoken, "tools": json.dumps(CALLING["tools"])}
    mixed = {"messages": [{"role": "assistant", "tool_calls": [{"n": n}]} for n in (1, "x")]}
    made = version({"a": [shared], "b": [CALLING], "c": [mixed]})
    assert made.manifest["books"]["kept"] == 3
    made.export(tmp_path / "out.jsonl", "messages", skip=True)
    assert [row.get("tools") for row in read(tmp_path / "out.jsonl")][:2] == [CALLING["tools"]] * 2


def test_numbers_that_json_does_not_have_are_counted(version, tmp_path):
    made = version({"s": ALPACA})
    file = made.path / "scores.parquet"
    scores = pl.read_parquet(file)
    file.unlink()
    scores.with_columns(x=pl.Series([float("nan"), 1.0])).write_parquet(file)
    exported = made.export(tmp_path / "out.jsonl", "alpaca", scores=True)
    assert exported.nulled == {"x": 1}
    assert [row["x"] for row in read(tmp_path / "out.jsonl")].count(None) == 1
    assert made.export(tmp_path / "out.parquet", "alpaca", scores=True).nulled == {}
