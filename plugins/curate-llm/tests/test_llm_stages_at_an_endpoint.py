"""`llm.judge` and `llm.rewrite` against a server that misbehaves: the promises of all that ask."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import xxhash
from chat_server import serving

import curate
from curate.api import CurateError
from curate.services.llm import sending

ODDITIES = ("busy", "broken", "dropped", "silent", "half", "malformed", "empty", "nothing")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sending, "_FIRST", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rows = [{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(200)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def number(body):
    """The row that a question is about, first asked or again."""
    first = body["messages"][0]["content"]
    return int(first.split("Say ")[1].split(".")[0])


def scheduled(body, times):
    """Three of ten requests go wrong once or twice; one row is refused, one never answered."""
    if number(body) == 7:
        return "bad"
    if number(body) == 8:
        return "broken"
    first = xxhash.xxh3_64_intdigest(json.dumps(body).encode())
    if first % 10 < 3 and times <= 1 + first % 2:
        return ODDITIES[(first // 10 + times) % len(ODDITIES)]
    return "fine"


def verdict(body):
    """Row 9 is never in the form; every fifth one only when asked again; the others at once."""
    n, again = number(body), len(body["messages"]) > 1
    if n == 9:
        worse = int(body["messages"][-2]["content"].split()[1][:-1]) + 1 if again else 6
        return f'{{"rating": {worse}}}'  # another answer each time: questions are all different
    if n % 5 == 0 and not again:
        return "Quite good, I should say."
    return f"Well:\n```json\n{json.dumps({'rating': n % 6, 'reason': f'As {n}.'})}\n```"


def run(server, step, set_aside):
    llm = {"base_url": server.url, "model": "parrot", "max_tokens": 40, "timeout": 2.0}
    more = {
        "llm": llm | {"concurrency": 16, "attempts": 5},
        "prompt": "{{ instruction }} A rating and the reason?",
    }
    step = step | {"with": step["with"] | more, "on_failure": {"set_aside": set_aside}}
    return curate.run(
        {"name": "asks", "sources": {"pool": {"path": "pool.jsonl"}}, "pipeline": [step]}
    )


def journal():
    import os

    logs = (Path(os.environ["CURATE_HOME"]) / "memo" / "llm").glob("answer-*/log-*.jsonl")
    return [json.loads(line)["key"] for log in logs for line in log.read_text().splitlines()]


FIELDS = {"rating": {"type": "integer", "minimum": 0, "maximum": 5}, "reason": "text"}
JUDGE = {"score": "llm.judge", "id": "j", "with": {"fields": FIELDS}}


def test_two_hundred_rows_judged_by_a_server_that_misbehaves(place):
    with serving(scheduled, verdict, seconds=0.01) as server:
        version = run(server, JUDGE, 3)
        entry = version.manifest["stages"][0]
        account = entry["services"]["llm"]
        sent = sum(server.seen.values())
        again = run(server, JUDGE | {"id": "again"}, 3)
        after = sum(server.seen.values())
    assert {"fine", "bad", "broken"} < set(server.kinds)
    assert len(set(server.kinds) & set(ODDITIES)) >= 6
    # every row has its value, or failed with its reason
    assert (entry["in"], entry["out"], entry["failed"]) == (200, 197, 3)
    failed = version.ledger.filter(pl.col("fate") == "failed").sort("line")
    assert [detail.split(":")[0] for detail in failed["detail"]] == [
        "the endpoint refuses the request",
        "status 500",
        "none of 3 answers had the form Judgement",
    ]
    rows = version.frame().select("id", "output").join(version.scores, on="id")
    assert rows.select((pl.col("output").cast(pl.Int64) % 6 == pl.col("j_rating")).all()).item()
    assert (rows["j_reason"] == "As " + rows["output"] + ".").all()
    # nothing whose whole answer came is sent again, the limit holds, and the books balance
    assert set(server.answered.values()) == {1}
    assert 1 < server.most_open <= 16
    assert account["sent"] == sent
    assert account["reasked"] == 40 + 2
    keys = journal()
    assert len(keys) == len(set(keys)) == len(server.answered)
    # another stage is answered from the journal, but for the two rows that had no answer
    tried = again.manifest["stages"][0]["services"]["llm"]["sent"]
    assert tried == after - sent == 1 + 5


def test_two_hundred_rows_rewritten_by_a_server_that_misbehaves(place):
    def said(body):
        return f"The number {number(body)}."

    step = {"expand": "llm.rewrite", "with": {"writes": "response", "in_place": True}}
    with serving(scheduled, said, seconds=0.01) as server:
        version = run(server, step, 4)
    books = version.manifest["books"]
    assert (books["sources"], books["kept"]) == (200, 198)
    assert books["sources"] + books["created"] == sum(
        books[fate] for fate in ("kept", "dropped", "failed", "merged")
    )
    told = version.frame().select("instruction", "output").rows()
    assert Counter(told) == Counter(
        (f"Say {n}.", f"The number {n}.") for n in range(200) if n not in {7, 8}
    )
    assert set(server.answered.values()) == {1}
    assert server.most_open <= 16


def test_a_budget_stops_a_judge_and_a_second_run_goes_on(place):
    step = {**JUDGE, "with": JUDGE["with"]}
    with serving(reply=lambda body: '{"rating": 1, "reason": ""}') as server:
        llm = {"base_url": server.url, "model": "parrot", "max_tokens": 40, "concurrency": 4}
        recipe = {"name": "asks", "sources": {"pool": {"path": "pool.jsonl"}}}

        def limited(requests):
            given = {
                "llm": llm | {"budget": {"requests": requests}},
                "prompt": "{{ instruction }} A rating and the reason?",
            }
            return recipe | {"pipeline": [step | {"with": step["with"] | given}]}

        with pytest.raises(CurateError, match="budget"):
            curate.run(limited(150))
        version = curate.run(limited(50))
    assert set(server.seen.values()) == {1}
    assert version.manifest["books"]["kept"] == 200
