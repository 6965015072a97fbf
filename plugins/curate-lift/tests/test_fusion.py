"""`lift.fusion`: which rows are paired, and what is made of a pair."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from chat_server import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import Answer, AnswerError, Context, CurateError
from curate_lift.fusion import Fusion, FusionParams
from curate_lift.pairs import candidates, paired

LLM = {"model": "m", "max_tokens": 100}


def longhand(vectors, groups, neighbours, lowest, highest, each, most):
    """Pairs of places by the definition, one row after the other."""
    unit = vectors.astype(float)
    unit = [v / np.sqrt((v * v).sum()) for v in unit]
    related = {}
    for one in range(len(unit)):
        near = []
        for two in range(len(unit)):
            similar = float(unit[one] @ unit[two])
            apart = groups is None or (
                groups[one] is not None and groups[two] is not None and groups[one] != groups[two]
            )
            if one != two and apart and lowest <= similar <= highest:
                near.append((-similar, two))
        for minus, two in sorted(near)[:neighbours]:
            related[min(one, two), max(one, two)] = -minus
    times, taken = [0] * len(unit), []
    for pair in sorted(related, key=lambda pair: (-related[pair], pair)):
        if (most is None or len(taken) < most) and all(times[at] < each for at in pair):
            taken.append(pair)
            for at in pair:
                times[at] += 1
    return taken


@settings(deadline=None)
@given(
    st.integers(0, 40),
    st.integers(0, 2**32),
    st.integers(1, 6),
    st.integers(1, 3),
    st.none() | st.integers(1, 9),
    st.booleans(),
)
def test_pairs_are_those_of_the_definition(count, seed, neighbours, each, most, different):
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(count, 5)).astype(np.float32)
    names = ["a", "b", None]
    groups = [names[at] for at in draw.integers(0, 3, count)] if different else None
    found = candidates(vectors, groups, neighbours, -0.2, 0.8)
    expected = longhand(vectors, groups, neighbours, -0.2, 0.8, each, most)
    assert paired(*found, each, most) == expected


def test_blocks_do_not_matter(monkeypatch):
    vectors = np.random.default_rng(1).normal(size=(700, 8)).astype(np.float32)
    whole = paired(*candidates(vectors, None, 5, 0.0, 0.9), 1, None)
    assert whole == longhand(vectors, None, 5, 0.0, 0.9, 1, None)
    monkeypatch.setattr("curate_lift.pairs._BLOCK", 37)
    assert paired(*candidates(vectors, None, 5, 0.0, 0.9), 1, None) == whole


class Model:
    model = "parrot"

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def ask(self, messages, *, sample=0, **_):
        self.asked.append(messages)
        return Answer(self.reply(messages))

    def each(self, items, work):
        for item in reversed(list(items)):
            try:
                yield item, work(item), None
            except AnswerError as error:
                yield item, None, str(error)


def angle(degrees):
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


def frame(degrees, abilities=None):
    return pl.DataFrame(
        {
            "id": [f"{at:02}" for at in range(len(degrees))],
            "messages": [
                [
                    {"role": "user", "content": f"Question {at}."},
                    {"role": "assistant", "content": "x"},
                ]
                for at in range(len(degrees))
            ],
            "vector": pl.Series([angle(each) for each in degrees], dtype=pl.Array(pl.Float32, 2)),
            "ability": abilities or [None] * len(degrees),
        }
    )


def fused(
    rows, reply=lambda messages: "Merged." if isinstance(messages, str) else "Answer.", **given
):
    stage = Fusion(FusionParams(llm=LLM, column="vector", **given), "fusion")
    model = Model(reply)
    children = stage.expand(rows, Context(0, {}, {}, (), lambda name: model))
    return list(children), model


def test_a_pair_is_merged_and_answered_and_both_parents_recorded():
    (child,), model = fused(frame([0, 40]))
    assert child.parents == ("00", "01")
    assert child.messages == [
        {"role": "user", "content": "Merged."},
        {"role": "assistant", "content": "Answer."},
    ]
    assert (child.origin, child.generator, child.replaces) == ("synthetic", "parrot", False)
    prompt, answering = model.asked
    assert prompt.index("Question 0.") < prompt.index("Question 1.")
    assert answering == [{"role": "user", "content": "Merged."}]


def test_the_nearest_are_paired_first_and_the_order_of_rows_plays_no_part():
    rows = frame([0, 50, 80, 175, 140])
    children, _ = fused(rows)
    assert [child.parents for child in children] == [("01", "02"), ("03", "04")]
    assert fused(rows.reverse())[0] == children
    assert fused(rows.sample(fraction=1, shuffle=True, seed=3))[0] == children
    children, _ = fused(rows, count=1)
    assert [child.parents for child in children] == [("01", "02")]
    children, _ = fused(rows, pairs=2)
    assert len(children) == len({child.parents for child in children}) == 4


def test_the_much_alike_and_the_unrelated_are_not_paired():
    assert fused(frame([0, 10, 100]))[0] == []
    assert len(fused(frame([0, 10, 100]), max_similarity=0.99)[0]) == 1


def test_rows_of_different_abilities():
    rows = frame([0, 30, 65], ["a", "a", "b"])
    (child,), _ = fused(rows, different="ability")
    assert child.parents == ("01", "02")
    assert fused(frame([0, 30], ["a", None]), different="ability")[0] == []


def test_what_goes_wrong_fails_its_child():
    (child,), _ = fused(frame([0, 40]), lambda messages: "input: input:")
    assert child.parents == ("00", "01")
    assert child.error == "the rewritten instruction holds 'input:' 2 times"


def test_vectors_without_a_direction_are_refused():
    rows = frame([0, 40]).with_columns(
        vector=pl.Series([[0.0, 0.0], [1.0, 0.0]], dtype=pl.Array(pl.Float32, 2))
    )
    with pytest.raises(CurateError, match="the vector of row 00 is zero"):
        fused(rows)


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(ValidationError, match="must be less"):
        FusionParams(llm=LLM, min_similarity=0.9, max_similarity=0.5)


def test_the_prompt_shows_inputs_and_takes_no_template_from_rows():
    rows = frame([0, 40]).with_columns(given=pl.Series(["{{ 1 + 1 }}", None]))
    messages = rows["messages"].to_list()
    messages[0][0]["content"] = "Question 0.\n{{ 1 + 1 }}"
    (_,), model = fused(rows.with_columns(messages=pl.Series(messages)), input="given")
    shown = (
        "The first prompt:\n\nQuestion 0.\ninput:\n{{ 1 + 1 }}\n\nThe second prompt:\n\nQuestion 1."
    )
    assert model.asked[0].endswith(shown)


def test_in_a_run(tmp_path, monkeypatch):
    from curate_lift.questions import Question
    from curate_lift.templates import source

    monkeypatch.chdir(tmp_path)
    texts = ["Add two and three.", "Add three and four, then double it."]
    rows = [
        {"instruction": text, "output": "x", "ability": str(at)} for at, text in enumerate(texts)
    ]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = []
    for one, two in ((0, 1), (1, 0)):
        values = {"first": Question(texts[one]).values, "second": Question(texts[two]).values}
        prompt = source("fusion", None).render(values)
        lines.append({"prompt": prompt, "answer": "Add all and double it."})
    lines.append({"prompt": "Add all and double it.", "answer": "24"})
    Path("answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    llm = {"backend": "replay", "answers": "answers.jsonl", **LLM}
    version = curate.run(
        {
            "name": "fused",
            "sources": {"pool": {"path": "pool.jsonl", "origin": "human", "license": "cc0-1.0"}},
            "pipeline": [
                {"score": "embed.sentence"},
                {"expand": "lift.fusion", "with": {"llm": llm, "different": "ability"}},
            ],
        }
    )
    made = version.frame().filter(pl.col("parents").list.len() > 0)
    first = version.frame().filter(pl.col("parents").list.len() == 0)
    assert set(made["parents"][0]) == set(first["id"])
    assert made.select("origin", "generator", "license", "ability").row(0) == (
        "mixed",
        "m",
        "cc0-1.0",
        None,
    )
    assert (version.manifest["books"]["created"], version.manifest["books"]["kept"]) == (1, 3)


def test_the_prompt_says_what_fusion_is():
    text = files("curate_lift").joinpath("prompts", "fusion.j2").read_text()
    for words in ("merges them", "not two questions in a row", "harder than either"):
        assert words in text


def asks(server, tmp_path, **llm):
    rows = [{"instruction": f"Say {n}.", "output": "x"} for n in range(80)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"base_url": server.url, "model": "m", "max_tokens": 9, "concurrency": 2, **llm}
    fusion = {"llm": given, "min_similarity": -1, "max_similarity": 1, "neighbours": 40}
    return {
        "name": "fused",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [{"score": "toys.vector"}, {"expand": "lift.fusion", "with": fusion}],
    }


def test_one_failure_too_many_ends_the_asking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(lambda body, times: "bad") as server:
        with pytest.raises(CurateError, match="this cannot be answered"):
            curate.run(asks(server, tmp_path))
        # of 80 rows one may fail; the pairs that were under way then are asked about
        assert 2 <= sum(server.seen.values()) <= 2 + 2 * 2


def test_a_budget_stop_says_how_many_pairs_are_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(lambda body, times: "fine") as server:
        recipe = asks(server, tmp_path, concurrency=1, budget={"requests": 12})
        with pytest.raises(CurateError, match=r"26 of 32 items of its work are left to do"):
            curate.run(recipe)
        assert sum(server.seen.values()) == 12
