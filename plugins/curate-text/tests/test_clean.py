"""Cleaning: each rule on what it is for and on what looks like it, and twice is once."""

# ruff: noqa: RUF001 - text in other languages, and text that is broken

import ast
import gzip
import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate_text.clean import ASKED, DEFAULT
from curate_text.clean import RULES as NAMES
from curate_text.cleaning import RULES, clean
from curate_text.code import parts
from curate_text.redaction import MARKS, luhn

DATA = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
NBSP, ZERO, SOFT, BOM = "\u00a0", "\u200b", "\u00ad", "\ufeff"

CHANGED = [
    ("encoding", "schÃ¶n und grÃ¼n", "schön und grün"),
    ("encoding", "Italyâ€™s wife â€“ 5Â°C", "Italy’s wife – 5°C"),
    ("encoding", "didn\x92t, more\x85", "didn’t, more…"),
    ("encoding", "a\x00b \x1b[31mred\x1b[0m", "ab red"),
    ("whitespace", "a \t\nb", "a\nb"),
    ("whitespace", f"a{NBSP}b", "a b"),
    ("whitespace", f"a{ZERO}b{SOFT}c{BOM}", "abc"),
    ("whitespace", "a\r\nb\rc", "a\nb\nc"),
    ("whitespace", "a\n\n\n\n\nb", "a\n\n\nb"),
    ("whitespace", "\n  \na\n\n", "a"),
    ("html", "Tom &amp; Jerry &#39;s &quot;x&quot;&nbsp;&lt;3", 'Tom & Jerry \'s "x" <3'),
    ("html", "twice &amp;amp;amp; over", "twice & over"),
    ("html", "one<br>two<br /> three", "one\ntwo\nthree"),
    ("html", "<p>One.</p><p>Two.</p>", "One.\nTwo."),
    ("html", "a <b>bold</b> and <i>slanted <b>word</b></i>", "a bold and slanted word"),
    ("html", 'so <span style="x">it</span> is', "so it is"),
    ("email", "Write to Ann.Lee+x@mail.corp.co.uk.", "Write to <email>."),
    ("email", "<ann@corp.de>, bob@corp.de", "<<email>>, <email>"),
    ("ip", "from 84.23.101.7:80 to 2a00:1450:4001:81b::200e", "from <ip>:80 to <ip>"),
    ("card", "Card: 4111 1111 1111 1111.", "Card: <card>."),
    ("card", "5500-0000-0000-0004", "<card>"),
    ("card", "3782 822463 10005", "<card>"),
    ("card", "my Visa is 4111111111111111", "my Visa is <card>"),
    ("phone", "Call +49 30 123456-78 or +14155552671", "Call <phone> or <phone>"),
    ("phone", "(555) 123-4567, 555-123-4567, 1-800-555-0199", "<phone>, <phone>, <phone>"),
    (
        "phone",
        "phone number is 0410787999; Tel: 030 1234567",
        "phone number is <phone>; Tel: <phone>",
    ),
    ("phone", "电话：13812345678", "电话：<phone>"),
    ("credentials", "key sk-proj-abcdefghij0123456789ABCD", "key <credential>"),
    ("credentials", "ghp_" + "a1B2" * 9, "<credential>"),
    ("credentials", "AKIAIOSFODNN7EXAMPLE", "<credential>"),
    ("credentials", "hf_" + "aB" * 17 + ", AIza" + "x" * 35, "<credential>, <credential>"),
    ("credentials", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijkl", "<credential>"),
    (
        "credentials",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----\nThat.",
        "<credential>\nThat.",
    ),
    ("punctuation", "“It’s” «so»—or not…", '"It\'s" "so" - or not...'),
    ("punctuation", "1–2 — three ——\n— Ann", "1-2 - three --\n- Ann"),
    ("punctuation", "你好，（世界）！《书》、【一】。", '你好,(世界)!"书",[一].'),
    ("links", "See https://a.org/b?c=1#d, or (www.b.co.uk/x).", "See <link>, or (<link>)."),
    ("links", "[it](http://a.org/b_(c)), FTP://a.org.", "[it](<link>), <link>."),
    (
        "links",
        "请看https://a.org/b，或者http://b.cn查看。“www.c.org/d”",
        "请看<link>，或者<link>查看。“<link>”",
    ),
    ("links", "https://84.23.101.7/ann@corp.de", "<link>"),
]

LEFT = [
    "“Curled” quotes, ﬁne ligatures, ｆｕｌｌ width，中文标点！",
    "cafe\u0301 keeps its form",  # not composed
    "\u0e01\u200b\u0e02 and \u0645\u06cc\u200c\u062e and 👩\u200d💻",  # these need it
    "a  \nb",  # a line break of Markdown
    "  indented by two\n\n\nand three lines on",
    "The proprietor \x80\x94investor \x89ÛÏm",  # nobody can say what this was
    "def f():\n    return 1   \n\n\n\n\n    # no-break\u00a0here",
    "```\nAT&amp;T <br> \u00a0 a@corp.de\n```",
    "Use `&amp;` and `<br>` and `ann@corp.de`.",
    "In HTML, &amp; is an ampersand.",
    "What does <br> do in HTML?",
    "<div>A &amp; B</div>",
    "Write &lt;b&gt; for bold, &amp; so on",
    "Find the index of <p> in S_5.",
    "if a<b and b>c, then x<i",
    "AT&T; R&D; &unknown; ?a=1&copy=2",
    "@ann, git@github.com:ann/x.git, A@B.T, ann@example.com, a@b",
    "Version 84.23.101.7, v84.23.101.7, section 1.2.3.4",
    "192.168.0.1, 127.0.0.1, 10.0.0.1, 255.255.255.255, 300.1.1.1, 2001:db8::1, 12:30:45, std::x",
    "ISBN 978-3-16-148410-0, ISBN 316-148-4100, 2023-01-15, 1999-2005, 10-20-30",
    "3 +12345678901, x = +1234567890, 100 200 3000, 1,234,567, 3.141592653589793",
    "4111 1111 1111 1112, 1234 5678 9012 3456, 4111111111111111",
    "sk-learn, task-force-of-the-nation-and-more, AKIA, ghp_short, eyJhbGci",
    "phone 2007, called in 1984",
]


@pytest.mark.parametrize(("rule", "before", "after"), CHANGED)
def test_what_a_rule_is_for(rule, before, after):
    texts, changes = clean([before], [rule])
    assert texts == [after]
    assert set(changes) == {rule}
    rules = [*DEFAULT, rule] if rule in ASKED else DEFAULT
    assert clean([after], [name for name in NAMES if name in rules])[0] == [after]


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_it(text):
    assert clean([text], DEFAULT) == ([text], {})


ASKED_LEFT = [
    ("links", "http is a scheme; www; awww.so.nice; a.org/b; http:// alone; git@www.a.org"),
    ("links", "`https://a.org` and\n```\nhttps://a.org\n```"),
    ("punctuation", 'plain: "it\'s" - so... ｆｕｌｌ １２ and `“`\n```\n“—”\n```'),
]


@pytest.mark.parametrize(("rule", "text"), ASKED_LEFT)
def test_what_only_looks_like_what_is_asked_for(rule, text):
    assert clean([text], [rule]) == ([text], {})


@pytest.mark.parametrize("text", ["—" * 100_000, "www." * 50_000, "https://a" + "(" * 100_000])
def test_rules_that_are_asked_for_come_to_an_end(text):
    # quadratic time would be minutes
    once, _ = clean([text], list(ASKED))
    assert clean(once, list(ASKED)) == (once, {})


def test_text_with_nothing_wrong_in_it_changes_only_if_asked(tmp_path):
    row = {"instruction": "See https://a.org/b…", "input": "", "output": "“So”"}
    (kept,) = run(tmp_path, [row]).frame().to_dicts()
    assert (kept["instruction"], kept["output"]) == ("See https://a.org/b…", "“So”")
    (kept,) = run(tmp_path, [row], rules=list(ASKED)).frame().to_dicts()
    assert (kept["instruction"], kept["output"]) == ("See <link>...", '"So"')


def test_every_change_is_counted():
    text = "ann@corp.de, bob@corp.de: AT&amp;T \nR&amp;D"
    _, changes = clean([text, text], list(RULES))
    assert changes == {"email": 4, "html": 4, "whitespace": 2}


def test_a_turn_about_markup_speaks_for_the_conversation():
    asked, answer = "How do I write a tag?", "Write A &amp; B<br>."
    assert clean([asked, answer], ["html"])[0] == [asked, answer]
    assert clean([answer], ["html"])[0] == ["Write A & B\n."]


def test_code_is_redacted_only_if_asked():
    text = "Run\n```\nmail('ann@corp.de')  \n```\nor `ann@corp.de`."
    assert clean([text], list(RULES))[0] == [text]
    assert clean([text], list(RULES), in_code=True)[0] == [text.replace("ann@corp.de", "<email>")]


@given(st.text(st.sampled_from("ab `\n\t;={(x")) | st.text())
def test_the_stretches_are_the_text(text):
    told = list(parts(text))
    assert "".join(part for _, part in told) == text
    assert all(one[0] != other[0] for one, other in pairwise(told))


def test_which_lines_are_code():
    text = "Say this:\n\nx = 1\nfor the rest\n\n\n    y\n\nand so on:\n```py\na b\n\nc\n```\nDone;"
    assert [part for code, part in parts(text) if code] == [
        "x = 1\nfor the rest\n\n\n    y\n",
        "```py\na b\n\nc\n```\n",
    ]


PIECES = st.sampled_from(
    [before for _, before, _ in CHANGED] + LEFT + [*MARKS.values(), "\n", " ", "`", "```", "&", ";"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(PIECES | st.text(max_size=5), max_size=6).map("".join), max_size=3),
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.booleans(),
)
def test_twice_is_once(texts, rules, in_code):
    once, changes = clean(texts, rules, in_code=in_code)
    assert (once != texts) <= (sum(changes.values()) > 0)
    assert clean(once, rules, in_code=in_code) == (once, {})


@settings(max_examples=200)
@given(st.text("0123456789", min_size=2, max_size=30))
def test_check_digits(digits):
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    total = sum(map(int, digits[-1::-2])) + sum(d // 10 + d % 10 for d in doubled)
    assert luhn(digits) == (total % 10 == 0)
    assert sum(luhn(digits + str(last)) for last in range(10)) == 1


def test_rules_are_those_of_the_parameter():
    assert tuple(RULES) == NAMES


ROWS = [
    {"instruction": "Greet  \nher. ", "input": "Ann \u00a0Lee", "output": "Hi &amp; a@corp.de"},
    {"instruction": "Add.", "input": "1", "output": "2"},
    {"instruction": "Code.", "input": "", "output": "def f():\n    return 1  "},
]


def run(tmp_path, rows, **params):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {"expand": "text.clean", "id": "clean", "with": params}
    recipe = {"name": "t", "sources": {"s": {"path": str(file)}}, "pipeline": [stage]}
    return Version(run_recipe(recipe, out=tmp_path / "curated").path)


def test_rows_are_cleaned_in_place(tmp_path):
    version = run(tmp_path, ROWS)
    rows = version.frame().to_dicts()
    fields = [{name: row[name] for name in ROWS[0]} for row in rows]
    assert fields == [
        {"instruction": "Greet  \nher.", "input": "Ann  Lee", "output": "Hi & <email>"},
        *ROWS[1:],  # what does not change stays itself
    ]
    assert [len(row["parents"]) for row in rows] == [1, 0, 0]
    (facts,) = version.manifest["stages"]
    assert (facts["created"], facts["merged"]) == (1, 1)
    assert facts["counts"] == {
        "whitespace": 2,
        "whitespace.rows": 1,
        "html": 1,
        "html.rows": 1,
        "email": 1,
        "email.rows": 1,
    }
    assert facts["notes"] == ["whitespace 2 in 1 row", "html 1 in 1 row", "email 1 in 1 row"]


def test_what_was_remembered_is_counted_too(tmp_path):
    first = run(tmp_path, ROWS)
    again = run(tmp_path, [*ROWS, {**ROWS[0], "note": "the same conversation"}])
    assert again.path != first.path
    (facts,) = again.manifest["stages"]
    assert facts["memo"]["computed"] == 0
    assert facts["counts"]["email.rows"] == 2


def test_every_turn_is_cleaned_by_the_rules_named(tmp_path):
    turns = [
        {"role": role, "content": "a&nbsp;b \u00a0c@corp.de"}
        for role in ("system", "user", "assistant", "user")
    ]
    version = run(tmp_path, [{"messages": turns}], rules=["html"])
    (row,) = version.frame().to_dicts()
    assert {turn["content"] for turn in row["messages"]} == {"a b \u00a0c@corp.de"}
    assert [turn["role"] for turn in row["messages"]] == [turn["role"] for turn in turns]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}")
@pytest.mark.parametrize("name", ["codealpaca_2k", "gpteacher_codegen", "alpaca_gpt4_nuggets_low"])
def test_real_rows_come_to_rest_and_code_still_parses(name):
    rests = parsed = 0
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            texts = [value for value in json.loads(line).values() if isinstance(value, str)]
            once, _ = clean(texts, list(RULES))
            assert clean(once, list(RULES))[0] == once
            rests += 1
            for before, after in zip(texts, once, strict=True):
                # a number that a phone has is an expression, too
                if before != after and after not in MARKS.values() and _parses(before):
                    assert _parses(after)
                    parsed += 1
    assert rests > 1000
    assert parsed or name != "gpteacher_codegen"


def _parses(text):
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the strings of others' code
            ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def test_a_text_that_does_not_come_to_rest_is_refused(monkeypatch):
    monkeypatch.setitem(RULES, "html", lambda text: (text[1:] + text[:1], 1))
    with pytest.raises(ValueError, match="does not come to rest"):
        clean(["ab"], ["html"])


REPEATED = (
    "1|1-|1.|+1 |4111 |a@|a.|a@b.|&amp;|&|<b>|<b>x|<p>|`|` |``` | |\t|sk-a|eyJaaaaaaaaaa.|f:|"
    "-----BEGIN PRIVATE KEY-----|phone: |\u200b|â€|\x80\x94|x(|if "
)


@pytest.mark.parametrize("piece", REPEATED.split("|"))
def test_long_repetitions_come_to_an_end(piece):
    text = piece * (100_000 // len(piece))  # with a pattern that backtracks this takes hours
    once, _ = clean([text], list(RULES))
    assert clean(once, list(RULES)) == (once, {})
