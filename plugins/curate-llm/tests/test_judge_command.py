"""`curate judge`: two responses in both orders, from a recording and at an endpoint."""

import json
import os
import re
from pathlib import Path

import polars as pl
import pytest
import xxhash
from chat_server import serving

from curate.commands import call
from curate_llm.fields import described
from curate_llm.judge import JudgeParams
from curate_llm.scoring import sampled

LLM = {"model": "m", "max_tokens": 300}
PREFERENCE = JudgeParams.model_validate({"preset": "preference", "llm": LLM, "pair": ["a", "b"]})

PAIRS = [  # instruction, input, a, b, what the model says of (a, b), and of (b, a)
    ("Add.", "1 2", "4", "3", "second", "first"),
    ("Add.", "2 2", "4", "5", "first", "second"),
    ("Name a fruit.", "", "Apple.", "Pear.", "tie", "tie"),
    ("Rhyme.", "", "Cat, hat.", "Dog, fog.", "first", "first"),
    ("Sing.", "", "La.", "Lo.", "second", "second"),
    ("Jump.", "", "Up.", "Hop.", "first", "first"),
    ("Draw.", "", "A.", "B.", "first", "tie"),
    ("Say hello.", "", "Hello.", "Hello.", None, None),
]


def prompt(instruction, given, first, second):
    asked = f"{instruction}\n{given}" if given else instruction
    values = {"instruction": asked, "first": first, "second": second}
    return PREFERENCE.asked().render(values | {"form": described(PREFERENCE.fields)})


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("Raw Instruction", "Raw Input", "Raw Response", "Revised Response")
    rows = [dict(zip(names, pair[:4], strict=True)) for pair in PAIRS]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = []
    for instruction, given, a, b, straight, swapped in PAIRS[:-1]:
        for first, second, winner in ((a, b, straight), (b, a, swapped)):
            answer = json.dumps({"winner": winner})
            lines.append({"prompt": prompt(instruction, given, first, second), "answer": answer})
    Path("answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


COLUMNS = ["--a", "Raw Response", "--b", "Revised Response"]
ASKED = ["--instruction", "Raw Instruction", "--input", "Raw Input"]


def judge(*more, columns=COLUMNS, answers="answers.jsonl"):
    command = ["judge", "pairs.jsonl", *columns, *ASKED, "--model", "m"]
    return call([*command, "--llm", "backend=replay", "--llm", f"answers={answers}", *more])


def test_the_counts_are_those_of_the_answers(place, capsys):
    assert judge("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("llm")["used"]["answers"] == 14
    assert report == {
        "pairs": 8,
        "equal": 1,
        "failed": 0,
        "errors": {},
        "a": 1,
        "b": 1,
        "ties": 1,
        "changed": 4,
        "reversed": 3,
        "stands_first": 2,
        "straight": {"a": 4, "b": 2, "tie": 1},
        "swapped": {"a": 2, "b": 3, "tie": 2},
    }


def test_the_table(place, capsys):
    assert judge() == 0
    said = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines == [
        "8 pairs: 7 judged, 1 with equal responses, 0 failed",
        "a: Raw Response",
        "b: Revised Response",
        "a b tie",
        "a stands first 4 (57.1 %) 2 (28.6 %) 1 (14.3 %)",
        "b stands first 2 (28.6 %) 3 (42.9 %) 2 (28.6 %)",
        "both orders agree 1 (14.3 %) 1 (14.3 %) 1 (14.3 %)",
        "both orders agree on 3 (42.9 %); swapping the order changes the verdict of 4 (57.1 %)",
        "of these the winner is the other one in 3, 2 times whichever stands first",
        "where both orders name the same winner, it is b in 1 (50.0 %)",
        "14 recorded answers",
    ]


def test_a_sample_is_the_same_whatever_the_order_of_rows(place, capsys):
    assert judge("--json", "--sample", "3", "--seed", "2") == 0
    first = json.loads(capsys.readouterr().out)
    lines = Path("pairs.jsonl").read_text().splitlines(keepends=True)
    Path("pairs.jsonl").write_text("".join(lines[::-1]))
    assert judge("--json", "--sample", "3", "--seed", "2") == 0
    again = json.loads(capsys.readouterr().out)
    assert first.pop("pairs") == 3
    assert again.pop("llm")["sent"] == 0
    del first["llm"], again["pairs"]
    assert again == first


def test_a_sample_is_that_of_its_seed(place, capsys):
    rows = pl.DataFrame({"id": [f"r{n}" for n in range(20)]})
    for seed in (0, 1):
        ranked = sorted(rows["id"], key=lambda row: xxhash.xxh3_64_intdigest(row.encode(), seed))
        assert sampled(rows, 5, seed)["id"].to_list() == ranked[:5]
    assert sampled(rows, None, 1)["id"].to_list() == rows["id"].to_list()
    reports = set()
    for seed in range(4):
        assert judge("--json", "--sample", "3", "--seed", f"{seed}") == 0
        report = json.loads(capsys.readouterr().out)
        del report["llm"]
        reports.add(json.dumps(report))
    assert len(reports) > 1


@pytest.mark.parametrize(("rows", "code"), [(1, 0), (2, 1)])
def test_a_tenth_of_the_pairs_may_fail(place, capsys, rows, code):
    lines = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
    for line in lines[: 2 * rows : 2]:  # of 7 pairs, rounded up: one
        line |= {"answer": "", "finish": "content_filter"}
    Path("withheld.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert judge(answers="withheld.jsonl") == code
    assert ("2 rows failed, 1 may" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize("nothing", ["", " \n", None])
def test_pairs_without_responses_fail_and_are_not_equal(place, capsys, nothing):
    row = {"Raw Instruction": "Sit.", "Raw Input": "", "Raw Response": nothing or ""}
    row["Revised Response"] = nothing
    with Path("pairs.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    assert judge("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pairs"], report["equal"], report["failed"]) == (9, 1, 1)
    (error,) = report["errors"]
    assert "one of the two responses is empty" in error


def test_a_withheld_answer_costs_its_pair_alone(place, capsys):
    lines = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
    lines[0] |= {"answer": "", "finish": "content_filter"}
    Path("withheld.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert judge("--json", answers="withheld.jsonl") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["failed"], report["b"]) == (1, 0)
    assert list(report["errors"].values()) == [1]
    assert judge("--may-fail", "0", answers="withheld.jsonl") == 1
    said = capsys.readouterr().err
    assert "failed on pair" in said
    assert "--may-fail N" in said
    assert "pairs.jsonl:" not in said


def test_a_template_of_your_own(place, capsys):
    text = "{{ instruction }}: {{ first }} or {{ second }}?"
    Path("mine.j2").write_text(text)
    assert judge("--template", "mine.j2") == 2
    assert "The prompt does not name 'winner'" in capsys.readouterr().err
    Path("mine.j2").write_text(f"Who is the winner? {text}")
    assert judge("--template", "mine.j2", "--may-fail", "0") == 1
    assert re.search(r"ending in \".*: .+ or .+\?\"", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("more", "code", "why"),
    [
        (["--a", "Response"], 2, "Response"),
        (["--preset", "lift"], 2, "for single responses, not for a `pair`"),
        (["--preset", "none"], 2, "preset"),
        (["--llm", "=3"], 2, "KEY=VALUE"),
    ],
)
def test_what_cannot_be_judged(place, capsys, more, code, why):
    assert judge(*more) == code
    assert why in capsys.readouterr().err


def test_a_column_that_is_not_there(place, capsys):
    rows = [{"instruction": "Add.", "output": "3", "other": "4"}]
    Path("plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["judge", "plain.jsonl", "--a", "output", "--b", "others", "--model", "m"]
    assert call(command) == 1
    said = capsys.readouterr().err
    assert "plain.jsonl has no column 'others'" in said
    assert "output, other" in said
    assert call([*command, "--input", "x"]) == 2


def test_pairs_that_are_all_equal(place, capsys):
    assert judge("--b", "Raw Response") == 1
    assert "the same" in capsys.readouterr().err


def test_real_pairs_of_experts_at_an_endpoint(tmp_path, monkeypatch, capsys):
    root = Path(__file__).parents[3]
    folder = Path(os.environ.get("CURATE_TEST_DATA", root.parent / "shared" / "data"))
    file = folder / "coachlm_expert_revision.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no real data at {folder}; set CURATE_TEST_DATA")

    def reply(body):
        """Prefers the longer response; of those of about one length, the first."""
        text = body["messages"][-1]["content"]
        _, first, second = re.split(r"\n=== (?:first|second) response \w{16} ===\n", text)
        longer = len(second) - len("\n=== end 0123456789abcdef ===") > 1.2 * len(first)
        return json.dumps({"winner": "second" if longer else "first", "reason": "It says more."})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nothing")
    with serving(reply=reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        command = ["judge", str(file), *COLUMNS, *ASKED, "--model", "m", "--sample", "40", "--json"]
        assert call(command) == 0
        assert set(server.seen.values()) == {1}
        report = json.loads(capsys.readouterr().out)
        assert call(command) == 0
        assert json.loads(capsys.readouterr().out)["llm"]["sent"] == 0
    judged = report["a"] + report["b"] + report["ties"] + report["changed"]
    assert judged == 40 - report["equal"] - report["failed"]
    assert sum(report["straight"].values()) == sum(report["swapped"].values()) == judged
    # such a judge names another winner only where it takes whichever stands first
    assert report["changed"] == report["reversed"] == report["stands_first"] > 0
    assert report["b"] > report["a"]  # experts wrote more
