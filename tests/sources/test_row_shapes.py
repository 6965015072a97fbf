"""ShareGPT, prompt and completion, and messages that call tools: read, written, converted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.sources.formats.messages import ROLES, Messages
from curate.sources.formats.prompt_completion import PromptCompletion
from curate.sources.formats.sharegpt import ROLES as SPEAKERS
from curate.sources.formats.sharegpt import ShareGPT
from curate.sources.formats.text import Text
from curate.sources.formats.tools import calls_of, text_of_calls, tools_of

TEXT = st.text(max_size=4)
TURN = st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": TEXT})
CONVERSATION = st.lists(TURN, min_size=1, max_size=5)


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def pairs(made):
    return [
        [(turn["role"], turn["content"]) for turn in row] for row in made.rows["messages"].to_list()
    ]


@given(CONVERSATION)
def test_sharegpt_writes_what_it_reads(messages):
    written = ShareGPT().write(messages)
    if any(turn["role"] == "developer" for turn in messages):
        assert written is None
    else:
        assert ShareGPT().read(written) == messages


@given(CONVERSATION)
def test_prompt_and_completion_write_what_they_read(messages):
    written = PromptCompletion().write(messages)
    if "assistant" not in [turn["role"] for turn in messages[1:]]:
        assert written is None
    else:
        assert PromptCompletion().read(written) == messages


SPOKEN = st.lists(
    st.fixed_dictionaries({"from": st.sampled_from(sorted(SPEAKERS)), "value": TEXT}),
    min_size=1,
    max_size=5,
)


@given(SPOKEN, TEXT | st.none())
def test_sharegpt_reads_who_says_what(turns, system):
    read = ShareGPT().read({"conversations": turns, "system": system})
    said = [{"role": SPEAKERS[turn["from"]], "content": turn["value"]} for turn in turns]
    if system and said[0]["role"] != "system":
        said = [{"role": "system", "content": system}, *said]
    assert read == said


CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.text(min_size=1, max_size=4),
            "arguments": st.dictionaries(TEXT, st.integers(-9, 9) | TEXT, max_size=2),
        }
    ),
    min_size=1,
    max_size=3,
)


@given(CALLS)
def test_calls_of_tools_are_the_same_in_both_shapes(calls):
    text = json.dumps(calls[0] if len(calls) == 1 else calls)
    made = calls_of(text)
    assert [json.loads(call["function"]["arguments"]) for call in made] == [
        call["arguments"] for call in calls
    ]
    assert [call["function"]["name"] for call in made] == [call["name"] for call in calls]
    assert json.loads(text_of_calls(made)) == json.loads(text)


@pytest.mark.parametrize("text", ["", "x", "3", "[]", '{"arguments": {}}', '[{"name": "f"}, 1]'])
def test_text_that_is_no_call(text):
    assert calls_of(text) is None


CALLING = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "1",
                "type": "function",
                "function": {"name": "w", "arguments": '{"at": "Bern"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "1", "name": "w", "content": "sun"},
    {"role": "assistant", "content": "Sun."},
]
TOOLS = [{"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}]


def test_tool_calls_go_from_messages_to_sharegpt_and_back():
    written = ShareGPT().write(CALLING, TOOLS)
    assert written["conversations"] == [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": '{"name":"w","arguments":{"at":"Bern"}}'},
        {"from": "observation", "value": "sun"},
        {"from": "gpt", "value": "Sun."},
    ]
    assert json.loads(written["tools"]) == TOOLS
    back = ShareGPT().whole(written)
    call = {"type": "function", "function": {"name": "w", "arguments": '{"at":"Bern"}'}}
    assert back.turns == [
        CALLING[0],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "sun"},
        CALLING[3],
    ]
    assert back.tools == TOOLS


def test_a_call_that_says_something_besides_or_has_no_name_is_not_sharegpt():
    talking = {**CALLING[1], "content": "Let me see."}
    nameless = {**CALLING[1], "tool_calls": [{"function": {"arguments": "{}"}}]}
    by_user = {**CALLING[1], "role": "user"}
    for turn in (talking, nameless, by_user):
        assert ShareGPT().write([CALLING[0], turn]) is None


def test_tool_calls_stay_whole_in_messages_and_in_lists_of_turns():
    assert Messages().write(CALLING, TOOLS) == {"messages": CALLING, "tools": TOOLS}
    row = PromptCompletion().write(CALLING, TOOLS)
    assert row == {"prompt": CALLING[:3], "completion": CALLING[3:], "tools": TOOLS}
    assert PromptCompletion().whole(row).turns == CALLING


@pytest.mark.parametrize(
    ("tools", "found"),
    [
        (None, None),
        ("", None),
        ([], None),
        (json.dumps(TOOLS), TOOLS),
        (json.dumps(TOOLS[0]), TOOLS),
        ("search(x)", ["search(x)"]),
        ([{"name": "f", "more": None}], [{"name": "f", "more": None}]),
    ],
)
def test_tools_of_a_row(tools, found):
    assert tools_of({"tools": tools}) == found


def test_auto_knows_the_shapes_by_their_columns(loaded):
    conversations = {"conversations": [{"from": "human", "value": "q"}]}
    assert loaded("a.jsonl", lines(conversations)).format.name == "sharegpt"
    assert (
        loaded("b.jsonl", lines({"prompt": "p", "completion": "c"})).format.name
        == "prompt-completion"
    )


@given(CONVERSATION)
def test_a_text_is_one_turn_of_the_assistant(messages):
    written = Text().write(messages)
    assert (written is None) == ([turn["role"] for turn in messages] != ["assistant"])
    assert written is None or Text().read(written) == messages


def test_plain_text_is_named_and_read_whole(loaded):
    rows = lines({"text": "One\ntwo", "n": 1}, {"text": "", "n": 2})
    made = loaded("a.jsonl", rows, format="text")
    assert pairs(made) == [[("assistant", "One\ntwo")], [("assistant", "")]]
    assert made.rows["@both"].to_list() == ["One\ntwo", ""]
    with pytest.raises(CurateError, match="fit no format") as refused:
        loaded("a.jsonl", rows)
    assert "`format: text`" in refused.value.remedy


def test_rows_of_several_turns_and_unknown_columns(loaded):
    row = {
        "conversations": [
            {"from": "human", "value": "q", "weight": None},
            {"from": "gpt", "value": "a", "weight": 1},
        ],
        "system": "s",
        "note": {"deep": [1, 2]},
    }
    made = loaded("a.jsonl", lines(row))
    assert pairs(made) == [[("system", "s"), ("user", "q"), ("assistant", "a")]]
    assert made.rows["conversations"].to_list() == [row["conversations"]]
    assert made.rows["note"].to_list() == [row["note"]]


def test_texts_are_read_column_by_column_as_one_by_one(loaded):
    rows = [{"prompt": "p", "completion": "c"}, {"prompt": "", "completion": ""}]
    together = loaded("a.jsonl", lines(*rows))
    assert pairs(together) == [
        [(t["role"], t["content"]) for t in PromptCompletion().read(r)] for r in rows
    ]
    assert together.facts["empty_response"] == 1
    alone = loaded("a.jsonl", lines(*rows), types={"prompt": "string"})
    assert alone.rows["messages"].to_list() == together.rows["messages"].to_list()


def test_lists_of_turns_with_a_system_and_without_an_answer(loaded):
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    answer = [{"role": "assistant", "content": "a"}]
    made = loaded(
        "a.jsonl",
        lines({"prompt": prompt, "completion": answer}, {"prompt": prompt, "completion": []}),
    )
    asked = [("system", "s"), ("user", "q")]
    assert pairs(made) == [[*asked, ("assistant", "a")], asked]


def spoken(*turns):
    return {"conversations": list(turns)}


GOOD = {"from": "human", "value": "q"}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            spoken(GOOD, {"from": "bot", "value": "x"}),
            "conversations has the speaker 'bot' in turn 2",
        ),
        (spoken({"value": "x"}), "no `from` in turn 1"),
        (spoken({"from": "gpt"}), "no value in turn 1"),
        (spoken({"from": "gpt", "value": ["x"]}), "a list for value in turn 1"),
        (spoken("x"), "a string for turn 1"),
        (spoken(), "conversations is empty"),
        (spoken(None), "null for turn 1"),
        ({"conversations": "x"}, "a string, not a list of turns"),
        (spoken({"role": "user", "content": "x"}), "columns: {messages: conversations}"),
        ({**spoken(GOOD), "system": 3}, "system is a number, not text"),
        ({"prompt": None, "completion": "c"}, "prompt is null"),
        ({"prompt": "p", "completion": None}, "completion is null"),
        ({"prompt": [], "completion": "c"}, "prompt is empty"),
        (
            {"prompt": [{"role": "me", "content": "x"}], "completion": "c"},
            "prompt has the role 'me'",
        ),
        ({"prompt": "p", "completion": 3}, "completion is a number, not text"),
    ],
)
def test_rows_that_cannot_be_read(refused, row, what):
    message = refused("a.jsonl", lines(row))
    assert message.startswith("a.jsonl:1: ")
    assert what in message


def test_a_row_made_from_another_is_written_in_its_form():
    shape = PromptCompletion()
    new = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    lists = {"prompt": new[:1], "completion": new[1:]}
    assert shape.rewrite({"prompt": "p", "completion": "c"}, new) == {
        "prompt": "q", "completion": "a", "tools": None,
    }  # fmt: skip
    assert shape.rewrite({**lists, "tools": TOOLS}, new) == {**lists, "tools": TOOLS}
    longer = [{"role": "system", "content": "s"}, *new]
    assert shape.rewrite({"prompt": "p", "completion": "c"}, longer)["prompt"] is None
    assert ShareGPT().rewrite({"system": "old", "tools": "[]"}, new) == {
        "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
        "system": None,
        "tools": "[]",
    }


def test_one_file_has_texts_or_lists():
    shape = PromptCompletion()
    texts = {"prompt": "p", "completion": "c"}
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    lists = {"prompt": turns[:1], "completion": turns[1:]}
    assert shape.settle([texts, texts]) == [texts, texts]
    mixed = shape.settle([texts, lists])
    assert mixed[1] == lists
    assert mixed[0] == {
        "prompt": [{"role": "user", "content": "p"}],
        "completion": [{"role": "assistant", "content": "c"}],
    }
