"""The demonstration's answers stand below the prompts that are asked today.

`data/answers/lift_demo.yaml` holds the answers, `lift_demo.jsonl` the recording that is made of it.
When a prompt of curate-lift changes, run this file with Python: it writes the recording anew.
"""

import json
from pathlib import Path

import yaml

from curate_lift.quality import Quality, QualityParams
from curate_lift.questions import Question, rewritten
from curate_lift.templates import source

FOLDER = Path(__file__).parents[3] / "data"
JUDGE = Quality(QualityParams(llm={"model": "m", "max_tokens": 300}), "q").judge
RECORDING = FOLDER / "answers" / "lift_demo.jsonl"


def prompt(name, values):
    """A prompt of the plugin's own."""
    return source(name, None).render(values)


def only(found, beginning):
    """The one of some texts that begins so."""
    (text,) = {each for each in found if each.startswith(beginning)}
    return text


def answered(question, text, answer):
    """Lines for a rewrite, under its prompt, and for its answer."""
    new = rewritten(text)
    said = new.turns[-1]["content"]
    yield {"prompt": question, "answer": text}
    yield {"prompt": said, "answer": answer}


def marked(instruction, response, marks, reason):
    """The line for the marks of an example."""
    asked = JUDGE.question({"@instruction": instruction, "@response": response})
    given = dict(zip(JUDGE.params.fields, [*marks, reason], strict=True))
    return {"prompt": asked, "answer": json.dumps(given, ensure_ascii=False)}


def lines():
    """All lines."""
    told = yaml.safe_load((FOLDER / "answers" / "lift_demo.yaml").read_text())
    rows = {}
    for name in ("demo_human", "demo_gpt4"):
        for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            rows[row["instruction"]] = row
    questions = {}
    for each in told["rows"]:
        row = rows[only(rows, each["about"])]
        question = Question(row["instruction"], row["input"])
        new = rewritten(each["rewrite"])
        for one in (question, Question(new.turns[-1]["content"])):
            questions[one.turns[-1]["content"]] = one
        domain = "code" if row["ability"] == "code" else "general"
        yield from answered(prompt(domain, question.values), each["rewrite"], each["answer"])
        said = question.turns[-1]["content"]
        yield marked(said, row["output"], **each["original"])
        yield marked(new.turns[-1]["content"], each["answer"], **each["harder"])
    for each in told["pairs"]:
        first, second = (questions[only(questions, about)] for about in each["about"])
        asked = prompt("fusion", {"first": first.values, "second": second.values})
        yield from answered(asked, each["rewrite"], each["answer"])
        new = rewritten(each["rewrite"]).turns[-1]["content"]
        yield marked(new, each["answer"], each["marks"], each["reason"])


def recording():
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines())


def test_the_recording_is_made_of_the_answers():
    assert RECORDING.read_text("utf-8") == recording()


if __name__ == "__main__":
    RECORDING.write_text(recording(), "utf-8")
