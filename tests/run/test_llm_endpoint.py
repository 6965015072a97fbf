"""Stages that ask a model, against a real server that misbehaves."""

import json
import sys
from collections import Counter

import polars as pl
import pytest
import xxhash
from chat_server import serving

from curate.errors import CurateError
from curate.services.llm import sending
from curate.versions.funnel import warnings

KEY = "sk-test-0123456789abcdef"
ODDITIES = (
    "busy",
    "broken",
    "dropped",
    "silent",
    "half",
    "malformed",
    "empty",
    "nothing",
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(sending, "_FIRST", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def asking(server, **more):
    return {"base_url": server.url, "model": "parrot", "max_tokens": 40, "timeout": 1.5} | more


def pool(bench, count):
    bench.write([{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(count)])


def ledger(result):
    return pl.read_parquet(result.path / "ledger.parquet")


def lines(home):
    logs = (home / "memo" / "llm").glob("answer-*/log-*.jsonl")
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def digest(text):
    return xxhash.xxh3_64_intdigest(text.encode())


def scheduled(body, times):
    """Three of ten requests go wrong once or twice; one row is refused, one never answered."""
    said = body["messages"][-1]["content"]
    if said == "Say 7.":
        return "bad"
    if said == "Say 8.":
        return "broken"
    first = digest(said)
    if first % 10 < 3 and times <= 1 + first % 2:
        return ODDITIES[digest(said + str(times)) % len(ODDITIES)]
    return "fine"


def test_a_thousand_rows_against_a_server_that_misbehaves(bench, home):
    pool(bench, 1000)
    with serving(scheduled, seconds=0.02) as server:
        result = bench.run(
            {
                "score": "toys.echo",
                "with": {"llm": asking(server, concurrency=16, attempts=5)},
                "on_failure": {"set_aside": 10},
            }
        )
    entry = bench.manifest(result)["stages"][0]
    account = entry["services"]["llm"]
    assert set(server.kinds) == {"fine", "bad", *ODDITIES}
    # every row answered, or failed with its reason
    assert (entry["in"], entry["out"], entry["failed"]) == (1000, 998, 2)
    failed = ledger(result).filter(pl.col("fate") == "failed").sort("line")
    assert failed["detail"].to_list() == [
        "the endpoint refuses the request: 400, this cannot be answered",
        "status 500: something broke (5 attempts)",
    ]
    # nothing whose whole answer came is sent again
    assert len(server.answered) == 998
    assert set(server.answered.values()) == {1}
    # the limit holds
    assert 1 < server.most_open <= 16
    # the books balance: what was sent is what came, all that was answered is journalled once
    assert account["sent"] == sum(server.seen.values()) == sum(server.kinds.values())
    assert account["sent"] == 1000 + account["retried"]
    assert account["failed"] == 2
    keys = [line["key"] for line in lines(home)]
    assert len(keys) == len(set(keys)) == 998
    scores = pl.read_parquet(result.path / "scores.parquet")["toys_echo_text"].drop_nulls()
    assert set(scores) == {f"You said: Say {n}." for n in range(1000) if n not in {7, 8}}


def test_what_was_received_is_not_asked_again_by_another_stage_or_run(bench, home):
    pool(bench, 20)
    with serving() as server:
        llm = asking(server)
        bench.run({"score": "toys.echo", "with": {"llm": llm}})
        result = bench.run(
            {"score": "toys.echo", "id": "a", "with": {"llm": llm | {"reasks": 0}}},
            {"score": "toys.echo", "id": "b", "with": {"llm": llm | {"reasks": 1}}},
        )
    assert sum(server.seen.values()) == 20
    for entry in bench.manifest(result)["stages"]:
        assert entry["services"]["llm"]["sent"] == 0
        assert entry["services"]["llm"]["journal"] == 20


def test_equal_payloads_are_one_call_also_while_in_flight(bench, home):
    pool(bench, 3)
    with serving(reply=lambda body: "the same for all", seconds=0.3) as server:
        # three different rewritings that come out the same, so the second question is one
        result = bench.run({"expand": "toys.rewrite", "with": {"llm": asking(server, timeout=5)}})
    assert sum(server.seen.values()) == 4
    account = bench.manifest(result)["stages"][0]["services"]["llm"]
    assert (account["sent"], account["journal"]) == (4, 2)


@pytest.mark.parametrize(
    ("kind", "words"), [("unauthorised", "401"), ("unknown", "404.*does not exist")]
)
def test_a_wrong_key_or_model_stops_at_once(bench, kind, words):
    pool(bench, 200)
    with serving(lambda body, times: kind) as server, pytest.raises(CurateError, match=words) as e:
        bench.run(
            {
                "score": "toys.echo",
                "with": {"llm": asking(server, concurrency=4)},
                "on_failure": {"set_aside": "100%"},
            }
        )
    assert e.value.exit_code == 1
    assert KEY not in str(e.value)
    assert sum(server.seen.values()) <= 8
    assert not list((bench.folder / "curated").glob("*/v*"))


@pytest.mark.parametrize(("attempts", "most"), [(1, 24), (4, 60)])
def test_twenty_requests_in_a_row_without_an_answer_stop_the_run(bench, attempts, most):
    """Repeated ones among them, over all threads; not before one request would be given up."""
    pool(bench, 200)
    with (
        serving(lambda body, times: "broken") as server,
        pytest.raises(CurateError, match=r"no answer to \d\d requests in a row"),
    ):
        bench.run(
            {
                "score": "toys.echo",
                "with": {"llm": asking(server, concurrency=4, attempts=attempts)},
                "on_failure": {"set_aside": "100%"},
            }
        )
    assert 20 <= sum(server.seen.values()) <= most


def test_an_endpoint_that_is_gone_for_a_moment_is_waited_for(bench, monkeypatch):
    """More than 20 failures in a row, and all rows are answered in the end."""
    monkeypatch.setattr(sending, "_FIRST", 0.2)
    pool(bench, 60)
    with serving(lambda body, times: "broken" if server.kinds.total() < 30 else "fine") as server:
        result = bench.run({"score": "toys.echo", "with": {"llm": asking(server)}})
    assert server.kinds == {"broken": 30, "fine": 60}
    assert bench.manifest(result)["books"]["failed"] == 0


def test_refused_rows_are_for_on_failure_however_many_come_in_a_row(bench):
    pool(bench, 100)
    with serving(lambda body, times: "bad" if times_of(body) < 60 else "fine") as server:
        result = bench.run(
            {
                "score": "toys.echo",
                "with": {"llm": asking(server, concurrency=4)},
                "on_failure": {"set_aside": "60%"},
            }
        )
    assert bench.manifest(result)["stages"][0]["failed"] == 60
    assert set(server.seen.values()) == {1}


def test_an_expansion_that_fails_stops_before_all_is_asked(bench):
    pool(bench, 300)
    with (
        serving(lambda body, times: "bad") as server,
        pytest.raises(CurateError, match="7 rows failed, 6 may"),
    ):
        bench.run({"expand": "toys.rewrite", "with": {"llm": asking(server, concurrency=4)}})
    assert sum(server.seen.values()) <= 32


def test_failures_between_answers_do_not_stop_it(bench):
    pool(bench, 200)
    with serving(lambda body, times: "bad" if times_of(body) % 2 else "fine") as server:
        result = bench.run(
            {
                "score": "toys.echo",
                "with": {"llm": asking(server, concurrency=4)},
                "on_failure": {"set_aside": "60%"},
            }
        )
    assert bench.manifest(result)["stages"][0]["failed"] == 100


def times_of(body):
    return int(body["messages"][-1]["content"].removeprefix("Say ").removesuffix("."))


def test_two_percent_may_fail_where_nothing_is_said(bench):
    pool(bench, 100)
    with serving(lambda body, times: "bad" if times_of(body) in {5, 6} else "fine") as server:
        result = bench.run({"score": "toys.echo", "with": {"llm": asking(server)}})
        assert bench.manifest(result)["books"]["failed"] == 2
    with (
        serving(lambda body, times: "bad" if times_of(body) in {5, 6, 7} else "fine") as server,
        pytest.raises(CurateError, match="3 rows failed, 2 may"),
    ):
        bench.run({"score": "toys.echo", "with": {"llm": asking(server)}})


def test_an_answer_cut_off_fails_its_row(bench, home):
    pool(bench, 100)
    kinds = Counter()

    def behave(body, times):
        return "cut" if times_of(body) == 3 else "fine"

    with serving(behave) as server:
        llm = asking(server)
        result = bench.run({"score": "toys.echo", "with": {"llm": llm}})
        failed = ledger(result).filter(pl.col("fate") == "failed")
        assert failed["detail"].to_list() == [
            "the answer was cut off at 40 tokens; raise `llm.max_tokens`"
        ]
        bench.run({"score": "toys.echo", "with": {"llm": llm}})  # failed rows are tried again ...
        kinds.update(server.kinds)
    assert kinds["cut"] == 1  # ... but what was received is not paid for twice


def test_answers_in_the_wrong_form_are_asked_for_again(bench, home):
    pool(bench, 30)

    def marks(body):
        number = int(body["messages"][0]["content"].split("Say ")[1].split(".")[0])
        asked = len(body["messages"]) // 2
        if number % 3 == 0 or (number % 3 == 1 and asked >= 1):
            return f'Here it is:\n```json\n{{"mark": {number % 10}}}\n```'
        return '{"mark": 11}' if asked else "a seven"

    with serving(reply=marks) as server:
        result = bench.run(
            {
                "score": "toys.mark",
                "with": {"llm": asking(server)},
                "on_failure": {"set_aside": 10},
            }
        )
    entry = bench.manifest(result)["stages"][0]
    account = entry["services"]["llm"]
    assert entry["failed"] == 10
    assert account["reasked"] == 10 + 2 * 10
    assert account["sent"] == 60
    asked = {line["key"]: line["reask"] for line in lines(home)}
    assert Counter(asked.values()) == {0: 30, 1: 20, 2: 10}
    (detail,) = ledger(result).filter(pl.col("fate") == "failed")["detail"].unique()
    assert detail == (
        "none of 3 answers had the form Marks: mark: Input should be less than or equal to 10"
    )
    again = next(body for body in server.bodies.values() if len(body["messages"]) == 3)
    assert [turn["role"] for turn in again["messages"]] == ["user", "assistant", "user"]


def test_the_form_may_be_asked_of_the_endpoint(bench):
    pool(bench, 1)
    with serving(reply=lambda body: '{"mark": 3}') as server:
        for structured in ("json_object", "json_schema"):
            llm = asking(server, structured=structured)
            bench.run({"score": "toys.mark", "with": {"llm": llm}})
    object_, schema = (body["response_format"] for body in server.bodies.values())
    assert object_ == {"type": "json_object"}
    assert schema["json_schema"]["schema"]["properties"]["mark"]["maximum"] == 10


def test_what_a_request_says(bench):
    pool(bench, 1)
    with serving() as server:
        llm = asking(
            server,
            temperature=0.7,
            top_p=0.9,
            seed=3,
            stop=["END"],
            limit_as="max_completion_tokens",
            body={"reasoning_effort": "low"},
        )
        bench.run({"score": "toys.echo", "with": {"llm": llm}})
    (body,) = server.bodies.values()
    assert body == {
        "model": "parrot",
        "messages": [{"role": "user", "content": "Say 0."}],
        "max_completion_tokens": 40,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["END"],
        "reasoning_effort": "low",
    }
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize("missing", ["openai", "tenacity"])
def test_what_is_not_installed_is_said(bench, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "curate.services.llm.sending", raising=False)
    monkeypatch.delattr("curate.services.llm.sending", raising=False)
    pool(bench, 3)
    with serving() as server:
        with pytest.raises(CurateError, match=r"curate-data\[llm\]"):
            bench.run({"score": "toys.echo", "with": {"llm": asking(server)}})
        assert not server.seen


def test_more_reasks_go_on_where_the_journal_ends(bench, home):
    """A rerun pays nothing for answers of no use; raising `reasks` sends the next re-ask alone."""
    pool(bench, 6)
    stubborn = "Mark this as JSON: Say 3.\n3"

    def reply(body):
        wrong = body["messages"][0]["content"] == stubborn and sum(server.seen.values()) < 9
        return "no JSON" if wrong else '{"mark": 5}'

    def run(reasks):
        before = sum(server.seen.values())
        stage = {"score": "toys.mark", "on_failure": {"set_aside": 1}}
        result = bench.run(stage | {"with": {"llm": asking(server, reasks=reasks)}})
        return bench.manifest(result), sum(server.seen.values()) - before

    with serving(reply=reply) as server:
        first, sent = run(2)
        assert (first["books"]["failed"], sent) == (1, 5 + 3)
        again, sent = run(2)
        assert (again["books"]["failed"], sent) == (1, 0)
        said = " ".join(warnings(again))
        assert "a rerun asks again what had no answer (0 questions)" in said
        assert "raise `llm.reasks`" in said
        assert "a rerun tries again" not in said
        more, sent = run(3)
        assert (more["books"]["failed"], sent) == (0, 1)
    assert sorted(line["reask"] for line in lines(home)) == [0] * 6 + [1, 2, 3]


def test_a_server_that_drips_is_given_up_as_a_whole(bench):
    pool(bench, 4)
    with serving(lambda body, times: "dripping" if times_of(body) == 2 else "fine") as server:
        stage = {"score": "toys.echo", "on_failure": {"set_aside": 1}}
        result = bench.run(stage | {"with": {"llm": asking(server, attempts=2)}})
    failed = ledger(result).filter(pl.col("fate") == "failed")
    assert failed["detail"].to_list() == ["no answer within 1.5 s (2 attempts)"]
    assert server.kinds == {"fine": 3, "dripping": 2}
