"""Preference pairs: four forms in, the same forms out, and what stages make of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.sources.formats.base import RowError
from curate.sources.formats.preference import Preference
from curate.sources.formats.unpaired import Unpaired
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
}
CONVERSATIONS = {
    "explicit": turns(("user", "Why?"), ("assistant", "Good.")),
    "implicit": turns(("user", "Q: Why? A:"), ("assistant", " Good.")),
    "explicit turns": ASKED + GOOD,
    "implicit turns": ASKED + GOOD,
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
def test_a_rewritten_answer_stays_in_its_form_beside_the_rejected_one(tmp_path, form):
    expand = {"expand": "toys.double", "with": {"every": 1, "in_place": True}}
    version = publish(tmp_path, [FORMS[form]], expand)
    (messages,) = version.frame()["messages"].to_list()
    if form == "explicit":
        assert messages != CONVERSATIONS[form]
    made = version.export(tmp_path / "out.jsonl", "preference")
    assert made.unchanged == 1
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row.keys() == FORMS[form].keys()
    if form == "implicit":
        assert row["chosen"] == "".join(turn["content"] for turn in messages)
        assert row["rejected"] == messages[0]["content"] + " Bad."
        return
    whole = Preference().whole(row)
    assert whole.turns == messages
    assert whole.rejected == BAD


def test_rows_of_several_forms_go_out_in_one(tmp_path):
    rows = [FORMS["explicit turns"], FORMS["implicit turns"]]
    version = publish(tmp_path, rows)
    version.export(tmp_path / "out.jsonl", "preference")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert out == [FORMS["explicit turns"]] * 2


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
