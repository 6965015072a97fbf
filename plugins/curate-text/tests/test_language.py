"""Languages: told where there is text enough, `und` where not, and never by way of a network."""

# ruff: noqa: RUF001 - text in other languages

import gzip
import json
import os
import socket
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.api import Context
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate_text.language import Language, LanguageParams, has_letters, readable

DATA = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog near the river.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund am Fluss.",
    "fr": "Le vif renard brun saute par-dessus le chien paresseux près de la rivière.",
    "el": "Ποια είναι η πρωτεύουσα της Γαλλίας και γιατί είναι τόσο γνωστή;",
    "hi": "भारत की राजधानी कौन सा शहर है और वहाँ कितने लोग रहते हैं",
    "zh": "中国的首都是北京，它是一座历史悠久的城市。",
    "ja": "日本の首都は東京で、とても大きな都市です。",
}


def told(text, **params):
    wanted = ("language", "probability", "undetermined")
    context = Context(0, {}, {}, wanted, lambda name: name)
    rows = pl.DataFrame({"id": ["0"], "@both": [text]})
    (row,) = Language(LanguageParams(**params), "language").score(rows, context).to_dicts()
    assert row["undetermined"] == (row["language"] == "und")
    return row["language"], row["probability"]


@pytest.mark.parametrize(("language", "sentence"), SENTENCES.items())
def test_sentences_are_told(language, sentence):
    found, probability = told(sentence)
    assert found == language
    assert 0.5 <= probability <= 1


@pytest.mark.parametrize("text", ["", "OK.", "12 + 34 = 46", "中国的首都是北京", "🙂" * 50])
def test_too_little_to_tell_from_is_undetermined(text):
    assert told(text) == ("und", 0.0)


def test_the_bounds_are_the_parameters():
    assert told("It is a red house.", min_letters=10)[0] == "en"
    language, probability = told(SENTENCES["en"], min_probability=1.0)
    assert (language, probability) == ("und", told(SENTENCES["en"])[1])


def test_short_chinese_is_not_called_japanese():
    texts = ["推特、电报、信息、电话、传真、邮件", "定义术语，解释概念，给出例子"]
    assert all(told(text)[0] in ("zh", "und") for text in texts)
    assert told(SENTENCES["ja"])[0] == "ja"


def test_code_is_not_read_and_lines_beside_it_are():
    code = "def hello(name):\n    print(f'bonjour {name}')\n    return name\n"
    assert told(code)[0] == "und"
    assert told(f"```\n{SENTENCES['de']}\n```")[0] == "und"
    assert told(f"{SENTENCES['fr']}\n{code}")[0] == "fr"
    assert readable("See `le chat` at https://example.com/le/chat now") == "See at now"
    assert readable("x = 1\n" * 3000 + SENTENCES["de"]) == SENTENCES["de"]


@pytest.mark.parametrize(
    "line",
    [
        "if you like cooking at home, you should read this (and this):",
        "while you wait for the train, think of this:",
        "for each of the words on the list, give an antonym:",
    ],
)
def test_sentences_that_begin_like_statements_are_read(line):
    assert readable(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "if x not in y and z is not None:",
        "if not isinstance(x, int):",
        "for at, row in enumerate(rows):",
        "public static void main(String[] args) {",
        "from os import path",
        "class Cat extends Animal:",
        'if name == "the cat sat":',
        "return the_cat (a, b);",
    ],
)
def test_statements_are_not_read(line):
    assert readable(line) == ""


@pytest.mark.parametrize("address", ["https://example.com/a?b=c", "www.example.com"])
@pytest.mark.parametrize(
    "text", [SENTENCES["zh"], SENTENCES["ja"], "，（见文）", "서울은 한국의 수도이다"]
)
def test_an_address_ends_where_text_without_spaces_begins(address, text):
    assert readable(f"{address}{text}") == text


def test_no_more_than_a_thousand_characters_are_read():
    assert len(readable("word " * 10_000)) == 1000
    assert told(SENTENCES["de"] * 20 + SENTENCES["fr"] * 100) == told(SENTENCES["de"] * 20)


@given(st.text(), st.integers(1, 30))
def test_letters_are_counted_with_their_marks(text, least):
    import unicodedata

    dense = ["\u3040\u30ff", "\u3400\u4dbf", "\u4e00\u9fff", "\uac00\ud7a3"]
    letters = sum(
        1 + any(low <= character <= high for low, high in dense)
        for character in text
        if unicodedata.category(character)[0] in ("L", "M")
    )
    assert has_letters(text, least) == (letters >= least)


@given(st.text())
def test_any_text_has_an_answer(text):
    language, probability = told(text)
    assert language
    assert 0 <= probability <= 1


def test_nothing_is_fetched(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert told(SENTENCES["en"])[0] == "en"


def test_undetermined_rows_are_counted(tmp_path):
    rows = [
        {"instruction": text, "output": ""} for text in (*SENTENCES.values(), "OK.", "No.", "?")
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {"score": "text.language", "id": "lang"}
    recipe = {"name": "t", "sources": {"s": {"path": str(file)}}, "pipeline": [stage]}
    version = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    (facts,) = version.manifest["stages"]
    assert facts["flags"] == {"undetermined": 3}
    assert facts["flags_by_source"] == {"undetermined": {"s": 3}}
    assert facts["notes"] == ["language und 3, de 1, el 1, en 1, fr 1 and 3 others"]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}")
def test_real_questions_are_told():
    right = asked = 0
    with gzip.open(DATA / "xquad.jsonl.gz", "rt", encoding="utf-8") as file:
        for at, line in enumerate(file):
            row = json.loads(line)
            if at % 20 or len(row["question"]) < 40:
                continue
            language = told(row["question"])[0]
            asked += language != "und"
            right += language == row["file"].split(".")[1]
    assert asked > 300
    assert right >= 0.98 * asked
