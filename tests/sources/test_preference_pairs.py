"""Preference pairs: four forms in, the same forms out, and what stages make of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.sources.formats.base import RowError
from curate.sources.formats.preference import Preference
from curate.sources.formats.unpaired import Unpaired
from curate.versions.funnel import warnings
from curate.versions.make import run_recipe
from curate.versions.open import Version


def turns(*said):
    return [{"role": role, "content": text} for role, text in said]


ASKED, GOOD, BAD = (
    turns(("system", "s"), ("user", "Why?")),
    turns(("assistant", "Good.")),
    turns(("assistant", "Bad.")),
)
FORMS = {
    "explicit": {"prompt": "Why?", "chosen": "Good.", "rejected": "Bad."},
    "implicit": {"chosen": "Q: Why? A: Good.", "rejected": "Q: Why? A: Bad."},
    "explicit turns": {"prompt": ASKED, "chosen": GOOD, "rejected": BAD},
    "implicit turns": {"chosen": ASKED + GOOD, "rejected": ASKED + BAD},
    "turns beside a text": {"prompt": "Why?", "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
}
CONVERSATIONS = {
    "explicit": turns(("user", "Why?"), ("assistant", "Good.")),
    "implicit": turns(("user", "Q: Why? A:"), ("assistant", " Good.")),
    "explicit turns": ASKED + GOOD,
    "implicit turns": ASKED + GOOD,
    "turns beside a text": ASKED + GOOD,
}


def lines(rows):
    return "".join(
        json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows
    )


def publish(tmp_path, rows, *pipeline):
    (tmp_path / "in.jsonl").write_text(lines(rows))
    recipe = {
        "name": "toy",
        "sources": {"in": {"path": str(tmp_path / "in.jsonl")}},
        "pipeline": list(pipeline) or [{"score": "core.length"}],
    }
    return Version(run_recipe(recipe, out=tmp_path / "curated").path)


@pytest.mark.parametrize("form", FORMS)
def test_pairs_whose_answers_are_equal_are_counted(tmp_path, form):
    row = FORMS[form]
    equal = {**row, "rejected": row["chosen"], "n": 1}
    rows = [{**row, "n": 0}, equal, {**equal, "n": 2}]
    version = publish(tmp_path, rows, {"filter": "core.where", "with": {"keep": "n < 2"}})
    (source,) = version.manifest["sources"].values()
    assert source["facts"]["equal_answers"] == 2
    assert source["facts_kept"]["equal_answers"] == 1
    assert "Source in: 2 pairs whose answers are equal, 1 kept." in warnings(version.manifest)


@pytest.mark.parametrize("form", FORMS)
def test_the_chosen_answer_is_the_response_and_all_goes_back_to_the_byte(tmp_path, form):
    version = publish(
        tmp_path, [FORMS[form]], {"score": "core.length", "with": {"text": "response"}}
    )
    assert version.manifest["sources"]["in"]["format"] == "preference"
    assert version.frame()["messages"].to_list() == [CONVERSATIONS[form]]
    response = CONVERSATIONS[form][-1]["content"]
    assert version.scores["core_length_characters"].to_list() == [len(response)]
    made = version.export(tmp_path / "out.jsonl", "preference")
    assert made.unchanged == 1
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_unpaired_rows_have_both_answers(tmp_path, form):
    version = publish(tmp_path, [FORMS[form]])
    made = version.export(tmp_path / "out.jsonl", "unpaired-preference", provenance=True)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert made.rows == 2
    assert [row["label"] for row in rows] == [True, False]
    assert rows[0]["id"] == rows[1]["id"] == version.frame()["id"][0]
    for row, answer in zip(rows, ("Good.", "Bad."), strict=True):
        if "turns" in form:
            assert row["prompt"] == ASKED
            assert row["completion"] == turns(("assistant", answer))
        else:
            assert row["completion"].strip() == answer
            assert row["prompt"] == CONVERSATIONS[form][0]["content"]


def test_unpaired_rows_are_read_by_name_and_go_back(tmp_path):
    rows = [{"prompt": "p", "completion": "c", "label": label} for label in (True, False)]
    (tmp_path / "in.jsonl").write_text(lines(rows))
    source = {"path": str(tmp_path / "in.jsonl"), "format": "unpaired-preference"}
    recipe = {"name": "toy", "sources": {"in": source}, "pipeline": [{"score": "core.length"}]}
    version = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    version.export(tmp_path / "out.jsonl", "unpaired-preference")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    version = publish(tmp_path, rows)
    assert version.manifest["sources"]["in"]["format"] == "prompt-completion"


def test_other_shapes_lose_the_rejected_answer_and_it_is_counted(tmp_path):
    version = publish(tmp_path, [FORMS["explicit"]])
    made = version.export(tmp_path / "out.jsonl", "messages")
    assert made.lost == {"rejected": 1}
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "messages": CONVERSATIONS["explicit"]
    }


def test_a_conversation_alone_is_no_preference(tmp_path):
    version = publish(tmp_path, [{"instruction": "i", "output": "o"}])
    for shape in ("preference", "unpaired-preference"):
        with pytest.raises(CurateError, match=f"cannot be said in the shape {shape}"):
            version.export(tmp_path / "out.jsonl", shape)


@pytest.mark.parametrize("form", FORMS)
def test_a_rewritten_answer_stays_in_its_form_beside_the_rejected_one(form):
    row, messages = FORMS[form], CONVERSATIONS[form]
    better = [*messages[:-1], *turns(("assistant", " Fine."))]
    made = {key: value for key, value in Preference().rewrite(row, better).items() if value}
    assert made == {**row, "chosen": made["chosen"]}
    if isinstance(made["chosen"], str):
        assert made["chosen"] in (" Fine.", "Q: Why? A: Fine.")
    assert Preference().holds(made, better)
    assert Preference().whole(made).rejected[0]["content"].strip() == "Bad."
    longer = [*better, *turns(("user", "Sure?"), ("assistant", "Yes."))]
    made = Preference().rewrite(row, longer)
    if isinstance(row["chosen"], str):
        assert made == dict.fromkeys(Preference().fields)
    else:
        assert Preference().whole(made).turns == longer
        assert Preference().whole(made).rejected == BAD
    other = [{"role": "user", "content": "How?"}, better[-1]]
    assert Preference().rewrite(row, other) == dict.fromkeys(Preference().fields)


def test_turns_before_the_answer_keep_what_they_hold_when_it_is_rewritten():
    calls = [{"function": {"name": "f", "arguments": "{}"}}]
    call = {"role": "assistant", "content": None, "tool_calls": calls}
    asked = [*turns(("user", "Why?")), call, *turns(("tool", "1"))]
    row = {"chosen": asked + GOOD, "rejected": asked + BAD, "tools": [{"name": "f"}]}
    better = [*Preference().read(row)[:-1], *turns(("assistant", "Fine."))]
    made = Preference().rewrite(row, better)
    assert made["chosen"] == [*row["chosen"][:-1], better[-1]]
    assert made["rejected"] == row["rejected"]
    assert made["tools"] == row["tools"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("in_place", [True, False])
def test_an_answer_was_rejected_for_its_own_prompt_alone(tmp_path, form, in_place):
    other = json.loads(json.dumps(FORMS[form]).replace("Why?", "How?"))
    expand = {"expand": "toys.double", "with": {"every": 1, "in_place": in_place}}
    version = publish(tmp_path, [FORMS[form], other], expand)
    for shape, rows in (("preference", 1), ("unpaired-preference", 2)):
        with pytest.raises(CurateError, match="cannot be said") as refused:
            version.export(tmp_path / "no.jsonl", shape)
        assert "no rejected answer, or had it to another prompt" in refused.value.remedy
        if not in_place:
            made = version.export(tmp_path / f"{shape}.jsonl", shape, skip=True)
            assert (made.rows, made.skipped) == (2 * rows, 2)
            assert made.unchanged == (2 if shape == "preference" else 0)
    made = version.export(tmp_path / "messages.jsonl", "messages")
    assert made.lost == ({} if in_place else {"rejected": 2})


def test_rows_of_several_forms_go_out_in_one_and_count_as_converted(tmp_path):
    rows = [FORMS["explicit turns"], FORMS["implicit turns"]]
    version = publish(tmp_path, rows)
    made = version.export(tmp_path / "out.jsonl", "preference")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert out == [FORMS["explicit turns"]] * 2
    assert (made.rows, made.unchanged) == (2, 1)


def test_texts_of_several_forms_stay_texts():
    out = [{"prompt": "Why?", "chosen": "Good.", "rejected": "Bad."}]
    out.append({"prompt": "Q: Why? A:", "chosen": " Good.", "rejected": " Bad."})
    assert Preference().settle([FORMS["explicit"], FORMS["implicit"]]) == out


@pytest.mark.parametrize("form", ["explicit", "implicit turns", "turns beside a text"])
def test_lists_in_one_row_make_lists_in_all(form):
    plain = {"prompt": turns(("user", "Why?")), "chosen": GOOD, "rejected": BAD}
    explicit = {"explicit": plain}.get(form, FORMS["explicit turns"])
    rows = [FORMS["explicit turns"], FORMS[form] | {"more": 1}]
    assert Preference().settle(rows) == [FORMS["explicit turns"], explicit | {"more": 1}]


def test_a_text_before_lists_becomes_a_list_beside_one():
    texts = {"prompt": "Why?", "chosen": GOOD, "rejected": BAD}
    lists = texts | {"prompt": turns(("user", "Why?"))}
    assert Preference().settle([texts, EXPLICIT]) == [lists, EXPLICIT]


def test_a_row_that_a_stage_wrote_anew_counts_as_converted(tmp_path):
    expand = {"expand": "toys.double", "with": {"every": 1}}
    version = publish(tmp_path, [{"instruction": "i", "output": "o"}], expand)
    made = version.export(tmp_path / "out.jsonl", "alpaca")
    assert (made.rows, made.unchanged) == (2, 1)


def test_unpaired_texts_become_lists_beside_lists():
    texts = {"prompt": "p", "completion": "c", "label": True}
    lists = {"prompt": turns(("user", "p")), "completion": turns(("assistant", "c")), "label": True}
    assert Unpaired().settle([texts, lists]) == [lists, lists]
    assert Unpaired().settle([texts, texts]) == [texts, texts]


def test_tools_stand_in_rows_made_of_a_pair():
    row = FORMS["explicit turns"] | {"tools": [{"name": "f"}]}
    assert Preference().rows(Preference().whole(row)) == [row]
    assert Preference().rows(Preference().whole(FORMS["explicit turns"])) == [
        FORMS["explicit turns"]
    ]


def test_both_answers_have_turns_of_their_own():
    longer = [*ASKED, *GOOD, *turns(("user", "Sure?"), ("assistant", "Yes."))]
    pair = Preference().whole({"chosen": longer, "rejected": ASKED + GOOD})
    assert pair.answered == len(ASKED)
    assert pair.rejected == GOOD
    with pytest.raises(RowError, match="there is no prompt"):
        Preference().read({"chosen": ASKED[:1] + GOOD, "rejected": ASKED[:1]})


def test_a_space_stays_with_the_prompt_where_an_answer_is_empty():
    pair = Preference().whole({"chosen": "Q: ", "rejected": "Q: x"})
    assert [turn["content"] for turn in (*pair.turns, *pair.rejected)] == ["Q: ", "", "x"]


@pytest.mark.parametrize("form", FORMS)
def test_the_parts_are_those_that_trl_takes(form):
    data_utils = pytest.importorskip("trl.data_utils")
    parts = data_utils.maybe_extract_prompt(FORMS[form])
    whole = Preference().whole(FORMS[form])
    mine = [whole.turns[: whole.answered], whole.turns[whole.answered :], whole.rejected]
    if whole.plain:
        mine = ["".join(turn["content"] for turn in part) for part in mine]
    assert mine == [parts[name] for name in ("prompt", "chosen", "rejected")]


def swapped(said):
    return [{"content": turn["content"], "role": turn["role"]} for turn in said]


EXPLICIT = FORMS["explicit turns"]
ODD = {
    "null prompt": [FORMS["implicit"] | {"prompt": None}],
    "null prompt before turns": [{"prompt": None, **FORMS["implicit turns"]}],
    "content first": [{name: swapped(said) for name, said in EXPLICIT.items()}, EXPLICIT],
    "content first later": [EXPLICIT, EXPLICIT | {"rejected": swapped(BAD)}, EXPLICIT],
    "null in a turn": [EXPLICIT | {"chosen": [GOOD[0] | {"name": None}]}, EXPLICIT],
    "empty object": [EXPLICIT | {"chosen": [GOOD[0] | {"meta": {}, "x": []}]}, EXPLICIT],
    "numbers": [EXPLICIT | {"chosen": [GOOD[0] | {"x": x}]} for x in (1, 0.5, 2.0)],
    "no content": [
        EXPLICIT | {"prompt": [*ASKED, {"role": "assistant", "tool_calls": [{"a": 1}]}]}
    ],
    "tools": [EXPLICIT | {"tools": [{"z": 1, "a": None}]}, EXPLICIT | {"tools": None}],
}


@pytest.mark.parametrize("case", ODD)
def test_what_a_table_cannot_hold_goes_back_to_the_byte(tmp_path, case):
    version = publish(tmp_path, ODD[case])
    made = version.export(tmp_path / "out.jsonl", "preference")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    assert made.unchanged == len(ODD[case])
    made = version.export(tmp_path / "out.parquet", "preference")
    assert made.rows == len(ODD[case])


def test_the_form_of_a_pair_survives_another_version_and_no_new_answer(tmp_path):
    rows = ODD["content first later"]
    publish(tmp_path, rows)
    again = {"name": "again", "sources": {"base": {"version": "toy"}}}
    again["pipeline"] = [{"score": "core.length"}]
    version = Version(run_recipe(again, out=tmp_path / "curated").path)
    version.export(tmp_path / "out.jsonl", "preference")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    assert version.frame()["original_keys"].null_count() == 2
    expand = {"expand": "toys.double", "with": {"every": 1, "in_place": True}}
    version = publish(tmp_path, rows, expand)
    assert version.frame()["original_keys"].null_count() == 3


def test_a_row_that_gets_a_null_or_another_order_counts_as_converted(tmp_path):
    tools = EXPLICIT | {"tools": [{"name": "f"}]}
    version = publish(tmp_path, [EXPLICIT, dict(reversed(EXPLICIT.items())), tools])
    made = version.export(tmp_path / "out.jsonl", "preference")
    assert (made.rows, made.unchanged) == (3, 1)
    version = publish(tmp_path, [EXPLICIT, dict(reversed(EXPLICIT.items()))])
    made = version.export(tmp_path / "out1.jsonl", "preference")
    assert (made.rows, made.unchanged) == (2, 1)
    version = publish(tmp_path, [{"prompt": None, **FORMS["implicit"]}, FORMS["explicit"]])
    made = version.export(tmp_path / "out2.jsonl", "preference")
    assert (made.rows, made.unchanged) == (2, 1)


def test_a_column_that_has_the_name_of_the_keys_is_refused(tmp_path):
    row = {name: swapped(said) for name, said in EXPLICIT.items()} | {"original_keys": "x"}
    with pytest.raises(CurateError, match="there is a column original_keys already"):
        publish(tmp_path, [row])


def test_a_text_before_answers_alone_is_the_prompt():
    row = {"prompt": "Why?", "chosen": GOOD, "rejected": BAD}
    assert Preference().read(row) == turns(("user", "Why?")) + GOOD
    assert Preference().read(row | {"rejected": GOOD}) == turns(("user", "Why?")) + GOOD


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"chosen": "a"}, "rejected is missing"),
        ({"chosen": "a", "rejected": None}, "rejected is null"),
        ({"chosen": 1, "rejected": "a"}, "chosen is a number"),
        ({"chosen": "a", "rejected": GOOD}, "rejected is a list, and `chosen` is not"),
        ({"chosen": "a", "rejected": "b"}, "there is no prompt"),
        ({"chosen": GOOD, "rejected": BAD}, "there is no prompt"),
        ({"prompt": "p", "chosen": [{"role": "x"}], "rejected": GOOD}, "has the role 'x'"),
    ],
)
def test_what_is_no_pair_is_refused(row, said):
    with pytest.raises(RowError, match=said):
        Preference().read(row)


def test_a_label_is_true_or_false():
    with pytest.raises(RowError, match="label is a number, not true or false"):
        Unpaired().read({"prompt": "p", "completion": "c", "label": 1})


@given(st.text(min_size=1), st.text(), st.text())
def test_two_texts_are_their_prompt_and_answers(prompt, one, other):
    row = {"chosen": prompt + one, "rejected": prompt + other}
    try:
        pair = Preference().whole(row)
    except RowError:
        assert prompt == " " or (prompt + one)[:1] != (prompt + other)[:1]
        return
    start, chosen = (turn["content"] for turn in pair.turns)
    assert start + chosen == row["chosen"]
    assert start + pair.rejected[0]["content"] == row["rejected"]
    assert len(start) >= len(prompt) - 1
    assert (
        not chosen
        or not pair.rejected[0]["content"]
        or (
            chosen[0] == pair.rejected[0]["content"][0] == " "
            or chosen[0] != pair.rejected[0]["content"][0]
        )
    )
