"""The parts of the service `llm`: pace, purse, retries, structured answers, replay."""

import http.server
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from curate.answers import AnswerError, Call, RefusedError, UnreceivedError, Usage
from curate.asking import Budget, LlmParams, LlmSettings, Prices
from curate.errors import CurateError
from curate.services.llm import sending
from curate.services.llm.bodies import prompt_bound
from curate.services.llm.budget import BudgetError, Cost, Purse, took
from curate.services.llm.openai import Endpoint, _retry_after
from curate.services.llm.pace import Pace
from curate.services.llm.replay import Replay
from curate.services.llm.sending import PATIENCE, persistently
from curate.services.llm.structured import parse


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self):
        self.time = 1000.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        assert seconds > 0
        self.time += seconds


@settings(deadline=None)
@given(
    st.integers(1, 5) | st.none(),
    st.integers(50, 200) | st.none(),
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 30)), max_size=40),
)
def test_no_minute_sees_more_than_the_limits(requests, tokens, wanted):
    clock, gone = Clock(), []
    pace = Pace(requests, tokens, clock.now, clock.sleep)
    for size, idle in wanted:
        clock.time += idle
        asked = clock.time
        pace.wait(size)
        gone.append((clock.time, size))
        if requests is None and tokens is None:
            assert clock.time == asked
    for at, _ in gone:
        inside = [size for time, size in gone if at <= time < at + 59.999]
        assert requests is None or len(inside) <= requests
        assert tokens is None or sum(inside) <= tokens


def test_nobody_asks_while_the_server_wants_to_be_left_alone():
    clock = Clock()
    pace = Pace(None, None, clock.now, clock.sleep)
    pace.wait(1)
    assert clock.time == 1000
    pace.pause(7)
    pace.pause(2)
    pace.wait(1)
    assert clock.time == 1007


def test_a_request_larger_than_a_minute_is_refused():
    with pytest.raises(CurateError, match="more than `tokens_per_minute: 10`"):
        Pace(None, 10).wait(11)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 12) | st.none(),
    st.integers(0, 3000) | st.none(),
    st.decimals(0, 1, places=3) | st.none(),
    st.lists(
        st.tuples(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1)),
        min_size=1,
        max_size=30,
    ),
)
def test_what_is_spent_never_exceeds_the_budget_and_all_comes_to_an_end(
    requests, tokens, money, wanted
):
    prices = Prices(prompt=100, completion=1000)
    limits = {"requests": requests, "tokens": tokens, "money": money}
    limits = {name: most for name, most in limits.items() if most is not None}
    purse = Purse(Budget(**limits) if limits else None, prices)
    done = []

    def ask(one):
        prompt, completion, share = one
        most = Cost(1, prompt, completion)
        try:
            purse.set_aside(most)
        except BudgetError:
            return
        used = Cost(1, int(prompt * share), int(completion * share))
        purse.settle(most, used)
        done.append(used)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, wanted))
    total = sum(done, Cost())
    assert purse.spent == total
    assert purse.money == Decimal(total.prompt * 100 + total.completion * 1000) / 10**6
    assert requests is None or total.requests <= requests
    assert tokens is None or total.tokens <= tokens
    assert money is None or purse.money <= money
    if not limits:
        assert len(done) == len(wanted)


def test_a_request_waits_for_open_ones_before_it_is_refused():
    purse = Purse(Budget(tokens=100), None)
    first, second = Cost(1, 30, 40), Cost(1, 30, 20)
    purse.set_aside(first)
    got = threading.Event()

    def wait():
        purse.set_aside(second)
        got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.05)
    purse.settle(first, Cost(1, 10, 20))
    thread.join()
    assert got.is_set()
    purse.settle(second, took(second, Usage(5, 6)))
    assert purse.spent == Cost(2, 15, 26)
    with pytest.raises(BudgetError, match=r"spent 41 of 100 tokens; the next request can take 60"):
        purse.set_aside(Cost(1, 30, 30))
    with pytest.raises(BudgetError):  # the run stops: no smaller row slips through
        purse.set_aside(Cost(1, 1, 1))


def test_what_the_server_does_not_say_counts_in_full():
    assert took(Cost(1, 30, 40), None) == Cost(1, 30, 40)


def tried(*outcomes, attempts=5):
    left, repeats, waits = list(outcomes), [], []

    def attempt():
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    try:
        found = persistently(attempt, attempts, lambda: repeats.append(1), waits.append)
    except (AnswerError, UnreceivedError) as error:
        found = error
    return found, len(repeats), waits, left


def test_waits_are_random_and_grow(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    lost = UnreceivedError("lost", billed=True)
    found, repeats, waits, _ = tried(lost, lost, lost, lost, "well")
    assert found == "well"
    assert waits == [1, 2, 4, 8]
    assert repeats == 4
    found, _, waits, left = tried(lost, lost, lost, lost, lost, "late")
    assert found is lost
    assert left == ["late"]
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    assert tried(lost, "well")[2] == [0]


def test_the_server_is_left_alone_for_as_long_as_it_asks():
    busy = UnreceivedError("busy", billed=False, retry_after=30)
    found, repeats, (wait,), _ = tried(busy, "well")
    assert (found, repeats) == ("well", 1)
    assert 30 <= wait <= 30.25
    endless = UnreceivedError("busy", billed=False, retry_after=PATIENCE + 1)
    found, _, waits, left = tried(endless, "well")
    assert str(found) == f"the endpoint asks to wait for {PATIENCE + 1:.0f} s"
    assert (waits, left) == ([], ["well"])


def test_other_errors_are_not_tried_again():
    found, _, waits, left = tried(AnswerError("no"), "well")
    assert (str(found), waits, left) == ("no", [], ["well"])


def test_retry_after_in_seconds_and_as_a_date():
    assert _retry_after({"retry-after": "2.5"}) == 2.5
    assert _retry_after({"retry-after-ms": "300", "retry-after": "9"}) == 0.3
    assert _retry_after({"retry-after": "-3"}) == 0
    assert _retry_after({}) is None
    assert _retry_after({"retry-after": "soon"}) is None
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < _retry_after({"retry-after": at}) <= 90
    assert _retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


class Rating(BaseModel):
    score: int = Field(ge=1, le=5)
    why: str


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 4, "why": "{it} fits"}',
        '  {"score": 4, "why": "{it} fits"}\n',
        'Sure!\n```json\n{"score": 4, "why": "{it} fits"}\n```\nAnything else?',
        '```\n{"score": 4, "why": "{it} fits"}\n```',
        'My rating: {"score": 4, "why": "{it} fits"}. Done.',
        'As {asked} in [1]:\n```JSON {"score": 4, "why": "{it} fits"}```',
        '<think>{"score": 1, "why": "a"}, or </think>{"score": 4, "why": "{it} fits"}',
        'So {"score": 1, "why": "a"}?\n</think>\n{"score": 4, "why": "{it} fits"}',
        '{"score": 4, "why": "{it} fits"}, that is {"why": "{it} fits", "score": 4}',
        'Not {"score": 9}, but {"score": 4, "why": "{it} fits"}',
    ],
)
def test_an_object_is_found_where_models_put_it(text):
    assert parse(Rating, text) == Rating(score=4, why="{it} fits")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("four", "Invalid JSON"),
        ('{"score": 9, "why": "x"}', "score: Input should be less than or equal to 5"),
        ('{"score": 3}', "why: Field required"),
        ("{", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        (f'{{"score": {"9" * 5000}, "why": "x"}}', "Invalid JSON"),
        ('{"score": 4, "why": "x", "score": 1}', "the key 'score' stands there twice"),
        ('{"score": 4, "why": "x"} or {"score": 5, "why": "x"}', "several answers that differ"),
        (
            'For example ```{"score": 1, "why": "x"}```, mine is ```{"score": 4, "why": "x"}```',
            "several answers that differ",
        ),
        ('{"first": {"score": 1, "why": "x"}, "then": {"score": ', "Invalid JSON"),
        ('{"answer": {"score": 1, "why": "x"}}', "score: Field required"),
    ],
)
def test_what_is_wrong_with_an_object_is_said(text, words):
    with pytest.raises(ValueError, match=words):
        parse(Rating, text)


def test_marks_of_thinking_in_a_text_of_the_answer_are_text():
    why = "use <think> and </think>"
    assert parse(Rating, f'Well: {{"score": 4, "why": "{why}"}}').why == why


@pytest.mark.parametrize(
    "before",
    [
        "",
        "Well: ",
        '{"score": 1, "why": "no"}? </think>',
        '<think>{"score": 1, "why": "no"}?</think>',
        'Not {"score": </think>',
        'Or {"score: </think>',
    ],
)
def test_the_mark_of_thinking_in_a_text_cuts_no_answer(before):
    why = "it closes with </think> well"
    assert parse(Rating, f'{before}{{"score": 4, "why": "{why}"}}').why == why


def test_what_was_only_thought_is_no_answer():
    with pytest.raises(ValueError, match="less than or equal to 5"):
        parse(Rating, '{"score": 1, "why": "a"}?</think>{"score": 9, "why": "a </think>"}')


@given(st.lists(st.text(max_size=50), min_size=1, max_size=4))
def test_a_prompt_has_no_more_tokens_than_its_bound(contents):
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {letter: at for at, letter in enumerate(sorted(alphabet))}
    worst = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))  # a token for each byte
    worst.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    turns = [{"role": "user", "content": content} for content in contents]
    text = "".join(f"<|user|>{content}<|e|>" for content in contents)
    tokens = len(worst.encode(text).ids)
    assert tokens <= prompt_bound(Call({"messages": turns, "max_tokens": 1}))


@pytest.mark.parametrize("field", ["tools", "response_format"])
def test_what_else_a_prompt_is_made_of_is_in_its_bound(field):
    turns = [{"role": "user", "content": "a"}]
    plain = {"model": "m", "messages": turns, "max_tokens": 1, "temperature": 0, "stop": ["x" * 99]}
    tools = [
        {"type": "function", "function": {"name": "größer", "parameters": {"a": [1, "\u4e2d"]}}}
    ]
    more = prompt_bound(Call(plain | {field: tools})) - prompt_bound(Call(plain))
    for style in ({"ensure_ascii": False}, {}, {"indent": 2}, {"indent": 4}):
        assert more >= len(json.dumps(tools, **style).encode())
    assert prompt_bound(Call(plain)) == len("user") + len("a") + 32


def test_settings_that_contradict_themselves():
    base = {"model": "m", "max_tokens": 5}
    for wrong, words in [
        ({"budget": {"money": 3}}, "prices"),
        ({"budget": {}}, "name `requests`"),
        ({"body": {"n": 3}}, "may not hold n"),
        ({"base_url": "localhost:80"}, "begins with http"),
        ({"base_url": "http://a:b@c/v1"}, "OPENAI_BASE_URL"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
    ]:
        with pytest.raises(ValidationError, match=words):
            LlmSettings(**(base | wrong))


def test_addresses_hold_no_secret(monkeypatch):
    settings_ = LlmSettings(model="m", max_tokens=5)
    for given_, address in [
        ("https://u:p@h.example:8443/v1/?api-version=3&key=x#f", "https://h.example:8443/v1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("", "https://api.openai.com/v1"),
    ]:
        monkeypatch.setenv("OPENAI_BASE_URL", given_)
        assert Endpoint(settings_, None).address == address
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h:port-secret/v1")
    with pytest.raises(CurateError) as refused:
        Endpoint(settings_, None)
    assert "port-secret" not in str(refused.value)


def test_a_missing_key_is_said_for_the_endpoint_that_needs_one(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("MY_KEY", raising=False)
    endpoint = Endpoint(LlmSettings(model="m", max_tokens=5, api_key_env="MY_KEY"), None)
    with pytest.raises(CurateError, match="no key in the environment variable MY_KEY"):
        endpoint.send(Call({"model": "m", "messages": [], "max_tokens": 5}))
    monkeypatch.setenv("MY_KEY", "sk-secret\nsk-other")
    with pytest.raises(CurateError) as refused:
        endpoint.send(Call({"model": "m", "messages": [], "max_tokens": 5}))
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize(
    ("base_url", "trusted"),
    [
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.example/v1", False),
        ("https://mine.example/other", True),
        ("http://mine.example/v1", False),
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.3.2.1/v1", True),
        ("http://[::1]:80/v1", True),
        ("http://localhost:11434/v1", True),
        ("http://127.0.0.1.example/v1", False),
        ("http://10.0.0.5:8000/v1", True),
        ("http://[fe80::7]/v1", True),
        ("http://10.0.0.6:8000/v1", False),
        ("https://stranger.example/v1", False),
    ],
)
def test_keys_go_to_hosts_that_the_user_named(monkeypatch, base_url, trusted):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://mine.example:8443/v1")
    monkeypatch.setenv("CURATE_KEYS_TO", " 10.0.0.5, [fe80::7],Third.example ")
    monkeypatch.setenv("MY_KEY", "sk-secret")
    given_ = LlmSettings(model="m", max_tokens=5, api_key_env="MY_KEY", base_url=base_url)
    if trusted:
        Endpoint(given_, None)
    else:
        with pytest.raises(CurateError, match="The key in MY_KEY is not sent to http") as refused:
            Endpoint(given_, None)
        assert "sk-secret" not in str(refused.value)
    monkeypatch.delenv("MY_KEY")
    stranger = Endpoint(given_, None)  # without a key there is nothing to keep
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    if stranger.address != "https://api.openai.com/v1":  # which asks for a key
        client = stranger._open()
        assert (client.organization == "org-mine") == trusted
        client.close()
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Key: sk-secret")
    if not trusted:
        with pytest.raises(CurateError, match="unset OPENAI_CUSTOM_HEADERS"):
            Endpoint(given_, None)


@pytest.mark.parametrize("name", ["HOME", "AWS_SECRET_ACCESS_KEY", "aws_x_key", "KEY", "A KEY"])
def test_what_holds_no_key_is_not_taken_for_one(name):
    with pytest.raises(ValidationError, match="does not look like the variable"):
        LlmSettings(model="m", max_tokens=5, api_key_env=name)


def test_refused_settings_are_not_repeated(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-0123456789abcdefghij")
    with pytest.raises(ValidationError, match=r"`llm.model` holds the value of MY_KEY") as refused:
        LlmParams(llm={"model": "a/sk-0123456789abcdefghij", "max_tokens": 5})
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"prompt": "SECRET {{ instruction }}"}, "prompt"),
        ({"examples": [{"said": "a SECRET"}]}, "examples"),
        ({"llm": {"model": "m", "max_tokens": 5, "stop": ["SECRET"]}}, "llm.stop"),
    ],
)
def test_no_parameter_of_a_stage_that_asks_holds_a_secret(monkeypatch, given, where):
    class Asking(LlmParams):
        prompt: str = ""
        examples: list[dict[str, str]] = Field(default_factory=list)

    def written(secret):
        text = json.dumps({"llm": {"model": "m", "max_tokens": 5}} | given)
        return json.loads(text.replace("SECRET", secret))

    monkeypatch.setenv("DB_PASSWORD", " correct-horse-battery-staple ")
    secret = "correct-horse-battery-staple"
    with pytest.raises(ValidationError, match=f"`{where}` holds the value of DB_PASS") as refused:
        Asking.model_validate(written(secret))
    assert "horse" not in str(refused.value)
    Asking.model_validate(written("correct-horse"))


class Says(http.server.BaseHTTPRequestHandler):
    """Answers with a status and bytes."""

    status, content = 200, b""

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)


@pytest.fixture
def say(monkeypatch):
    """Sends one request to an endpoint that says what is given; a query may be in its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def say(content, status=200, query=""):
        handler = type("Handler", (Says,), {"status": status, "content": content})
        server = http.server.HTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1{query}")
        endpoint = Endpoint(LlmSettings(model="m", max_tokens=5), None)
        try:
            return endpoint.send(asked("a"))
        finally:
            endpoint.close()
            server.shutdown()
            thread.join()
            server.server_close()

    return say


def completion(text, **more):
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "model": "m"} | more).encode()


def test_answers_keep_what_is_no_secret(monkeypatch, say):
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gate: gate-0123456789abcdef")
    version, code = "2024-02-01-preview-of-2025", "c0de-0123456789-abcdef"
    query = f"?api-version={version}&code={code}&tier=standard"
    text = f"It is not-needed since {version}: a standard; {code}."
    assert say(completion("gate-0123456789abcdef")).text == "***"
    answer = say(completion(text, model=f"standard {code}"), query=query)
    assert answer.text == text.replace(code, "***")
    assert answer.model == "standard ***"
    with pytest.raises(AnswerError) as refused:
        say(b'{"error": {"message": "not-needed is wrong"}}', 400)
    assert str(refused.value) == "the endpoint refuses the request: 400, *** is wrong"


def test_words_are_cleaned_before_they_are_cut(monkeypatch, say):
    key = "sk-0123456789/abcdefghij"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for written in (key, key.replace("/", "\\/")):
        with pytest.raises(UnreceivedError) as lost:
            say(b"x" * 70 + written.encode() + b"y" * 300)
        assert str(lost.value).endswith(": " + "x" * 70 + "***" + "y" * 7 + "...")


def test_half_a_surrogate_pair_is_no_reason_to_ask_again(say):
    content = completion("a \ud83d b \ud83d\ude00 c \udc00", model="m\ud800")
    assert b"\\ud83d b" in content
    answer = say(content)
    assert answer.text == "a \ufffd b \U0001f600 c \ufffd"
    assert answer.model == "m\ufffd"


def test_what_nobody_would_write_is_malformed(say):
    with pytest.raises(UnreceivedError, match="malformed") as lost:
        say(b"[" * 100_000)
    assert lost.value.billed


@pytest.mark.parametrize(
    ("status", "billed"),
    [
        *((status, True) for status in (408, 500, 502, 504, 599)),
        *((status, False) for status in (409, 425, 429, 503, 529)),
    ],
)
def test_what_may_have_been_done_counts_as_spent(say, status, billed):
    with pytest.raises(UnreceivedError) as lost:
        say(b"{}", status)
    assert lost.value.billed == billed


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_is_refused_to_all_costs_nothing(say, status):
    with pytest.raises(RefusedError, match=str(status)):
        say(b"{}", status)


def replay(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Replay(LlmSettings(model="m", max_tokens=5, answers=str(path)), None)


def asked(content, model="m", sample=0, reask=0):
    turns = [{"role": "user", "content": content}]
    return Call({"model": model, "messages": turns, "max_tokens": 9}, sample, reask)


def test_recorded_answers_are_found_by_what_is_said(tmp_path):
    made = replay(
        tmp_path / "a.jsonl",
        {"prompt": "a", "answer": "of anyone"},
        {"prompt": "a", "answer": "second", "sample": 1},
        {"messages": [{"role": "user", "content": "a"}], "answer": "of n", "model": "n"},
        {"body": asked("b").body, "answer": "b", "reask": 1, "usage": [3, 4], "finish": "length"},
    )
    assert made.send(asked("a")).text == "of anyone"
    assert made.send(asked("a", model="n")).text == "of n"
    assert made.send(asked("a", sample=1)).text == "second"
    answer = made.send(asked("b", reask=1))
    assert (answer.text, answer.finish, answer.usage) == ("b", "length", Usage(3, 4))
    with pytest.raises(AnswerError, match=r'ending in "b" \(sample 0, re-ask 0\)'):
        made.send(asked("b"))


def test_recordings_that_cannot_be_used(tmp_path):
    lines = [{"prompt": "a", "answer": "x"}, {"prompt": "a", "answer": "y"}]
    with pytest.raises(CurateError, match=r"a.jsonl:2: there is another answer"):
        replay(tmp_path / "a.jsonl", *lines).send(asked("a"))
    with pytest.raises(CurateError, match=r"a.jsonl:1: this is no recorded answer"):
        replay(tmp_path / "a.jsonl", {"prompt": "a"}).send(asked("a"))
    with pytest.raises(CurateError, match="needs the file"):
        Replay(LlmSettings(model="m", max_tokens=5), None)


def test_a_row_of_failures_lasts_as_long_as_a_request_is_tried():
    waits = [1, 2, 4, 8, 16, 32, 60, 60]  # the longest, before each further attempt
    for attempts in (1, 2, 4, 8, 9):
        assert sending.spell(attempts) == sum(waits[: attempts - 1]) / 2
