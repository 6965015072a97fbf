from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.recipe.model import Source
from curate.sources import rows as rows_room
from curate.sources.detect import FormatError
from curate.sources.formats.alpaca import Alpaca
from curate.sources.formats.base import Format
from curate.sources.formats.messages import ROLES, Messages
from curate.sources.load import load


def turns_of(made):
    return [
        [(turn["role"], turn["content"]) for turn in row] for row in made.rows["messages"].to_list()
    ]


def test_alpaca_joins_instruction_and_input(loaded):
    rows = (
        {"instruction": "i", "input": "x", "output": "o"},
        {"instruction": "i", "input": "", "output": "o"},
        {"instruction": "i", "input": None, "output": "o"},
        {"instruction": "i", "output": "o", "system": "s", "history": [["q", "r"]]},
    )
    made = loaded("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert turns_of(made) == [
        [("user", "i\nx"), ("assistant", "o")],
        [("user", "i"), ("assistant", "o")],
        [("user", "i"), ("assistant", "o")],
        [("system", "s"), ("user", "q"), ("assistant", "r"), ("user", "i"), ("assistant", "o")],
    ]
    assert made.format.name == "alpaca"


TEXT = st.text(max_size=3) | st.sampled_from(["", "\n", '"', "\x00", "\U0001f600"])
ASKED = st.fixed_dictionaries(
    {"instruction": TEXT, "output": TEXT},
    optional={"input": TEXT | st.none(), "extra": TEXT | st.none(), "n": st.integers(0, 9)},
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ASKED, min_size=1, max_size=5))
def test_rows_read_column_by_column_are_those_read_one_by_one(folder, rows, monkeypatch):
    path = folder / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    together = load("s", Source(path="a.jsonl"))
    with monkeypatch.context() as patched:
        patched.setattr(Alpaca, "read_texts", Format.read_texts)
        alone = load("s", Source(path="a.jsonl"))
    assert together.rows.schema == alone.rows.schema
    assert together.rows.equals(alone.rows)
    assert together.facts == alone.facts
    assert turns_of(together) == [
        [(turn["role"], turn["content"]) for turn in Alpaca().read(row)] for row in rows
    ]


@pytest.mark.parametrize("kind", ["string", "json"])
@pytest.mark.parametrize("column", ["input", "extra"])
def test_a_column_with_a_type_is_read_alike_whatever_stands_beside_it(loaded, column, kind):
    rows = [{"instruction": "a", "input": "b", "output": "c", "extra": "d"} for _ in range(2)]
    alone = loaded("a.jsonl", "\n".join(map(json.dumps, rows)), types={column: kind})
    unlike = {**rows[0], "history": [["q", "r"]]}  # such a row has all of them read one by one
    beside = loaded("b.jsonl", "\n".join(map(json.dumps, [*rows, unlike])), types={column: kind})
    assert beside.rows[column].to_list()[:2] == alone.rows[column].to_list()
    value = rows[0][column]
    assert alone.rows[column].to_list() == [value if kind == "string" else json.dumps(value)] * 2


def test_a_format_that_reads_rows_in_its_own_way_is_asked_row_by_row():
    class Shouting(Alpaca):
        def read(self, row):
            turns = super().read(row)
            return [{**turn, "content": turn["content"].upper()} for turn in turns]

    assert not rows_room._alike(Shouting)
    assert rows_room._alike(Alpaca)
    assert not rows_room._alike(Messages)


def test_a_row_that_cannot_be_read_is_found_among_rows_of_text(loaded, refused):
    good = '{"instruction": "a", "input": "x", "output": "b"}\n'
    for bad, what in (
        ('{"instruction": "a", "output": null}\n', "output is null"),
        ('{"instruction": "a"}\n', "output is missing"),
        ('{"instruction": "a", "output": "b", "input": 3}\n', "input is a number, not text"),
        ('{"instruction": "a", "output": "b", "origin": "me"}\n', "origin is 'me'"),
    ):
        assert f"a.jsonl:3: {what}" in refused("a.jsonl", good * 2 + bad + good)
        made = loaded("a.jsonl", good * 2 + bad + good, on_failure={"set_aside": 1})
        assert made.rows["@line"].to_list() == [1, 2, 4]
        assert len(set(made.rows["id"])) == 3


@pytest.mark.parametrize("history", ["x", [["q"]], [["q", None]], {"q": "r"}])
def test_alpaca_history_that_is_none(refused, history):
    row = {"instruction": "i", "output": "o", "history": history}
    assert "history is not a list of pairs of texts" in refused("a.jsonl", json.dumps(row))


PAIRS = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=3)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=3) | st.none(), PAIRS)
def test_alpaca_writes_what_it_reads(system, pairs):
    messages = [{"role": "system", "content": system}] if system else []
    for asked, answered in pairs:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    written = Alpaca().write(messages)
    assert written is not None
    assert Alpaca().read(written) == messages


@pytest.mark.parametrize(
    "roles", [[], ["user"], ["system"], ["assistant", "user"], ["user", "assistant", "user"]]
)
def test_alpaca_does_not_write_what_it_cannot_say(roles):
    assert Alpaca().write([{"role": role, "content": "x"} for role in roles]) is None


MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": st.text(max_size=3)}),
    min_size=1,
)


@given(MESSAGES)
def test_messages_writes_what_it_reads(messages):
    assert Messages().read(Messages().write(messages)) == messages


def one(*turns: object) -> str:
    return json.dumps({"messages": list(turns)}) + "\n"


def test_messages_and_what_is_unread(loaded):
    user, bot = {"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}
    made = loaded("a.jsonl", one(user, bot) + one(user, bot, user, user) + one(user))
    assert made.rows.select("@instruction", "@response").rows() == [
        ("q", "r"),
        ("q", "r"),
        ("q", ""),
    ]
    assert made.facts == {"empty_instruction": 0, "empty_response": 1, "unread_turns": 2}
    assert "original_messages" not in made.rows.columns


def test_messages_with_more_than_role_and_content_stay_whole(loaded):
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    plain = {"role": "user", "content": "q", "name": None}
    made = loaded("a.jsonl", one(plain, call) + one(plain))
    assert turns_of(made) == [[("user", "q"), ("assistant", "")], [("user", "q")]]
    whole, nothing = made.rows["original_messages"].to_list()
    assert whole == json.dumps([plain, call], separators=(",", ":"))
    assert nothing is None


def test_whole_messages_hold_values_of_any_types(loaded):
    calls = [{"role": "assistant", "tool_calls": [{"arguments": v}]} for v in (1, "x", {}, [None])]
    made = loaded("a.jsonl", "".join(map(one, calls)))
    assert [json.loads(text) for text in made.rows["original_messages"]] == [
        [call] for call in calls
    ]


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        (None, "messages is null"),
        ("x", "messages is a string, not a list of turns"),
        ([], "messages is empty"),
        (["x"], "messages has a string for turn 1"),
        ([None], "messages has null for turn 1"),
        ([{"role": "human", "content": "x"}], "the role 'human' in turn 1"),
        ([{"content": "x"}], "no role in turn 1"),
        ([{"role": ["user"], "content": "x"}], "no role in turn 1"),
        ([{"role": "user", "content": None}], "no content in turn 1"),
        ([{"role": "user"}], "no content in turn 1"),
        (
            [{"role": "user", "content": "x"}, {"role": "user", "content": ["x"]}],
            "a list for content in turn 2",
        ),
    ],
)
def test_messages_that_cannot_be_read(refused, messages, what):
    message = refused("a.jsonl", json.dumps({"messages": messages}))
    assert message.startswith("a.jsonl:1: ")
    assert what in message


def test_dolly_mapping_on_real_data(shared_data):
    path = str(shared_data / "dolly15k.jsonl.gz")
    with pytest.raises(FormatError) as caught:
        load("s", Source(path=path))
    assert "the columns instruction, context, response, category fit no format" in str(caught.value)
    assert caught.value.suggestion == {"input": "context", "output": "response"}
    made = load("s", Source(path=path, columns=caught.value.suggestion), limit=100)
    row = made.rows.filter(made.rows["context"] != "").row(0, named=True)
    assert row["@instruction"] == f"{row['instruction']}\n{row['context']}"
    assert row["@response"] == row["response"]


GSM = '{"question": "q", "answer": "a"}\n'


def test_mapping_is_suggested(refused):
    message = refused("a.jsonl", GSM)
    assert "columns: {instruction: question, output: answer}" in message
    assert "alpaca needs instruction and output; messages needs messages" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"question": "instruction"}}, "columns: {instruction: question}"),
        ({"columns": {"instruction": "questio"}}, "Did you mean 'question'?"),
        ({"columns": {"instrution": "question"}}, "Did you mean 'instruction'?"),
        ({"columns": {"messages": "question"}, "format": "alpaca"}, "has no field 'messages'"),
        ({"format": "alpac"}, "Did you mean 'alpaca'?"),
        ({"format": "alpaca"}, "do not fit the format alpaca"),
    ],
)
def test_mapping_that_does_not_fit(refused, options, message):
    assert message in refused("a.jsonl", GSM, **options)


def test_mapped_fields_are_named_as_in_the_file(refused):
    mapping = {"instruction": "question", "output": "answer"}
    message = refused("a.jsonl", '{"question": 1, "answer": "a"}', columns=mapping)
    assert "question is a number" in message
    assert "types: {question: string}" in message


def test_mapped_messages_stay_under_their_own_name(loaded):
    row = {"conversation": [{"role": "user", "content": "q"}], "messages": "note"}
    rows = loaded("a.jsonl", json.dumps(row), columns={"messages": "conversation"}).rows
    assert rows["conversation"].to_list() == [row["conversation"]]
    assert rows["messages"].to_list() == [row["conversation"]]
    assert rows["original_messages"].to_list() == ["note"]


def test_ambiguous_columns(refused, loaded):
    content = json.dumps(
        {"instruction": "i", "output": "o", "messages": [{"role": "user", "content": "q"}]}
    )
    assert "fit the formats alpaca and messages" in refused("a.jsonl", content)
    assert turns_of(loaded("a.jsonl", content, format="messages")) == [[("user", "q")]]
    assert turns_of(loaded("a.jsonl", content, format="alpaca")) == [
        [("user", "i"), ("assistant", "o")]
    ]
