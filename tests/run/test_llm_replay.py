"""Stages that ask a model, answered from a recording."""

import json

import pytest

from curate.answers import Answer, AnswerError, Call
from curate.asking import LlmSettings
from curate.errors import CurateError
from curate.memo.answers import line_of
from curate.services.llm.replay import Replay


def recorded(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"backend": "replay", "model": "parrot", "max_tokens": 50, "answers": str(path)}


def asked(number):
    return f"Say the number {number}."


def test_a_score_stage_is_answered_from_a_recording(bench):
    lines = [{"prompt": asked(n), "answer": "ho" * n or "-"} for n in range(20)]
    llm = recorded(bench.folder / "answers.jsonl", lines)
    result = bench.run({"score": "toys.echo", "with": {"llm": llm}})
    entry = bench.manifest(result)["stages"][0]
    assert entry["services"]["llm"]["sent"] == 20
    assert entry["memo"] == {"distinct": 20, "hits": 0, "computed": 20}


def test_dependent_answers_make_children(bench):
    lines = [{"prompt": f"Write anew: {asked(n)}", "answer": f"Shout {n}!"} for n in range(20)]
    lines += [{"prompt": f"Shout {n}!", "answer": f"{n}!!!"} for n in range(20)]
    llm = recorded(bench.folder / "answers.jsonl", lines)
    result = bench.run({"expand": "toys.rewrite", "with": {"llm": llm}})
    manifest = bench.manifest(result)
    assert manifest["books"]["created"] == 20
    assert manifest["stages"][0]["services"]["llm"]["sent"] == 40


def test_a_missing_answer_names_the_request(bench):
    llm = recorded(bench.folder / "answers.jsonl", [{"prompt": "x", "answer": "y"}])
    with pytest.raises(CurateError, match=r"no answer of parrot to the 1 turn ending in \"Say"):
        bench.run({"score": "toys.echo", "with": {"llm": llm}})


def test_a_host_scores_with_a_model_and_lets_so_many_rows_fail(bench):
    from curate.commands.hosting import PluginHost

    lines = [{"prompt": asked(n), "answer": "ho" * n or "-"} for n in range(100)]
    bench.write([{"instruction": asked(n), "output": "x"} for n in range(100)])
    llm = recorded(bench.folder / "answers.jsonl", lines)
    pool = {"path": str(bench.pool)}
    found = PluginHost().score("toys.echo", {"llm": llm}, pool)
    assert sorted(found["length"]) == [1, *range(2, 200, 2)]
    llm = recorded(bench.folder / "fewer.jsonl", lines[2:])
    with pytest.raises(CurateError, match="holds no answer") as stopped:
        PluginHost().score("toys.echo", {"llm": llm}, pool, may_fail=1)
    assert "on_failure" not in str(stopped.value)
    found = PluginHost().score("toys.echo", {"llm": llm}, pool, may_fail=2)
    assert sorted(found["length"].drop_nulls()) == list(range(4, 200, 2))
    assert all("no answer" in error for error in found["error"][-2:])


def test_what_changes_no_answer_is_in_no_key(bench):
    lines = [{"prompt": asked(n), "answer": "ho" * n or "-"} for n in range(20)]
    llm = recorded(bench.folder / "answers.jsonl", lines)
    stage = {"score": "toys.echo"}
    bench.run({**stage, "with": {"llm": llm}})
    neutral = {
        "concurrency": 3,
        "requests_per_minute": 10_000,
        "tokens_per_minute": 10_000_000,
        "attempts": 2,
        "timeout": 5,
        "api_key_env": "MY_KEY",
        "prices": {"prompt": 1, "completion": 2},
        "budget": {"money": 9},
    }
    assert bench.run({**stage, "with": {"llm": llm | neutral}}).up_to_date
    changing = [{"temperature": 0.5}, {"max_tokens": 51}, {"seed": 1}, {"top_p": 0.5}]
    changing += [{"stop": ["x"]}, {"reasks": 1}, {"model": "other"}]
    for change in changing:
        result = bench.run({**stage, "with": {"llm": llm | change}})
        memo = bench.manifest(result)["stages"][0]["memo"]
        assert (memo["hits"], memo["computed"]) == (0, 20), change
    moved = bench.folder / "moved.jsonl"
    moved.write_bytes((bench.folder / "answers.jsonl").read_bytes())
    assert bench.run({**stage, "with": {"llm": llm | {"answers": str(moved)}}}).up_to_date


def body(text, **more):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def said(path, content, request):
    path.write_bytes(content)
    settings = LlmSettings(backend="replay", model="m", max_tokens=9, answers=str(path))
    return Replay(settings, None).send(Call(request)).text


def logged(text, answer, **more):
    call = Call(body(text, **more))
    return line_of("ab" * 32, call, Answer(answer))


def test_logs_with_torn_ends_are_a_recording(tmp_path):
    path = tmp_path / "answers.jsonl"
    # what is said looks like the beginning of a line
    first, second, third = (logged(text, f'{text}{{"key":"') for text in "abc")
    for end in range(len(second)):
        for content in (first + second[:end] + third, first + third + second[:end]):
            assert said(path, content, body("c")) == 'c{"key":"'
            assert said(path, content, body("a")) == 'a{"key":"'
    with pytest.raises(AnswerError, match="holds no answer"):
        said(path, first + second[:-5] + third, body("b"))
    assert said(path, b"\0\0\n" + first + second[:20] + third[:30], body("a")) == 'a{"key":"'
    with pytest.raises(CurateError, match=":2: this is no recorded answer"):
        said(path, first + b'{"prompt": "x", "ans\n' + third, body("c"))


def test_of_logged_answers_that_of_the_same_request_counts(tmp_path):
    path = tmp_path / "answers.jsonl"
    cold, hot = logged("a", "cold", temperature=0), logged("a", "hot", temperature=1)
    for content in (cold + hot, hot + cold):
        assert said(path, content, body("a", temperature=1)) == "hot"
        assert said(path, content, body("a", temperature=0)) == "cold"
    assert said(path, hot + cold, body("a", temperature=0.5)) == "hot"
    again = logged("a", "later", temperature=1)
    assert said(path, hot + again, body("a", temperature=1)) == "hot"
    by_hand = [{"prompt": "a", "answer": answer} for answer in ("one", "two")]
    with pytest.raises(CurateError, match="another answer to the same request"):
        said(path, "\n".join(map(json.dumps, by_hand)).encode(), body("a"))
