"""`llm.rewrite`: which part is written anew, beside the row or in its place."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import AnswerError, CurateError
from curate_llm.rewrite import RewriteParams, exchange_of

REPLAY = {"backend": "replay", "answers": "answers.jsonl", "model": "m", "max_tokens": 100}

PROMPT, BOTH = "{{ instruction }}|{{ response }}", " as instruction, response"


def recipe(*, stage=None, **given):
    given = {"prompt": PROMPT, "llm": REPLAY} | given
    return {
        "name": "written",
        "sources": {"pool": {"path": "pool.jsonl", "origin": "unknown"}},
        "pipeline": [{"expand": "llm.rewrite", "id": "w", "with": given, **(stage or {})}],
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Say {n}.", "input": "now", "output": f"{n}"} for n in range(3)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def recorded(said):
    lines = [{"prompt": prompt, "answer": answer} for prompt, answer in said.items()]
    Path("answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def answers(text, asked=""):
    recorded({f"Say {n}.\nnow|{n}{asked}": text.format(n=n) for n in range(3)})


def test_a_response_is_written_anew_beside_its_row(place):
    answers(" It is {n}.\n")
    version = curate.run(recipe(writes="response"))
    books = version.manifest["books"]
    assert (books["created"], books["kept"], books["merged"]) == (3, 6, 0)
    new = version.frame().filter(pl.col("parents").list.len() > 0).sort("output")
    assert new["output"].to_list() == [f"It is {n}." for n in range(3)]
    asked = [turns[0]["content"] for turns in new["messages"]]
    assert asked == [f"Say {n}.\nnow" for n in range(3)]
    assert set(new["generator"]) == {"m"}
    old = version.frame().filter(pl.col("parents").list.len() == 0)
    assert set(new["parents"].explode()) == set(old["id"])


def test_in_place_the_row_is_merged(place):
    answers("It is {n}.")
    version = curate.run(recipe(writes="response", in_place=True))
    books = version.manifest["books"]
    assert (books["created"], books["kept"], books["merged"]) == (3, 3, 3)
    assert set(version.frame()["output"]) == {f"It is {n}." for n in range(3)}


def test_both_parts_are_a_checked_object(place):
    answers('{{"instruction": "Please say {n}.", "response": "It is {n}."}}', asked=BOTH)
    version = curate.run(recipe(writes="both", in_place=True, prompt=f"{PROMPT}{BOTH}"))
    said = version.frame()["messages"].to_list()
    assert sorted([turn["content"] for turn in turns] for turns in said) == [
        [f"Please say {n}.", f"It is {n}."] for n in range(3)
    ]


def test_both_parts_in_another_form_fail_the_row(place):
    answers('{{"instruction": "Please say {n}."}}', asked=BOTH)
    llm = REPLAY | {"reasks": 0}
    given = recipe(writes="both", in_place=True, llm=llm, prompt=f"{PROMPT}{BOTH}")
    with pytest.raises(CurateError, match="response: Field required"):
        curate.run(given)


def test_a_prompt_for_both_parts_names_them(place):
    answers('{{"instruction": "Please say {n}.", "response": "It is {n}."}}')
    with pytest.raises(CurateError, match="does not name 'instruction' nor 'response'"):
        curate.check(recipe(writes="both"))


def test_a_human_s_row_becomes_mixed_and_a_model_s_synthetic(place):
    answers("It is {n}.")
    for origin, expected in (("human", "mixed"), ("synthetic", "synthetic")):
        given = recipe(writes="response", in_place=True)
        given["sources"]["pool"]["origin"] = origin
        assert set(curate.run(given).frame()["origin"]) == {expected}


@pytest.mark.parametrize("in_place", [True, False])
def test_an_answer_that_changes_nothing_leaves_the_row(place, in_place):
    answers("{n}")
    version = curate.run(recipe(writes="response", in_place=in_place))
    books = version.manifest["books"]
    assert (books["created"], books["kept"], books["merged"]) == (0, 3, 0)


def test_a_failed_row_is_replaced_by_nothing(place):
    recorded({"Say 0.\nnow|0": "Zero.", "Say 1.\nnow|1": "One.", "Say 2.\nnow|2": "\t "})
    given = recipe(writes="response", in_place=True, stage={"on_failure": {"set_aside": 2}})
    version = curate.run(given)
    assert sorted(version.frame()["output"]) == ["One.", "Zero."]
    failed = version.ledger.filter(pl.col("fate") == "failed")
    assert any("empty" in detail for detail in failed["detail"])


def test_earlier_and_later_turns_stay(place):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Say 1."},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Thanks."},
    ]
    Path("pool.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    recorded({"system: Be brief. user: Hi. assistant: Hello. > Say 1.": "One"})
    prompt = "{% for t in earlier %}{{ t.role }}: {{ t.content }} {% endfor %}> {{ instruction }}"
    version = curate.run(recipe(writes="instruction", in_place=True, prompt=prompt))
    (said,) = version.frame()["messages"].to_list()
    assert said == [*turns[:3], {"role": "user", "content": "One"}, *turns[4:]]


def test_a_row_without_an_answer_gets_one(place):
    row = {"messages": [{"role": "user", "content": "Say 1."}]}
    Path("pool.jsonl").write_text(json.dumps(row) + "\n")
    recorded({"Say 1.|": "1"})
    version = curate.run(recipe(writes="response", in_place=True))
    (said,) = version.frame()["messages"].to_list()
    assert said == [*row["messages"], {"role": "assistant", "content": "1"}]


turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=3)}
    ),
    max_size=8,
)


@given(turns, st.text(), st.text())
def test_only_the_last_question_and_its_answer_change(turns, instruction, response):
    ends = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
    end = ends[-1] if ends else len(turns)
    if not end or turns[end - 1]["role"] != "user":
        with pytest.raises(AnswerError):
            exchange_of(turns)
        return
    made = exchange_of(turns).replaced({"instruction": instruction, "response": response})
    expected = [dict(turn) for turn in turns] + ([] if ends else [{"role": "assistant"}])
    expected[end - 1]["content"], expected[end]["content"] = instruction, response
    assert made == expected


@pytest.mark.parametrize(
    ("more", "why"),
    [({}, "writes"), ({"writes": "all"}, "'instruction', 'response' or 'both'")],
)
def test_what_is_written_has_to_be_said(more, why):
    with pytest.raises(ValidationError, match=why):
        RewriteParams.model_validate({"prompt": "x", "llm": {"model": "m", "max_tokens": 9}} | more)


def test_the_form_is_for_both_parts_alone(place):
    answers("x")
    with pytest.raises(CurateError, match="uses 'form', which it is not given"):
        curate.check(recipe(writes="response", prompt="{{ form }} {{ instruction }}"))
    curate.check(recipe(writes="both", prompt="{{ form }} {{ instruction }}"))
