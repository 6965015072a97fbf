"""`lift.expand`: prompts, parsing, rounds and books."""

import json
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import Answer, AnswerError, CurateError
from curate_lift.expand import Expand, ExpandParams
from curate_lift.questions import Question, question_of, rewritten
from curate_lift.templates import source

LLM = {"model": "m", "max_tokens": 100}


class Model:
    """Answers from a function of the last turn, and remembers what it was asked."""

    model = "parrot"

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def ask(self, messages, *, sample=0, temperature=None, max_tokens=None, cut=False):
        turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        self.asked.append((turns, sample))
        text = self.reply(turns, sample)
        if isinstance(text, Exception):
            raise text
        return Answer(text)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def expanded(reply, messages, given=None, **params):
    """Children of one row, and the model that was asked."""
    stage = Expand(ExpandParams.model_validate({"llm": LLM, **params}), "expand")
    row = {"id": "0" * 32, "messages": messages, "@code_where": params.pop("_code", None)}
    model = Model(reply)
    children = stage.ask(row | ({params["input"]: given} if "input" in params else {}), model)
    assert len(model.asked) <= stage.calls
    return children, model


def simple(turns, sample):
    text = turns[-1]["content"]
    return f"Rewritten {sample}." if "refining" in text else f"Answer to: {text}"


def test_one_rewrite_call_and_one_answer_call():
    (child,), model = expanded(simple, [user("Add 1 and 2."), assistant("3")])
    assert child.parents == ("0" * 32,)
    assert child.messages == [user("Rewritten 0."), assistant("Answer to: Rewritten 0.")]
    assert (child.round, child.origin, child.generator) == (1, "synthetic", "parrot")
    assert not child.replaces
    (asked, _), (answering, _) = model.asked
    assert asked[0]["content"].endswith("The prompt:\n\nAdd 1 and 2.")
    assert answering == [user("Rewritten 0.")]


def test_the_general_prompt_lists_its_three_ways():
    text = source("general", None).render(Question("Add.").values)
    ways = [line for line in text.splitlines() if line[:2] in ("1.", "2.", "3.", "4.")]
    assert [way[:2] for way in ways] == ["1.", "2.", "3."]
    assert "depth" in ways[0]
    assert "breadth" in ways[0]
    assert "general concepts by more specific" in ways[1]
    assert "explicitly for reasoning in several steps" in ways[2]
    for asked in ("intricate", "structured form", "able to understand", "or others"):
        assert asked in text
    assert text.endswith("\n\nAdd.")


def test_the_code_prompt_lists_its_five_ways():
    text = source("code", None).render(Question("Sort.").values)
    ways = [line for line in text.splitlines() if line[1:2] == "."]
    assert [way[:2] for way in ways] == ["1.", "2.", "3.", "4.", "5."]
    for way, words in zip(
        ways,
        (
            ("constraints or requirements", "ten more words"),
            ("common requirement", "rarer", "more specific"),
            ("logical steps", "more of them"),
            ("wrong code", "false lead"),
            ("running time", "memory", "only now and then"),
        ),
        strict=True,
    ):
        for word in words:
            assert word in way
    assert "a little more difficult" in text


def test_an_input_is_shown_below_its_line():
    messages = [user("Translate.\nBonjour\nmonde"), assistant("Hello world")]
    (child,), model = expanded(
        lambda turns, sample: (
            "Translate twice.\ninput:\nSalut"
            if sample == 0 and len(turns[0]["content"]) > 100
            else "Hi"
        ),
        messages,
        "Bonjour\nmonde",
        input="given",
    )
    assert model.asked[0][0][0]["content"].endswith(
        "The prompt:\n\nTranslate.\ninput:\nBonjour\nmonde"
    )
    assert model.asked[1][0] == [user("Translate twice.\nSalut")]
    assert child.messages == [user("Translate twice.\nSalut"), assistant("Hi")]


def longhand(text):
    """The paper's parsing."""
    if "input:" not in text:
        return text, ""
    instruction, given = text.split("input:")  # raises where there are several
    return instruction, given


@given(st.lists(st.sampled_from(["input:", "Input:", "input", ":", "a", "\n", " ", "é"])))
def test_parsing_is_the_papers(parts):
    text = "".join(parts)
    try:
        instruction, given = longhand(text)
    except ValueError:
        with pytest.raises(AnswerError, match=f"'input:' {text.count('input:')} times"):
            rewritten(text)
        return
    if not instruction.strip():
        with pytest.raises(AnswerError, match="empty"):
            rewritten(text)
        return
    assert rewritten(text) == Question(instruction.strip(), given.strip())


def test_rounds_from_the_originals_are_samples_of_one_question():
    children, model = expanded(simple, [user("A?"), assistant("B")], rounds=3)
    assert [child.round for child in children] == [1, 2, 3]
    assert [child.messages[0]["content"] for child in children] == [
        f"Rewritten {n}." for n in range(3)
    ]
    rewrites = [(turns[0]["content"], sample) for turns, sample in model.asked[::2]]
    assert len({text for text, _ in rewrites}) == 1
    assert [sample for _, sample in rewrites] == [0, 1, 2]


def test_rounds_from_the_previous_one_rewrite_what_it_wrote():
    def reply(turns, sample):
        text = turns[-1]["content"]
        return f"{text.rsplit('The prompt:')[-1].strip()}+" if "refining" in text else "fine"

    params = {"rounds": 3, "from": "previous"}
    children, _ = expanded(reply, [user("A"), assistant("B")], **params)
    assert [child.messages[0]["content"] for child in children] == ["A+", "A++", "A+++"]
    assert {child.parents for child in children} == {("0" * 32,)}


def test_a_round_that_fails_fails_alone():
    def reply(turns, sample):
        text = turns[-1]["content"]
        if "refining" in text:
            return "input: a input: b" if sample == 1 else f"New {sample}"
        return AnswerError("no answer") if text == "New 2" else "fine"

    children, _ = expanded(reply, [user("A"), assistant("B")], rounds=4)
    assert [child.error for child in children] == [
        None,
        "round 2: the rewritten instruction holds 'input:' 2 times",
        "round 3: no answer",
        None,
    ]
    assert [child.round for child in children] == [1, 2, 3, 4]
    params = {"rounds": 4, "from": "previous"}
    children, _ = expanded(reply, [user("A"), assistant("B")], **params)
    assert [child.error is None for child in children] == [True, False]


def test_an_empty_answer_is_no_example():
    def reply(turns, sample):
        return "New" if "refining" in turns[-1]["content"] else " \n"

    (child,), _ = expanded(reply, [user("A"), assistant("B")])
    assert child.error == "round 1: the answer is empty"


def test_originals_are_answered_anew_in_their_place():
    children, model = expanded(
        simple, [user("A?"), assistant("B")], rounds=1, reanswer_originals=True
    )
    original, new = children
    assert (original.replaces, original.round) == (True, 0)
    assert original.messages == [user("A?"), assistant("Answer to: A?")]
    assert (new.replaces, new.round) == (False, 1)
    (alone,), model = expanded(
        simple, [user("A?"), assistant("B")], rounds=0, reanswer_originals=True
    )
    assert alone.messages == original.messages
    assert len(model.asked) == 1
    (failed,), _ = expanded(
        lambda turns, sample: AnswerError("busy"),
        [user("A?")],
        rounds=0,
        reanswer_originals=True,
    )
    assert (failed.replaces, failed.error) == (True, "the original: busy")


def test_earlier_turns_stay():
    before = [
        {"role": "system", "content": "Be brief."},
        user("One?"),
        assistant("1"),
    ]
    (child,), model = expanded(simple, [*before, user("Two?"), assistant("2")])
    assert child.messages[:3] == before
    assert child.messages[3:] == [user("Rewritten 0."), assistant("Answer to: Rewritten 0.")]
    asked = model.asked[0][0][0]["content"]
    assert "[system] Be brief.\n[user] One?\n[assistant] 1\n" in asked
    assert asked.endswith("\nTwo?")
    assert model.asked[1][0] == [*before, user("Rewritten 0.")]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "no turn of the user"),
        ([assistant("Hello")], "no turn of the user"),
        ([{"role": "system", "content": "x"}], "no turn of the user"),
        ([user(" "), assistant("Hello")], "the instruction is empty"),
    ],
)
def test_what_asks_nothing_cannot_be_rewritten(messages, why):
    with pytest.raises(AnswerError, match=why):
        question_of(messages, None)


def test_the_input_is_what_the_turn_ends_in():
    assert question_of([user("Add.\n1 2")], "1 2") == Question("Add.", "1 2")
    assert question_of([user("Add.\n1 2")], "2") == Question("Add.\n1 2")
    assert question_of([user("Add.")], None) == question_of([user("Add.")], "") == Question("Add.")
    assert question_of([user("Add.\n1 2")], "1 2").turns == [user("Add.\n1 2")]


HOSTILE = "{{ 7 * 7 }} {% for x in y %} {# gone #} {{ ''.__class__.__mro__ }} }} %}"


@pytest.mark.parametrize("name", ["general", "code"])
def test_text_of_rows_is_never_read_as_a_template(name):
    text = source(name, None).render(Question(HOSTILE, HOSTILE, (user(HOSTILE),)).values)
    assert text.count(HOSTILE) == 3


@given(st.text())
def test_any_text_stands_in_the_prompt_as_it_is(text):
    assert text.strip() in source("general", None).render(Question(text).values)


def stage_with(tmp_path, text, **params):
    path = tmp_path / "my.j2"
    path.write_text(text)
    params = ExpandParams.model_validate({"llm": LLM, "general_template": str(path), **params})
    return Expand(params, "expand")


def test_a_template_of_your_own(tmp_path):
    text = "Harder{% for _ in range(2) %}!{% endfor %}\n{{ instruction }}|{{ input }}\n"
    stage = stage_with(tmp_path, text)
    stage.check_files()
    model = Model(lambda turns, sample: "New")
    stage.ask({"id": "x", "messages": [user("A")]}, model)
    assert model.asked[0][0] == [user("Harder!!A|")]
    assert stage.fingerprints() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ instructoin }}", "uses 'instructoin', which it is not given"),
        ("{% if %}", r"my.j2:1: this is no jinja2 template"),
        ("{{ ''.__class__.__mro__ }}", "cannot be rendered"),
        ("{{ instruction.nothing }}", "cannot be rendered"),
        ("{% include 'other.j2' %}", "cannot be rendered"),
        ("  \n", "gives an empty prompt"),
    ],
)
def test_templates_that_cannot_be_used_are_refused_before_any_work(tmp_path, text, message):
    with pytest.raises(CurateError, match=message):
        stage_with(tmp_path, text).check_files()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rounds": 0}, "does nothing"),
        ({"from": "previous"}, "no effect with fewer than 2 rounds"),
        ({"domain": "code", "code_where": "x = 1"}, "`code_where` has no effect"),
        ({"code_template": "x"}, "`code_template` has no effect"),
        ({"domain": "code", "general_template": "x"}, "`general_template` has no effect"),
    ],
)
def test_parameters_without_effect_are_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        ExpandParams.model_validate({"llm": LLM, **params})


def test_the_paper_s_temperature():
    assert ExpandParams.model_validate({"llm": LLM}).llm.temperature == 0.5


def test_rows_of_code_get_the_prompt_for_code():
    params = ExpandParams.model_validate({"llm": LLM, "code_where": "ability = 'code'"})
    stage = Expand(params, "expand")
    assert set(stage.inputs()) == {"messages", "@code_where"}
    assert set(stage.fingerprints()) == {"general", "code"}
    for found, word in ((True, "programming tasks"), (False, "prompts"), (None, "prompts")):
        model = Model(simple)
        stage.ask({"id": "x", "messages": [user("A")], "@code_where": found}, model)
        assert f"refining {word}" in model.asked[0][0][0]["content"]


def test_prompts_come_with_the_package():
    names = {each.name for each in files("curate_lift").joinpath("prompts").iterdir()}
    assert names == {
        "general.j2",
        "code.j2",
        "fusion.j2",
        "quality_total.j2",
    }


# In a run.


def rows(count):
    return [
        {"instruction": f"Say {n}.", "input": "", "output": f"{n}", "ability": "code" if n else "x"}
        for n in range(count)
    ]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps(row) + "\n" for row in rows(3)]
    Path("pool.jsonl").write_text("".join(lines))
    return tmp_path


def recorded(answers):
    """A recording: (prompt, sample, answer)."""
    lines = [
        json.dumps({"prompt": prompt, "sample": sample, "answer": answer}) + "\n"
        for prompt, sample, answer in answers
    ]
    Path("answers.jsonl").write_text("".join(lines))


def recipe(origin="human", rule=None, **params):
    llm = {"backend": "replay", "model": "m", "max_tokens": 50, "answers": "answers.jsonl"}
    step = {"expand": "lift.expand", "with": {"llm": llm, **params}}
    return {
        "name": "grown",
        "sources": {"pool": {"path": "pool.jsonl", "origin": origin}},
        "pipeline": [step | ({"on_failure": {"set_aside": rule}} if rule else {})],
    }


def prompt(n, name="general"):
    return source(name, None).render(Question(f"Say {n}.").values)


def test_children_stand_beside_their_parents(place):
    answers = []
    for n in range(3):
        answers += [
            (prompt(n, "code" if n else "general"), 0, f"Say {n} twice.\ninput:\nnow"),
            (f"Say {n} twice.\nnow", 0, f"{n} {n}"),
        ]
    recorded(answers)
    version = curate.run(recipe(code_where="ability = 'code'", input="input"))
    frame = version.frame()
    assert version.manifest["books"]["created"] == 3
    assert version.manifest["stages"][0]["services"]["llm"]["sent"] == 6
    made = frame.filter(pl.col("parents").list.len() > 0)
    ids = frame.filter(pl.col("parents").list.len() == 0)["id"].to_list()
    assert made["parents"].list.first().to_list() == ids
    assert made["origin"].to_list() == ["mixed"] * 3
    assert made["generator"].to_list() == ["m"] * 3
    assert made["instruction"].to_list() == [f"Say {n} twice.\nnow" for n in range(3)]
    assert made["output"].to_list() == ["0 0", "1 1", "2 2"]


def test_the_books_balance_when_rounds_fail(place):
    answers = []
    for n in range(3):
        for sample in range(2):
            answers.append((prompt(n), sample, f"Say {n} {sample}" if n else "input:input:"))
            answers.append((f"Say {n} {sample}", sample, "fine"))
        answers.append((f"Say {n}.", 0, f"It is {n}."))
    recorded(answers)
    version = curate.run(recipe("synthetic", 2, rounds=2, reanswer_originals=True))
    books = version.manifest["books"]
    assert (books["created"], books["merged"], books["failed"], books["kept"]) == (9, 3, 2, 7)
    failed = version.ledger.filter(pl.col("fate") == "failed")
    assert failed["detail"].to_list() == [
        f"round {n}: the rewritten instruction holds 'input:' 2 times" for n in (1, 2)
    ]
    assert failed["parents"].list.len().to_list() == [1, 1]
    frame = version.frame()
    assert frame["output"].to_list().count("fine") == 4
    assert {f"It is {n}." for n in range(3)} <= set(frame["output"])
    assert set(frame["origin"]) == {"synthetic"}


def test_too_many_failures_stop_the_run(place):
    recorded([])
    with pytest.raises(CurateError, match="holds no answer of m"):
        curate.run(recipe())


def test_the_content_of_a_template_is_in_the_key(place):
    template = Path("mine.j2")
    answers = [("New", 0, "fine")]
    answers += [(f"{word} Say {n}.", 0, "New") for n in range(3) for word in ("Harden", "Raise")]
    recorded(answers)
    template.write_text("Harden {{ instruction }}")
    first = curate.run(recipe(general_template="mine.j2"))
    template.rename("moved.j2")
    same = curate.run(recipe(general_template="moved.j2"))
    assert same.manifest["digest"] == first.manifest["digest"]
    template.write_text("Raise {{ instruction }}")
    other = curate.run(recipe(general_template="mine.j2"))
    assert other.manifest["digest"] != first.manifest["digest"]
    assert other.manifest["stages"][0]["memo"]["computed"] == 3


def test_the_plugin_s_own_prompt_is_in_the_key(place, monkeypatch):
    answers = [("New", 0, "fine"), *((prompt(n), 0, "New") for n in range(3))]
    answers += [(f"Other {n}", 0, "New") for n in range(3)]
    recorded(answers)
    first = curate.run(recipe())
    monkeypatch.setattr("curate_lift.expand.Prompt.fingerprint", "changed")
    other = curate.run(recipe())
    assert other.manifest["digest"] != first.manifest["digest"]
    assert other.manifest["stages"][0]["memo"]["hits"] == 0


def test_a_second_run_asks_nothing(place, monkeypatch):
    recorded([("New", 0, "fine"), *((prompt(n), 0, "New") for n in range(3))])
    curate.run(recipe())
    again = curate.run(recipe() | {"name": "again"})
    stage = again.manifest["stages"][0]
    assert stage["memo"] == {"distinct": 3, "hits": 3, "computed": 0}


def test_the_plan_counts_calls(place):
    recorded([])
    (step,) = curate.plan(recipe("human", rounds=2, reanswer_originals=True)).steps
    assert step.llm["calls"] == 3 * 5
