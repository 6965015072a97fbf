"""`recipes/refine_alpaca_cot.yaml`: it runs as it is, and cuts where it says."""

import json
import shutil
from pathlib import Path

import pytest

import curate
from curate.commands import call

ROOT = Path(__file__).parents[3]
RECIPE = "recipes/refine_alpaca_cot.yaml"


@pytest.fixture
def place(tmp_path, monkeypatch):
    for part in ("recipes", "data"):
        shutil.copytree(ROOT / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path


def test_it_runs_on_the_demonstration_data(place):
    assert call(["check", RECIPE]) == 0
    assert call(["plan", RECIPE]) == 0
    version = curate.run(RECIPE)
    fates = dict(version.ledger["fate"].value_counts().iter_rows())
    assert fates["kept"] + fates["dropped"] == len(version.ledger) == 184
    assert set(version.ledger["stage"].drop_nulls()) == {"dedup_exact", "dedup_minhash"}


def words(firsts, seconds, count):
    """As many words of three letters, no two of them alike."""
    return " ".join([f"{a}i{b}" for a in firsts for b in seconds][:count])


def signs(count):
    """As many characters that are neither letters nor digits, no two of them alike."""
    return "".join(chr(0x2500 + at) for at in range(count))


# Instruction, output and the number of two rows: the first stays, being on the threshold or on
# its right side by the least step, the second falls. A line feed stands between the two texts.
ON_BOTH_SIDES = {
    "alnum": [
        ("abcdefghij", signs(89), 10 / 100),
        ("klmnopqrs", signs(90), 9 / 100),
    ],
    "char_repetition": [  # of 100 runs of 10 characters the most frequent one
        ("a" * 69, words("bcdfg", "bcdfg", 10), 60 / 100),
        ("e" * 70, words("klmnp", "klmnp", 10)[:-1], 61 / 100),
    ],
    "flagged": [
        ("bastard", words("bcdfgh", "klmnprstvz", 58), 1 / 59),
        ("asshole", words("prstvz", "bcdfghjklm", 57), 1 / 58),
    ],
    "longest_line": [
        ("an instruction", "a line of twenty chr\nor less", 20),
        ("another of these", "twenty but for one.\nand so on", 19),
    ],
    "characters": [
        ("What is twelve times", "a hundred", 30),
        ("Where does that live", "in towns", 29),
    ],
}


def test_each_threshold_lies_where_data_juicer_has_it(place):
    rows = [(name, *row) for name, both in ON_BOTH_SIDES.items() for row in both]
    lines = [json.dumps({"instruction": row[1], "output": row[2]}) for row in rows]
    (place / "mine.jsonl").write_text("\n".join(lines))
    version = curate.run(RECIPE, set={"sources.pool.path": "mine.jsonl"})
    told = version.ledger.join(version.scores, on="id", how="left").sort("line").to_dicts()
    for at, ((name, _, _, number), row) in enumerate(zip(rows, told, strict=True)):
        assert row[f"t_{name}"] == number
        assert row["stage"] == ("refined" if at % 2 else None), name
        others = {other for other in ON_BOTH_SIDES if not _right(other, row[f"t_{other}"])}
        assert others == ({name} if at % 2 else set())


def _right(name, value):
    (_, _, stays), (_, _, falls) = ON_BOTH_SIDES[name]
    return value >= stays if stays > falls else value <= stays


def test_letters_decide_what_is_equal_and_words_what_is_near(place):
    question = "Which of the nine planets that you know of is the one nearest to our sun?"
    answer = "It is Mercury, as everybody who looks for it at dawn can see."
    texts = [
        (question, answer),
        (question.upper(), f"-- {answer} 1"),  # the same letters, and the longer one
        (question, answer.replace("looks for", "looks out for")),
        ("Name a colour that nobody paints a house in.", "Black, outside of fairy tales."),
    ]
    lines = [json.dumps({"instruction": one, "output": two}) for one, two in texts]
    (place / "mine.jsonl").write_text("\n".join(lines))
    ledger = curate.run(RECIPE, set={"sources.pool.path": "mine.jsonl"}).ledger.sort("line")
    assert ledger["stage"].to_list() == ["dedup_exact", None, "dedup_minhash", None]
