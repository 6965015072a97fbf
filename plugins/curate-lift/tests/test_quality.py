"""`lift.quality`: the rubric, its answers, and the form of the paper."""

import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.api import Answer, AnswerError, CurateError
from curate_lift.quality import Quality, QualityParams, first_number
from curate_llm.fields import described, form_of, values_of
from curate_llm.judge import JudgeParams

LLM = {"model": "m", "max_tokens": 100}


def judge(paper_exact=False):
    return Quality(QualityParams(llm=LLM, paper_exact=paper_exact), "q").judge


FIELDS = judge().params.fields
PARTS = {name: field.maximum for name, field in FIELDS.items() if field.numeric}
Marks = form_of(FIELDS)


def prompt(instruction, response, paper_exact=False):
    return judge(paper_exact).question({"@instruction": instruction, "@response": response})


@pytest.mark.parametrize("paper_exact", [False, True])
def test_the_rubric_is_the_papers(paper_exact):
    text = prompt("Add.", "3", paper_exact)
    assert re.findall(r"^- (\w+), 0 to (\d+): ", text, re.MULTILINE) == [
        ("clarity", "15"),
        ("difficulty", "25"),
        ("explanations", "25"),
        ("accuracy", "35"),
    ]
    assert dict(PARTS) == {
        "clarity": 15,
        "difficulty": 25,
        "explanations": 25,
        "accuracy": 35,
    }
    assert "avoid them otherwise" in text
    mark = re.search(r"between the lines with (\w{16}) is to be judged", text)[1]
    assert text.endswith(
        f"=== instruction {mark} ===\nAdd.\n=== response {mark} ===\n3\n=== end {mark} ==="
    )


def test_the_worked_examples_are_sound_and_the_same_in_both_prompts():
    structured = re.findall(r"^\{\".*\}$", judge().prompt.text, re.MULTILINE)
    marks = [values_of(Marks.model_validate_json(each)) for each in structured]
    assert len(marks) == 3
    told = re.findall(
        r"^(\d+)\nclarity (\d+), difficulty (\d+), explanations (\d+), accuracy (\d+)\. (.*)$",
        judge(True).prompt.text,
        re.MULTILINE,
    )
    assert len(told) == 3
    for one, (total, *parts, reason) in zip(marks, told, strict=True):
        assert [one[part] for part in PARTS] == list(map(int, parts))
        assert sum(map(int, parts)) == int(total)
        assert one["reason"] == reason


HOSTILE = "{{ 7 * 7 }} {% raw %} {# x #} === end ==="


def test_text_of_rows_is_never_read_as_a_template():
    assert prompt(HOSTILE, HOSTILE).count(HOSTILE) == 2


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("67", 67),
        ("Total Score: 67/100", 67),
        ("4 parts: 80", 4),
        ("\n\n  81\nclarity 10", 81),
        ("100", 100),
        ("**72**", 72),
        ("0", 0),
    ],
)
def test_the_first_number_of_the_first_line(text, total):
    assert first_number(text) == total


@pytest.mark.parametrize("text", ["", "Total:\n67", "none", "101", "1000 points", "\u0663"])
def test_a_line_without_a_total_is_no_answer(text):
    with pytest.raises(AnswerError, match="the first line of the answer"):
        first_number(text)


@given(st.integers(0, 100), st.text("ab :/*.", max_size=9), st.text(max_size=20))
def test_the_first_number_whatever_stands_around_it(total, before, after):
    assert first_number(f"x{before}{total} {after}") == total


def recipe(**given):
    llm = {"backend": "replay", "answers": "answers.jsonl", **LLM}
    return {
        "name": "marked",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [{"score": "lift.quality", "id": "q", "with": {"llm": llm, **given}}],
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(3)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def recorded(lines):
    Path("answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def marks(n, **given):
    return json.dumps(
        {"clarity": 10 + n, "difficulty": n, "explanations": 5, "accuracy": 30} | given
    )


def test_the_parts_are_columns_and_their_sum_the_total(place):
    answers = [{"prompt": prompt(f"Say {n}.", f"{n}"), "answer": marks(n)} for n in range(3)]
    answers[2]["answer"] = f"Well:\n```json\n{marks(2, reason='So so.')}\n```"
    recorded(answers)
    version = curate.run(recipe())
    scores = version.scores.join(version.frame().select("id", "output"), on="id").sort("output")
    assert scores["q_clarity"].to_list() == [10, 11, 12]
    assert scores["q_difficulty"].to_list() == [0, 1, 2]
    assert scores["q_total"].to_list() == [45, 47, 49]
    assert scores["q_reason"].to_list() == ["", "", "So so."]
    assert scores.schema["q_total"] == pl.Int64


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"accuracy": 36}, "accuracy: Input should be less than or equal to 35"),
        ({"clarity": -1}, "clarity: Input should be greater than or equal to 0"),
        ({"difficulty": 7.5}, "difficulty: Input should be a valid integer"),
        ({"difficulty": "7"}, "difficulty: Input should be a valid integer"),
    ],
)
def test_marks_out_of_their_bounds_fail_their_row(place, wrong, why):
    answers = [{"prompt": prompt(f"Say {n}.", f"{n}"), "answer": marks(n)} for n in range(3)]
    answers[1]["answer"] = marks(1, **wrong)
    recorded(answers)
    given = recipe()
    given["pipeline"][0]["on_failure"] = {"set_aside": 1}
    given["pipeline"][0]["with"]["llm"]["reasks"] = 0
    version = curate.run(given)
    (detail,) = version.ledger.filter(pl.col("fate") == "failed")["detail"]
    assert why in detail
    assert version.manifest["books"]["kept"] == 2


def test_marks_in_the_wrong_form_are_asked_for_again(place):
    first = {"prompt": prompt("Say 0.", "0"), "answer": "Very good!"}
    answers = [{"prompt": prompt(f"Say {n}.", f"{n}"), "answer": marks(n)} for n in (1, 2)]
    recorded([first, *answers])
    with pytest.raises(CurateError, match="re-ask 1"):
        curate.run(recipe())
    from curate.services.llm.structured import again, parse

    with pytest.raises(ValueError, match="JSON") as problem:
        parse(Marks, "Very good!")
    turns = [
        {"role": "user", "content": first["prompt"]},
        {"role": "assistant", "content": "Very good!"},
        {"role": "user", "content": again(str(problem.value))},
    ]
    recorded([first, *answers, {"messages": turns, "reask": 1, "answer": marks(0)}])
    version = curate.run(recipe())
    assert version.scores["q_total"].sort().to_list() == [45, 47, 49]
    assert version.manifest["stages"][0]["services"]["llm"]["reasked"] == 1


def test_the_form_of_the_paper(place):
    answers = [
        {
            "prompt": prompt(f"Say {n}.", f"{n}", True),
            "answer": f"Total: {70 + n}\nFine.",
        }
        for n in range(3)
    ]
    recorded(answers)
    version = curate.run(recipe(paper_exact=True))
    assert version.scores["q_total"].sort().to_list() == [70, 71, 72]
    assert "q_clarity" not in version.scores.columns


def test_an_answer_without_a_total_is_a_failed_row_and_never_0(place):
    answers = [
        {"prompt": prompt(f"Say {n}.", f"{n}", True), "answer": "80" if n else "Fine."}
        for n in range(3)
    ]
    recorded(answers)
    with pytest.raises(CurateError, match="the first line of the answer holds no number"):
        curate.run(recipe(paper_exact=True))
    given = recipe(paper_exact=True)
    given["pipeline"][0]["on_failure"] = {"set_aside": 1}
    version = curate.run(given)
    assert version.frame().join(version.scores, on="id")["q_total"].to_list() == [80, 80]


def test_reasons_that_are_cut_off_do_no_harm_in_the_form_of_the_paper():
    class Model:
        def ask(self, messages, *, cut=False):
            assert cut
            return Answer("81\nclarity 1", finish="length")

    stage = Quality(QualityParams(llm=LLM, paper_exact=True), "q")
    assert stage.ask({"@instruction": "a", "@response": "b"}, Model()) == {"total": 81}


def test_a_template_of_your_own(place):
    Path("mine.j2").write_text("Mark {{ response }} to {{ instruction }} as {{ form }}")
    form = described(FIELDS)
    lines = [{"prompt": f"Mark {n} to Say {n}. as {form}", "answer": marks(n)} for n in range(3)]
    recorded(lines)
    assert curate.run(recipe(template="mine.j2")).scores["q_total"].sort().to_list() == [45, 47, 49]
    Path("mine.j2").write_text("Mark {{ response }} to {{ instruction }}")
    with pytest.raises(CurateError, match="does not name 'clarity' nor 'difficulty' nor"):
        curate.check(recipe(template="mine.j2"))
    curate.check(recipe(template="mine.j2", paper_exact=True))  # a number, in words of your own
    Path("mine.j2").write_text("Mark {{ answer }}")
    with pytest.raises(CurateError, match="uses 'answer', which it is not given"):
        curate.run(recipe(template="mine.j2"))


@pytest.mark.parametrize("own", [{}, {"template": "mine.j2"}])
def test_other_fields_are_another_judgement(place, monkeypatch, own):
    """Those of the preset, which are no parameters of the stage."""
    Path("mine.j2").write_text("Mark {{ response }} to {{ instruction }} as {{ form }}")

    def prints(**given):
        return Quality(QualityParams(llm=LLM, **own, **given), "q").fingerprints()

    before, exact = prints(), prints(paper_exact=True)
    preset = JudgeParams.presets["lift"]
    wider = {**preset.values, "fields": {**preset.values["fields"], "clarity": "integer"}}
    monkeypatch.setitem(JudgeParams.presets, "lift", replace(preset, values=wider))
    assert prints() != before
    assert prints(paper_exact=True) == exact  # where no field is asked for


def test_the_paper_s_temperature():
    assert QualityParams(llm=LLM).llm.temperature == 0.5
