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
