"""The benchmark of deduplication, without its peers: rows, truth, judge, clock."""

import itertools
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.examples import texts_of
from curate.sources.formats.alpaca import Alpaca

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import dedup  # noqa: E402 - found through the line above
from dedup_corpus import (  # noqa: E402
    FIELDS,
    edited,
    grown,
    planted,
    text_of,
    vocabulary_of,
    write,
)
from dedup_judge import Cause, Errors, errors, judge  # noqa: E402
from dedup_peers import PEERS, RECIPE, SIZE, THRESHOLD, Outcome  # noqa: E402
from dedup_process import ProgramError, Spent, run  # noqa: E402
from dedup_truth import Truth, jaccard, plain_words, shingles_of  # noqa: E402

# --- rows


def real(count=80):
    """Rows as of alpaca, of words that do not repeat much."""
    rng = random.Random(5)

    def words(number):
        return " ".join(f"w{rng.randrange(5000)}" for _ in range(number))

    return [
        {
            "instruction": words(rng.randint(3, 10)),
            "input": words(8) if at % 3 else "",
            "output": words(rng.randint(10, 60)) + "\nEnd.",
        }
        for at in range(count)
    ]


def test_a_tenth_of_the_rows_are_exact_and_a_tenth_near_copies():
    rows, pairs = planted(real(), 100, seed=1)
    assert len(rows) == 100
    assert Counter(pair.edits > 0 for pair in pairs) == {True: 10, False: 10}
    assert len({pair.copy for pair in pairs}) == 20
    for pair in pairs:
        same = rows[pair.copy] == rows[pair.original]
        assert same == (pair.edits == 0)
    originals = set(range(100)) - {pair.copy for pair in pairs}
    found = sorted(text_of(rows[at]) for at in originals)
    assert found == sorted(text_of(row) for row in real())
    assert [pair.copy for pair in pairs] != sorted(range(80, 100))


def test_the_rows_depend_on_the_seed_alone():
    assert planted(real(), 100, seed=1) == planted(real(), 100, seed=1)
    assert planted(real(), 100, seed=1) != planted(real(), 100, seed=2)
    assert list(grown(real(), 200, 1)) == list(grown(real(), 200, 1))


def test_too_few_real_rows_are_said():
    with pytest.raises(ValueError, match="110 rows need 88 real ones, and there are 80"):
        planted(real(), 110, seed=1)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_edits_leave_no_field_empty_and_no_empty_field_filled(seed, edits):
    rng = random.Random(seed)
    row = rng.choice(real(6))
    made = edited(row, edits, ["a", "b"], rng)
    assert made.keys() == row.keys()
    assert [bool(made[name]) for name in FIELDS] == [bool(row[name]) for name in FIELDS]
    words, others = (
        Counter(word for name in FIELDS for word in one[name].split(" ")) for one in (row, made)
    )
    assert (words - others).total() <= edits
    assert (others - words).total() <= edits


def test_grown_rows_are_unlike_one_another_but_for_a_tenth():
    base = real()
    rows = list(grown(base, 400, 3))
    assert len(rows) == 400
    sets = [shingles_of(plain_words(text_of(row)), SIZE) for row in rows]
    originals = [shingles_of(plain_words(text_of(row)), SIZE) for row in base]
    for at, shingles in enumerate(sets):
        near = max(jaccard(shingles, other) for other in originals)
        if at % 10 != 9 and at >= len(base):
            assert near < THRESHOLD
        if at % 10 == 9:
            assert near > 0.3


def test_the_text_of_a_row_is_the_text_that_stages_read():
    rows = real(9)
    messages = pl.Series("messages", [Alpaca().read(row) for row in rows])
    assert texts_of(messages)[2].to_list() == [text_of(row) for row in rows]


def test_every_tool_gets_the_same_rows(tmp_path):
    rows, pairs = planted(real(), 100, seed=1)
    write(tmp_path, rows, pairs)

    def lines(name):
        return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]

    assert [{name: row[name] for name in FIELDS} for row in lines("rows.jsonl")] == rows
    texts = lines("texts.jsonl")
    assert texts == [{"row": at, "text": text_of(row)} for at, row in enumerate(rows)]
    assert lines("halves/0.jsonl") + lines("halves/1.jsonl") == texts
    assert lines("planted.jsonl") == [vars(pair) for pair in pairs]


def test_words_to_edit_with_are_those_of_outputs():
    assert vocabulary_of([{"output": "a b\na"}]) == ["a", "b", "a"]


# --- truth


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), max_size=12), max_size=12),
    st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]),
    st.integers(1, 3),
)
def test_clusters_and_nearest_rows_are_those_of_all_pairs(words, threshold, size):
    truth = Truth(words, size, threshold)
    sets = [
        {tuple(row[at : at + size]) for at in range(max(len(row) - size + 1, 1))} for row in words
    ]

    def similar(one, other):
        return len(one & other) / len(one | other)

    leader = list(range(len(words)))
    for one, other in itertools.combinations(range(len(words)), 2):
        if similar(sets[one], sets[other]) >= threshold:
            low, high = sorted((leader[one], leader[other]))
            leader = [low if each == high else each for each in leader]
    assert truth.leader == leader
    assert sorted(itertools.chain(*truth.clusters.values())) == list(range(len(words)))
    for row in range(len(words)):
        others = [similar(sets[row], sets[at]) for at in range(len(words)) if at != row]
        assert truth.nearest(row) == max(others, default=0)


def test_nearest_leaves_out_whom_it_is_told_to():
    truth = Truth([list("abcdef"), list("abcdef"), list("abcdxy")], 3, 0.7)
    assert truth.nearest(0) == 1
    assert truth.nearest(0, [1]) == pytest.approx(2 / 6)
    assert truth.nearest(0, [1, 2]) == 0


# --- judge

LONG = [f"w{at}" for at in range(40)]


def changed(*places):
    """The long text with other words at some places; each takes 3 shingles of 38 away."""
    return [f"x{at}{places}" if at in places else word for at, word in enumerate(LONG)]


ALONE = [f"y{at}" for at in range(40)]
NEAR = changed(5)  # 35 of 41 shingles
FAR = changed(5, 15, 25)  # 29 of 47, of NEAR 29 of 47 too: below 0.7


def judged(words, ours, theirs, cut=None):
    texts = [" ".join(row) for row in words]
    found = judge(Truth(words, 3, 0.7), texts, set(ours), set(theirs), cut and Truth(cut, 3, 0.7))
    return {cause: count for cause, count in found.causes.items() if count}, found


def test_two_tools_that_agree():
    assert judged([LONG, NEAR, ALONE], [0, 2], [0, 2])[0] == {}


def test_another_exact_copy_stays():
    assert judged([LONG, LONG, ALONE], [0, 2], [1, 2])[0] == {Cause.COPY: 2}


def test_another_row_of_the_cluster_stays():
    assert judged([LONG, NEAR, ALONE], [0, 2], [1, 2])[0] == {Cause.SURVIVOR: 2}


def test_a_pair_that_the_peer_missed():
    assert judged([LONG, NEAR, ALONE], [1, 2], [0, 1, 2])[0] == {Cause.PEER_MISSED: 1}


def test_a_pair_that_curate_missed():
    assert judged([LONG, NEAR, ALONE], [0, 1, 2], [1, 2])[0] == {Cause.OURS_MISSED: 1}


def test_a_row_that_the_peer_dropped_for_a_pair_below():
    causes, found = judged([LONG, FAR, ALONE], [0, 1, 2], [0, 2])
    assert causes == {Cause.PEER_BELOW: 1}
    assert found.below == [29 / 47]


def test_a_cluster_of_two_that_the_peer_dropped_for_a_pair_below():
    words = [LONG, FAR, FAR, ALONE]
    causes, found = judged(words, [0, 1, 3], [0, 3])
    assert causes == {Cause.PEER_BELOW: 1}
    assert found.below == [29 / 47]
    assert judged(words, [0, 1, 2, 3], [0, 3])[0] == {Cause.PEER_BELOW: 1, Cause.OURS_MISSED: 1}


def test_a_row_that_the_peer_dropped_for_nothing_is_unexplained():
    causes, found = judged([LONG, ALONE], [0, 1], [0])
    assert causes == {Cause.UNEXPLAINED: 1}
    assert found.unexplained == [1]


def test_a_row_that_curate_dropped_for_a_pair_below_is_unexplained():
    causes, found = judged([LONG, FAR, ALONE], [0, 2], [0, 1, 2])
    assert causes == {Cause.UNEXPLAINED: 1}
    assert found.unexplained == [1]


def test_a_peer_that_cuts_words_otherwise():
    joined = [["-".join(LONG)], ["-".join(NEAR)], ALONE]
    assert judged([LONG, NEAR, ALONE], [0, 2], [0, 1, 2], joined)[0] == {Cause.WORDS: 1}
    alike = [LONG, LONG, ALONE]
    assert judged([LONG, FAR, ALONE], [0, 1, 2], [0, 2], alike)[0] == {Cause.WORDS: 1}


def test_a_peer_that_cuts_words_otherwise_may_err_too():
    same = [LONG, NEAR, ALONE]
    assert judged(same, [0, 2], [0, 1, 2], same)[0] == {Cause.PEER_MISSED: 1}
    far = [LONG, FAR, ALONE]
    assert judged(far, [0, 1, 2], [0, 2], far)[0] == {Cause.PEER_BELOW: 1}
    alone = [LONG, ALONE]
    assert judged(alone, [0, 1], [0], alone)[0] == {Cause.UNEXPLAINED: 1}


TABLES = st.lists(
    st.tuples(st.sampled_from([LONG, NEAR, FAR, ALONE]), st.booleans(), st.booleans()), max_size=8
)


@given(TABLES)
def test_every_row_of_a_disagreement_has_one_cause(table):
    words = [row for row, _, _ in table]
    ours = {at for at, (_, kept, _) in enumerate(table) if kept}
    theirs = {at for at, (_, _, kept) in enumerate(table) if kept}
    causes, found = judged(words, ours, theirs)
    assert sum(causes.values()) == len(ours ^ theirs)
    assert causes.get(Cause.UNEXPLAINED, 0) == len(found.unexplained)
    truth = Truth(words, 3, 0.7)
    if errors(truth, ours) == errors(truth, theirs) == Errors(0, 0):
        assert causes.keys() <= {Cause.COPY, Cause.SURVIVOR}
    if errors(truth, ours) == Errors(0, 0):
        assert Cause.OURS_MISSED not in causes


def test_errors_against_the_truth():
    truth = Truth([LONG, NEAR, LONG, ALONE], 3, 0.7)
    assert errors(truth, {0, 3}) == Errors(missed=0, wrong=0)
    assert errors(truth, {0, 1, 2}) == Errors(missed=2, wrong=1)


# --- clock


def python(code):
    return [sys.executable, "-c", code]


def test_memory_is_that_of_all_processes_together(tmp_path):
    part = "import time; held = b'x' * 100_000_000; time.sleep(1)"
    both = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {part!r}]); "
    alone = run(python(part), tmp_path, {})
    assert alone.seconds >= 1
    assert 100e6 < alone.peak < 190e6
    if Path("/proc/self/smaps_rollup").is_file():
        assert run(python(f"{both}{part}; p.wait()"), tmp_path, {}).peak > 200e6


def test_a_process_that_nobody_waits_for_counts(tmp_path):
    if not Path("/proc/self/stat").is_file():
        pytest.skip("this system does not tell of processes in /proc")
    work = "import time\nwhile time.process_time() < 0.6: pass\nprint(flush=True); time.sleep(2)"
    both = f"import os, subprocess as s, sys, time; p = s.Popen([sys.executable, '-c', {work!r}], "
    both += "stdout=s.PIPE); p.stdout.readline(); time.sleep(1); os._exit(0)"
    assert run(python(both), tmp_path, {}).busy >= 0.5  # it is told in hundredths


def test_a_program_that_fails_says_its_last_line(tmp_path):
    with pytest.raises(ProgramError, match=r"ValueError: no such thing .see .*log"):
        run(python("print(1); raise ValueError('no such thing')"), tmp_path, {})
    with pytest.raises(ProgramError, match="exit code 3"):
        run(python("import sys; sys.exit(3)"), tmp_path, {})


def test_the_run_with_the_median_of_seconds():
    runs = [
        Outcome(Spent(seconds, 5, 9 - at), frozenset([at])) for at, seconds in enumerate([3, 1, 2])
    ]
    assert dedup.median(runs) == Outcome(Spent(2, 5, 9), frozenset([2]))


def line(tool, seconds):
    return dedup.Line(tool, "1", Outcome(Spent(seconds, 0, 0), frozenset()), Errors(0, 0), 0, "")


def test_a_peer_that_did_not_run_has_a_line_that_says_why():
    lines = [line("curate", 2.0), line("rensa", 3.0)]
    shown = dedup.table(lines, {"datatrove": "ValueError: x"}, 1).splitlines()
    assert [words.split()[0] for words in shown] == ["tool", "curate", "rensa", "datatrove"]
    assert "1.50" in shown[2]
    assert shown[3].split(maxsplit=1)[1] == "not run: ValueError: x"


def test_goals(capsys):
    lines = [line("curate", 2.0), line("data-juicer", 50.0), line("datatrove", 24.0)]
    assert dedup.goals_met(lines, [])
    assert not dedup.goals_met([line("curate", 2.1), *lines[1:]], [])
    assert not dedup.goals_met(lines[:2], [])
    assert dedup.goals_met(lines[:2], ["datatrove"])
    assert "datatrove: skipped" in capsys.readouterr().out


# --- the whole


def test_the_peers_are_told_what_the_recipe_says():
    asked = yaml.safe_load(RECIPE)["pipeline"][1]["with"]
    assert (asked["size"], asked["threshold"]) == (SIZE, THRESHOLD)
    folder = ROOT / "benchmarks" / "peers"
    steps = yaml.safe_load((folder / "with_data_juicer.yaml").read_text())["process"]
    told = steps[1]["document_minhash_deduplicator"]
    assert told["window_size"] == SIZE
    assert told["jaccard_threshold"] == THRESHOLD
    assert told["num_permutations"] == asked["permutations"]
    for peer in PEERS:
        assert peer.package in (folder / f"{peer.stem}.txt").read_text()


def benchmark(*arguments, work):
    command = [sys.executable, "benchmarks/dedup.py", "--work", str(work), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_benchmark_without_its_peers(shared_data, tmp_path):
    skipped = [word for peer in PEERS for word in ("--skip", peer.name)]
    data = ["--data", str(shared_data), "--repeat", "1"]
    done = benchmark("--rows", "1000", *data, *skipped, work=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    (ours,) = [words for words in lines if words[:2] == ["curate", "0.1.0"]]
    assert ours[3] == "1.00"
    done = benchmark("--growth", "500", "1500", *data, work=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from first to last" in done.stdout
