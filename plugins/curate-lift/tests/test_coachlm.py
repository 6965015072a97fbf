"""`curate lift coachlm`: the rubric against experts, answered from a recording."""

import json
import os
from pathlib import Path

import pytest
from chat_server import serving

from curate.commands import call
from curate_lift.quality import Quality, QualityParams

PARTS = ("clarity", "difficulty", "explanations", "accuracy")

PAIRS = [  # instruction, input, raw response, revised response, marks of both
    ("Add.", "1 2", "4", "1 + 2 = 3", (10, 2, 1, 0), (10, 2, 9, 35)),
    ("Name a fruit.", "", "Apple.", "An apple.", (12, 1, 5, 30), (12, 1, 5, 30)),
    ("Rhyme.", "", "Cat, hat.", "Cat and hat rhyme.", (12, 4, 6, 30), (12, 4, 8, 20)),
    ("Say hello.", "", "Hello.", "Hello.", None, None),
]


def row(instruction, given, raw, revised):
    return {
        "Raw Instruction": instruction,
        "Raw Input": given,
        "Raw Response": raw,
        "Revised Instruction": instruction,
        "Revised Input": given,
        "Revised Response": revised,
        "Distance": 3,
    }


def line(instruction, given, response, marks, total):
    asked = f"{instruction}\n{given}" if given else instruction
    params = QualityParams(llm={"model": "m", "max_tokens": 300}, paper_exact=total)
    row = {"@instruction": asked, "@response": response}
    answer = f"{sum(marks)}\nSo." if total else json.dumps(dict(zip(PARTS, marks, strict=True)))
    return {"prompt": Quality(params, "q").judge.question(row), "answer": answer}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pairs.jsonl").write_text("".join(json.dumps(row(*p[:4])) + "\n" for p in PAIRS))
    lines = [
        line(*pair[:2], response, marks, total)
        for pair in PAIRS[:3]
        for response, marks in zip(pair[2:4], pair[4:], strict=True)
        for total in (False, True)
    ]
    Path("answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return tmp_path


def coachlm(*more, answers="answers.jsonl"):
    command = ["lift", "coachlm", "pairs.jsonl", "--model", "m"]
    return call([*command, "--llm", "backend=replay", "--llm", f"answers={answers}", *more])


def test_the_counts_are_those_of_the_marks(place, capsys):
    assert coachlm("--json") == 0
    report = json.loads(capsys.readouterr().out)
    verdicts = {each.pop("part"): each for each in report.pop("verdicts")}
    assert report.pop("llm")["used"]["answers"] == 6
    assert report == {"pairs": 4, "unchanged": 1, "failed": 0, "failures": []}
    assert list(verdicts) == ["total", *PARTS]
    for part in (*PARTS, "total"):
        gains = []
        for pair in PAIRS[:3]:
            raw, expert = (
                sum(marks) if part == "total" else marks[PARTS.index(part)] for marks in pair[4:]
            )
            gains.append(expert - raw)
        assert verdicts[part] == {
            "higher": sum(gain > 0 for gain in gains),
            "ties": sum(gain == 0 for gain in gains),
            "lower": sum(gain < 0 for gain in gains),
            "gain": pytest.approx(sum(gains) / 3),
        }


def test_the_table(place, capsys):
    assert coachlm() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 pairs: 3 marked, 1 unchanged by the expert, 0 failed"
    assert lines[2].split() == [
        "total",
        "1",
        "(33.3",
        "%)",
        "1",
        "(33.3",
        "%)",
        "1",
        "(33.3",
        "%)",
        "+11.67",
    ]
    assert lines[-1] == "6 recorded answers"


def test_in_the_form_of_the_paper(place, capsys):
    assert coachlm("--json", "--paper-exact") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["part"] for each in report["verdicts"]] == ["total"]


def test_a_sample_is_the_same_whatever_the_order(place, capsys):
    assert coachlm("--json", "--sample", "2", "--seed", "5") == 0
    first = json.loads(capsys.readouterr().out)
    del first["llm"]
    assert first["pairs"] == 2
    lines = Path("pairs.jsonl").read_text().splitlines(keepends=True)
    Path("pairs.jsonl").write_text("".join(lines[::-1]))
    assert coachlm("--json", "--sample", "2", "--seed", "5") == 0
    again = json.loads(capsys.readouterr().out)
    assert again.pop("llm")["sent"] == 0
    assert again == first


def test_a_second_time_asks_nothing(place, capsys, monkeypatch):
    assert coachlm("--json") == 0
    first = json.loads(capsys.readouterr().out)

    def send(*_):
        raise AssertionError

    monkeypatch.setattr("curate.services.llm.replay.Replay.send", send)
    assert coachlm("--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again.pop("llm")["used"] == first.pop("llm")["used"]
    assert again == first


def test_a_withheld_answer_costs_its_pair_alone(place, capsys):
    lines = [json.loads(each) for each in Path("answers.jsonl").read_text().splitlines()]
    lines[0] |= {"answer": "", "finish": "content_filter"}
    Path("withheld.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert coachlm("--json", answers="withheld.jsonl") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pairs"], report["unchanged"], report["failed"]) == (4, 1, 1)
    total = report["verdicts"][0]
    assert (total["higher"], total["ties"], total["lower"]) == (0, 1, 1)
    (failure,) = report["failures"]
    assert failure["version"] == "raw"
    assert "withheld" in failure["error"]
    assert coachlm(answers="withheld.jsonl") == 0
    said = capsys.readouterr().out
    assert f"failed: raw version of pair {failure['pair']}: {failure['error']}" in said
    assert coachlm("--may-fail", "0", answers="withheld.jsonl") == 1
    said = capsys.readouterr().err
    assert "Stage 'lift_quality' failed on the raw version of pair" in said
    assert "withheld" in said
    assert "--may-fail N" in said
    assert ".jsonl:" not in said


def test_a_budget_stops_it_and_a_larger_one_goes_on(place, capsys):
    assert coachlm("--llm", "budget={requests: 2}", "--llm", "concurrency=1") == 1
    assert "budget" in capsys.readouterr().err
    assert coachlm("--llm", "budget={requests: 4}", "--json") == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 0


@pytest.mark.parametrize("given", ["budget", "=3", "stop={"])
def test_values_that_cannot_be_read(place, capsys, given):
    assert coachlm("--llm", given) == 2


def test_the_real_data_at_an_endpoint(tmp_path, monkeypatch, capsys):
    root = Path(__file__).parents[3]
    folder = Path(os.environ.get("CURATE_TEST_DATA", root.parent / "shared" / "data"))
    file = folder / "coachlm_expert_revision.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no real data at {folder}; set CURATE_TEST_DATA")

    def reply(body):
        response = body["messages"][-1]["content"].split("=== response ")[1]
        return json.dumps(dict(zip(PARTS, (9, 9, min(25, len(response) // 40), 9), strict=True)))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nothing")
    with serving(reply=reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        command = ["lift", "coachlm", str(file), "--model", "m", "--sample", "40", "--json"]
        assert call(command) == 0
        assert set(server.seen.values()) == {1}
        report = json.loads(capsys.readouterr().out)
        assert call(command[:-1]) == 0
    used = server.usage["prompt_tokens"], server.usage["completion_tokens"]
    assert f"0 requests sent; all {len(server.seen)} answers" in (said := capsys.readouterr().out)
    assert f"{used[0]:,} + {used[1]:,} tokens" in said
    total = report["verdicts"][0]
    assert total["higher"] + total["ties"] + total["lower"] == 40 - report["unchanged"]
    assert total["higher"] > total["lower"]  # experts wrote more


def test_a_file_of_another_kind_is_refused(place, capsys):
    Path("pairs.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    assert coachlm() == 2
    assert "Raw Instruction" in capsys.readouterr().err


def test_pairs_that_do_not_differ_are_nothing_to_compare(place, capsys):
    Path("pairs.jsonl").write_text(json.dumps(row("a", "", "b", "b")) + "\n")
    assert coachlm() == 1
    assert "no pair differs" in capsys.readouterr().err
