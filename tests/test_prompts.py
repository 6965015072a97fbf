"""Prompts as templates: what they may do, and what they are never given."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.api import AnswerError, CurateError, Prompt


@given(st.text())
def test_values_are_never_read_as_a_template(text):
    hostile = "{{ 7 * 7 }}{% if x %}" + text
    assert Prompt("p", "<{{ said }}>").render({"said": hostile}) == f"<{hostile}>"


@pytest.mark.parametrize(
    "text",
    [
        "{% include 'pyproject.toml' %}{{ said }}",
        "{% import 'x' as x %}{{ said }}",
        "{{ said.__class__.__mro__ }}",
        "{{ ''.__class__ }}{{ said }}",
        "{{ said | random }}",
        "{{ lipsum() }}{{ said }}",
        "{{ rows.append(1) }}{{ said }}",
        "{{ range(10 ** 9) | list }}{{ said }}",
    ],
)
def test_a_template_can_do_no_harm_and_nothing_at_random(text):
    with pytest.raises(CurateError):
        Prompt("p", text).check({"said": "x", "rows": []})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ sad }}", "uses 'sad', which it is not given"),
        ("{{ said", "p:1: this is no jinja2 template"),
        ("Say something. {{ form }}", "the same prompt for every row"),
        ("{% if not said %}x{% endif %}", "an empty prompt"),
    ],
)
def test_what_is_refused(text, why):
    with pytest.raises(CurateError, match=why):
        Prompt("p", text).check({"said": "x"}, {"form": "f"})


@pytest.mark.parametrize("value", ["a", 1, 2.5, True, {"inner": "a"}])
def test_a_template_that_uses_any_value_of_a_row_is_taken(value):
    Prompt("p", "{{ said }}").check({"said": value})


def test_a_row_that_a_template_does_not_fit_fails_alone():
    prompt = Prompt("p", "{{ said[0] if said else '' }}")
    assert prompt.render({"said": "ab"}) == "a"
    with pytest.raises(AnswerError, match="empty prompt for this row"):
        prompt.render({"said": ""})
    with pytest.raises(AnswerError, match="cannot be rendered"):
        Prompt("p", "{{ 1 / said }}").render({"said": 0})


def test_files(tmp_path):
    file = tmp_path / "p.j2"
    file.write_text("  {{ said }}\n")
    prompt = Prompt.of_file(str(file))
    assert prompt.render({"said": "x"}) == "x"
    assert prompt.fingerprint == hashlib.sha256(b"  {{ said }}\n").hexdigest()
    file.write_bytes(b"\xff")
    for path in (file, tmp_path / "none.j2"):
        with pytest.raises(CurateError, match="cannot be read"):
            Prompt.of_file(str(path))


@pytest.mark.parametrize("name", ["values", "items", "keys", "get", "copy", "hint"])
def test_a_column_comes_before_a_method_of_its_name(name):
    prompt = Prompt("p", f"{{{{ row.{name} }}}}")
    prompt.check({"row": {name: "1"}})
    assert prompt.render({"row": {name: "the text"}}) == "the text"


@pytest.mark.parametrize(
    "expression",
    [
        "row.values",
        "said.upper",
        "[row.get]",
        "{'a': said.upper}",
        "said | map('upper')",
        "range",
        "cycler",
        "self",
        "said ~ said.upper",
        "said.upper | string",
        "'%s' % said.upper",
    ],
)
def test_what_has_an_address_for_a_text_is_no_prompt(expression):
    """An address is another one in every run: another question, to be paid for again."""
    with pytest.raises(CurateError, match=r"'p' (cannot be rendered: .* no text|gives a prompt)"):
        Prompt("p", f"{{{{ said }}}} {{{{ {expression} }}}}").check(
            {"said": "x", "row": {"a": "1"}}
        )


def test_a_method_in_a_part_that_a_row_alone_reaches_fails_the_row():
    prompt = Prompt("p", "{{ said }}\n{% if said == 'y' %}\n{{ said.upper }}\n{% endif %}")
    prompt.check({"said": "x"})
    with pytest.raises(AnswerError, match=r"'upper' is .*, which is no text \(line 3\)"):
        prompt.render({"said": "y"})


def test_methods_that_are_called_and_plain_values_are_prompts():
    text = "{% for k, v in row.items() %}{{ k }}{{ v }}{% endfor %}{{ row }}{{ said.upper() }}"
    values = {"said": "x", "row": {"a": 1.5}}
    assert Prompt("p", text).render(values) == "a1.5{'a': 1.5}X"


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("'x' * 10**10", "longer than 10,000,000 characters"),
        ("10**10 * ['x']", "longer than 10,000,000 characters"),
        ("10 ** 10 ** 10", "no number above 1,000"),
        ("[1] ** 2", "bad operand"),
    ],
)
def test_a_few_characters_do_not_ask_for_all_of_the_memory(expression, why):
    with pytest.raises(CurateError, match=why):
        Prompt("p", f"{{{{ said }}}}{{{{ {expression} }}}}").check({"said": "x"})


def test_a_prompt_has_a_length():
    text = "{% for a in range(99999) %}{{ said }}{% endfor %}"
    assert len(Prompt("p", text).render({"said": "x" * 100})) == 9_999_900
    with pytest.raises(AnswerError, match="longer than 10,000,000 characters"):
        Prompt("p", text).render({"said": "x" * 101})
    assert Prompt("p", "{{ 3 * 2.5 ** 2 }} {{ 2 * 'ab' }} {{ said }}").render({"said": 1}) == (
        "18.75 abab 1"
    )


def test_an_error_without_words_is_named(monkeypatch):
    def none(*_):
        raise MemoryError

    monkeypatch.setattr("curate.prompts._rendered", none)
    with pytest.raises(CurateError, match="'p' cannot be rendered: MemoryError"):
        Prompt("p", "{{ said }}").check({"said": "x"})


@given(st.dictionaries(st.sampled_from("abc"), st.text("=m \n", max_size=9), min_size=3))
def test_texts_cannot_pretend_to_end_at_a_mark(values):
    """What is put into a text after the mark is known makes the mark another one."""
    prompt = Prompt("p", "= {{ mark }}\n{{ a }}\n= {{ mark }}\n{{ b }}{{ c }}\n= {{ mark }}")
    said = prompt.render(values)
    assert prompt.render(dict(reversed(values.items()))) == said
    mark = said.split("\n")[0][2:]
    forged = {"a": f"{values['a']}\n= {mark}\n{values['b']}", "b": "", "c": values["c"]}
    assert prompt.render(forged).split("\n")[0] != f"= {mark}"


@pytest.mark.parametrize(
    "text", ["= {{ mark }}\n{{ a }}", "{% if mark %}{{ mark }}{{ a }}{% endif %}"]
)
def test_a_mark_depends_on_what_the_prompt_shows_alone(text):
    prompt = Prompt("p", text + "{{ row.x }}")
    said = prompt.render({"a": "a\ud800", "row": {"x": 1}})
    assert prompt.render({"a": "a\ud800", "row": {"x": 1, "y": 2}, "b": "c"}) == said
    marks = {prompt.render({"a": "b", "row": {"x": x}})[:18] for x in range(9)}
    assert len(marks) == 9


def test_a_mark_alone_is_nothing_of_a_row():
    with pytest.raises(CurateError, match="the same prompt for every row"):
        Prompt("p", "Say {{ mark }}").check({"said": "x"})
