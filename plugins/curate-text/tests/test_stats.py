# ruff: noqa: RUF001 - text in other scripts is what is tested
"""Every output of `text.stats` against its definition written out, one character at a time."""

import math
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import Context, CurateError
from curate_text import characters, hashing, wordlists
from curate_text.stats import NAMES, WHOLE, Stats, StatsParams

HAN = [(0x3005, 0x3007), (0x3041, 0x309F), (0x30A0, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF)]
HAN += [(0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x3FFFF)]


def alone(c):
    return c.isalnum() and any(low <= ord(c) <= high for low, high in HAN)


def mark(c):
    return unicodedata.category(c)[0] == "M"


def part(c):
    return c.isalnum() and not alone(c)


def small(word):
    lowered = [c.lower() if len(c.lower()) == 1 else c for c in word.replace("’", "'")]
    return "".join(lowered)


def words_of(text):
    words, at = [], 0
    while at < len(text):
        begin = at
        if alone(text[at]):
            at += 1
        elif part(text[at]):
            while True:
                at += 1
                while at < len(text) and mark(text[at]):
                    at += 1
                following = text[at : at + 2]
                if following and part(following[0]):
                    continue
                if len(following) == 2 and following[0] in "'’-" and part(following[1]):
                    at += 1
                    continue
                break
        else:
            at += 1
            continue
        words.append(small(text[begin:at]))
    return words


def ratio(a, b):
    return a / b if b else 0.0


def most_frequent(items):
    counts = sorted(Counter(items).values(), reverse=True)
    repeated = sum(1 for count in counts if count > 1)
    return ratio(sum(counts[: min(math.isqrt(len(counts)), repeated)]), len(items))


def occurring_again(items):
    return ratio(sum(count for count in Counter(items).values() if count > 1), len(items))


def listed(words, entries):
    inside = [False] * len(words)
    for entry in entries:
        for at in range(len(words) - len(entry) + 1):
            if words[at : at + len(entry)] == entry:
                inside[at : at + len(entry)] = [True] * len(entry)
    return ratio(sum(inside), len(words))


@cache
def entries(name, language):
    return [words_of(entry) for entry in wordlists.entries(wordlists.shipped(name, language))]


def longhand(text, char_n=10, word_n=10, language="en"):
    words, lines = words_of(text), text.splitlines()
    letters = [c for c in text if c.isalpha()]
    special = [c for c in text if not (c.isalnum() or c.isspace() or mark(c))]
    return {
        "characters": len(text),
        "words": len(words),
        "lines": len(lines),
        "mean_line": ratio(sum(map(len, lines)), len(lines)),
        "longest_line": max(map(len, lines), default=0),
        "alnum": ratio(sum(c.isalnum() for c in text), len(text)),
        "letters": ratio(len(letters), len(text)),
        "special": ratio(len(special), len(text)),
        "upper": ratio(sum(c.isupper() for c in letters), len(letters)),
        "char_repetition": most_frequent(
            [text[i : i + char_n] for i in range(len(text) - char_n + 1)]
        ),
        "word_repetition": occurring_again(
            [tuple(words[i : i + word_n]) for i in range(len(words) - word_n + 1)]
        ),
        "stopwords": listed(words, entries("stopwords", language)),
        "flagged": listed(words, entries("flagged", language)),
    }


COLUMNS = ("id", "@both")


def measured(texts, **given):
    """What the stage says of texts, with the row's number as id."""
    stage = Stats(StatsParams(**given), "s")
    rows = pl.DataFrame(
        {"id": [str(at) for at in range(len(texts))], "@both": texts},
        schema=dict.fromkeys(COLUMNS, pl.String),
    )
    ctx = Context(0, {}, {}, tuple(stage.outputs()), None)
    found = pl.concat(list(stage.stream(rows, ctx)))
    assert found["id"].to_list() == rows["id"].to_list()
    return found.drop("id").to_dicts()


LATIN = ["the ", "The", "a", "É", "e\u0301", "\u0301", "'", "’", "-", "damn ", "don't ", "not "]
SPACES = ["\n", "\r", "\r\n", "\u2028", "\x85", "\v", " ", "\t", "\u00a0"]
OTHER = ["12", "٣", "½", "_", "!", "。", "的", "我们", "か\u3099", "カ", "ｶ", "\U00020000"]
RIGHT_TO_LEFT = ["שלום", "مرحبا ", "\u202e", "\u0651"]
EMOJI = ["👩\u200d👩\u200d👧", "❤\ufe0f", "🇩🇪"]
ODD = ["ß", "İ", "Σ", "ς", "ǅ", "\x00", "\ufeff", "हिन्दी "]
PARTS = st.sampled_from([*LATIN, *SPACES, *OTHER, *RIGHT_TO_LEFT, *EMOJI, *ODD])
TEXT = st.lists(st.one_of(PARTS, st.text(max_size=3)), max_size=40).map("".join)
REPEATED = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(TEXT, REPEATED), min_size=1, max_size=6),
    st.sampled_from([1, 2, 3, 5, 8, 10]),
    st.sampled_from([1, 2, 3, 7]),
    st.sampled_from(["en", "zh", "de"]),
)
@example([""], 10, 10, "en")
@example(["", "a\r", "\nb", "\r\n", "\u0301a", "x" * 30, ""], 3, 1, "en")
@example(["don't", "'tis-", "-a", "rock'n'roll", "a--b", "a\u0301-\u0301b", "中-国"], 1, 1, "en")
def test_as_it_is_defined(texts, char_n, word_n, language):
    found = measured(texts, char_n=char_n, word_n=word_n, language=language)
    assert found == [longhand(text, char_n, word_n, language) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "lorem ipsum dolor " * 15_000,
        "".join(chr(0x4E00 + at * 7919 % 20000) for at in range(30_000)),
        "z" * 1_000_001,
        "\r\n" * 500_000,
        "".join(f"line {at} of many\n" for at in range(3_000)),
    ],
    ids=["words", "han", "one word", "lines", "numbers"],
)
def test_long_texts(text):
    beside = ["before", text, "after, after"]
    assert measured(beside) == [longhand(each) for each in beside]


def test_a_text_is_measured_by_itself(monkeypatch):
    """However texts are cut into pieces: the same numbers."""
    texts = [f"Word {at % 7} and word {at % 3}\n" * (at % 50) for at in range(400)]
    whole = measured(texts)
    monkeypatch.setattr(characters, "PIECE", 500)
    monkeypatch.setattr(characters, "ALONE", 100)
    assert measured(texts) == whole
    monkeypatch.setattr(characters, "TOGETHER", 3)
    assert measured(texts) == whole
    assert measured(texts[::-1]) == whole[::-1]


def test_pieces_are_bounded_and_long_texts_stand_alone():
    lengths = [10, 70_000, 5, 5, characters.PIECE, 0, 3] + [60_000] * 40
    cut = list(characters.pieces(pl.Series(lengths).to_numpy()))
    assert [at for part in cut for at in range(len(lengths))[part]] == list(range(len(lengths)))
    for part in cut:
        held = lengths[part]
        assert len(held) == 1 or (sum(held) <= characters.PIECE and max(held) <= characters.ALONE)
    assert cut[:4] == [slice(0, 1), slice(1, 2), slice(2, 4), slice(4, 5)]


def test_windows_of_any_width_are_told_apart():
    texts = ["".join(chr(97 + (at * step) % 5) for at in range(300)) for step in (1, 2, 3)]
    for n in range(1, 40):
        found = measured(texts, outputs=["char_repetition"], char_n=n)
        assert found == [
            {"char_repetition": most_frequent([t[i : i + n] for i in range(301 - n)])}
            for t in texts
        ]


def test_only_what_is_wanted_is_computed(monkeypatch):
    from curate_text.measures import Measures

    called = []
    for name in NAMES:
        real = getattr(Measures, name)
        monkeypatch.setattr(
            Measures, name, lambda self, real=real, name=name: (called.append(name), real(self))[1]
        )
    assert list(measured(["x"], outputs=["upper", "lines"])[0]) == ["lines", "upper"]
    assert set(called) == {"upper", "lines"}


def test_no_rows_have_the_columns_of_some():
    def schema(texts):
        rows = pl.DataFrame({"id": texts, "@both": texts}, schema=dict.fromkeys(COLUMNS, pl.String))
        return Stats(StatsParams(), "s").score(rows, Context(0, {}, {}, NAMES, None)).schema

    assert schema([]) == schema(["x"])


@pytest.mark.parametrize(
    ("told", "threads"),
    [("3", 3), ("4,2", 4), (" 2 , 1", 2), ("0", 7), ("", 7), ("-1", 7), ("many", 7), ("²", 7)],
)
def test_any_words_to_openmp_are_taken(monkeypatch, told, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    asked = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, count):
            asked.append(count)
            super().__init__(count)

    monkeypatch.setattr("curate_text.stats.ThreadPoolExecutor", Pool)
    assert measured(["a b"], outputs=["words"]) == [{"words": 2}]
    assert asked == [threads]


def test_many_windows_are_told_apart():
    """With hashes of 28 bits some hundred of them would be taken for equal."""
    values = hashing.mixed(np.arange(300_001))
    windows = hashing.windows(values, 2)
    repeats = hashing.Repeats(windows, np.array([300_000]))
    assert repeats.distinct.tolist() == [300_000]


def test_a_column_named_twice_is_refused():
    with pytest.raises(ValidationError, match="a column is named twice"):
        StatsParams(outputs=["words", "words"])


def test_kinds():
    kinds = {name: output.kind for name, output in Stats(StatsParams(), "s").outputs().items()}
    assert kinds == {name: "integer" if name in WHOLE else "number" for name in NAMES}


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "zh"])
@pytest.mark.parametrize("name", ["stopwords", "flagged"])
def test_lists_have_each_entry_once_in_lower_case(name, language):
    path = wordlists.shipped(name, language)
    found = wordlists.entries(path)
    assert len(found) >= 20
    assert len({small(entry) for entry in found}) == len(found)
    assert found == [small(entry) for entry in found]
    assert path.read_text().startswith("# ")
    assert all(words_of(entry) for entry in found)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "It is not the end of the world, and we don't have to worry about that."),
        ("de", "Das ist nicht das Ende der Welt, und wir müssen uns nicht darum sorgen."),
        ("fr", "Ce n’est pas la fin du monde, et nous ne devons pas nous en soucier."),
        ("es", "No es el fin del mundo, y no tenemos que preocuparnos por eso."),
        ("zh", "这不是世界的末日，我们也不用为了它担心。"),
    ],
)
def test_stop_words_know_their_language(language, text):
    shares = {
        other: measured([text], outputs=["stopwords"], language=other)[0]["stopwords"]
        for other in ("de", "en", "es", "fr", "zh")
    }
    assert shares[language] >= 0.4
    assert max(shares, key=shares.get) == language


def test_a_list_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own.txt").write_text("# mine\n\nfoo bar\nQux\n")
    text = "Foo BAR, foo? qux foo bar"
    (found,) = measured([text], flagged=str(tmp_path / "own.txt"), outputs=["flagged"])
    assert found == {"flagged": 5 / 6}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"# nothing\n", "holds no word"),
        (b"good\n!!\n", "own.txt:2: '!!' has no letter"),
        (b"\xff\xfe", "cannot be read as a list of words"),
    ],
)
def test_a_list_that_is_none(tmp_path, content, says):
    (tmp_path / "own.txt").write_bytes(content)
    stage = Stats(StatsParams(stopwords=str(tmp_path / "own.txt")), "s")
    with pytest.raises(CurateError, match=says):
        stage.check_files()
    Stats(StatsParams(stopwords=str(tmp_path / "own.txt"), outputs=["words"]), "s").check_files()


ROWS = [
    {"instruction": f"Question {at}?", "output": "Well. " * at, "input": ""} for at in range(20)
]


def test_in_a_recipe_each_column_is_remembered_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    pl.DataFrame(ROWS).write_ndjson("rows.jsonl")
    Path("own.txt").write_text("well\n")

    def run(**given):
        version = curate.run(
            {
                "name": "stats",
                "sources": {"rows": {"path": "rows.jsonl"}},
                "pipeline": [
                    {"score": "text.stats", "id": "t", "with": {"text": "response", **given}},
                    {"filter": "core.where", "with": {"keep": "t_words >= 3"}},
                ],
            }
        )
        return version, version.manifest["stages"][0]["memo"]["computed"]

    version, computed = run()
    assert computed == 20
    assert len(version.frame()) == 17
    assert version.scores["t_words"].sort().to_list() == list(range(20))
    _, computed = run(outputs=["words", "lines"])
    assert computed == 0
    again, computed = run(outputs=["words", "stopwords"], stopwords="own.txt")
    assert computed == 20
    assert set(again.scores["t_stopwords"]) == {0.0, 1.0}
    _, computed = run(outputs=["words", "char_repetition"], word_n=3, language="de")
    assert computed == 0
