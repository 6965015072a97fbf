"""Cleaning: each rule on what it is for and on what looks like it, and twice is once."""

# ruff: noqa: RUF001 - text in other languages, and text that is broken

import ast
import gzip
import html
import json
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.api import Child, CurateError
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate_text.clean import DEFAULT, Clean, CleanParams
from curate_text.clean import RULES as NAMES
from curate_text.cleaning import MENDS, clean
from curate_text.code import parts
from curate_text.redaction import REDACTIONS

DATA = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
NBSP, ZERO, SOFT, BOM = "\u00a0", "\u200b", "\u00ad", "\ufeff"

CHANGED = [
    ("encoding", "schÃ¶n und grÃ¼n", "schön und grün"),
    ("encoding", "Italyâ€™s wife â€“ 5Â°C", "Italy’s wife – 5°C"),
    ("encoding", "didn\x92t, more\x85", "didn’t, more…"),
    ("encoding", "a\x00b \x1b[31mred\x1b[0m", "ab red"),
    ("encoding", f"{BOM}a", "a"),
    ("encoding", "a\x0b- b\x1cc\x1dd\x1ee\x1ff", "a\n- b\nc\nd\ne\nf"),  # words stay apart
    ("encoding", "one\x85two", "one\ntwo"),
    ("encoding", "voilÃ  and Ã©tÃ©", "voilà and été"),
    ("whitespace", "a \t\nb", "a\nb"),
    ("whitespace", f"a{NBSP}b\u2007c\u202fd", "a b c d"),
    ("whitespace", f"a{ZERO}b{SOFT}c\u2060", "abc"),
    ("whitespace", "a\r\nb\rc", "a\nb\nc"),
    ("whitespace", f"嗨~~~{NBSP}b \nc", "嗨~~~ b\nc"),  # a long tone, no fence
    ("whitespace", "a\n\n\n\n\nb", "a\n\n\nb"),
    ("whitespace", "\n  \na\n\n", "a"),
    ("whitespace", "a  \n\nb  \n", "a\n\nb"),  # no line break of Markdown: no line goes on
    ("html", "Tom &amp; Jerry &#39;s &quot;x&quot;&nbsp;&lt;3", 'Tom & Jerry \'s "x" <3'),
    ("html", "one<br>two<br /> three", "one\ntwo\nthree"),
    ("html", "one<br clear=all>two</br>three<BR/>\nfour", "one\ntwo\nthree\nfour"),
    ("html", "<email-1> &amp; <br>", "<email-1> & \n"),
    ("tags", "<p>One.</p><p>Two.</p>", "One.\nTwo."),
    ("tags", 'So:<p style="x">One<br>two.</p>\nThree', "So:\nOne<br>two.\nThree"),
    ("tags", "a <b>big</b> and <i>slanted <b>word</b></i>", "a big and slanted word"),
    ("tags", 'so <span style="x">it</span> is', "so it is"),
    ("tags", "<b>a</b> <i>b <email-1>", "a <i>b <email-1>"),
    ("punctuation", "“It’s” «so»—or not…", '"It\'s" "so" - or not...'),
    ("punctuation", "1–2 — three ——\n— Ann", "1-2 - three --\n- Ann"),
    ("punctuation", "你好，（世界）！《书》、【一】。", '你好,(世界)!"书",[一].'),
]
ESCAPED = "twice " + "&amp;" + "amp;" * 40 + " over &#38;#38;#x26;lt;3"

LEFT = [
    "“Curled” quotes, ﬁne ligatures, ｆｕｌｌ width，中文标点！",
    "cafe\u0301 keeps its form",  # not composed
    "\u0e01\u200b\u0e02 and \u0645\u06cc\u200c\u062e and 👩\u200d💻",  # these need it
    "a  \nb",  # a line break of Markdown
    "  indented by two\n\n\nand three lines on",
    "The proprietor \x80\x94investor \x89ÛÏm",  # nobody can say what this was
    "A lost \ufffd byte: schÃ¶n",
    "The letter Ã is Portuguese, and Ã , too",
    "def f():\n    return 1   \n\n\n\n\n    # no-break\u00a0here",
    "```\nAT&amp;T <br> \u00a0 a@corp.de\n```",
    "~~~\nAT&amp;T <br> \u00a0\n~~~",
    "Use `&amp;` and `<br>` and `ann@corp.de`.",
    "An &amp; beside code.\n\n    x = 1",
    '<xs:schema id="x">\n  &amp; \u00a0\n</xs:schema>',
    "In HTML, &amp; is an ampersand.",
    "An <xs:element> &amp; so on",
    "<div>A &amp; B</div>",
    "make it bold: <b>ravioli &amp; cheese</b>",
    "Write &lt;b&gt; for bold, &amp; so on",
    "Find the index of <p> in S_5.",
    "if a<b and b>c, then x<i",
    "AT&T; R&D; &unknown; ?a=1&copy=2 &notit; &semi;",
    "&#1; &#7; &#xad; &zwj; &shy; &#xFFFF;",  # these would be controls, and not be seen
    "ann@corp.de, 84.23.101.7, (212) 555-4567, 4111 1111 1111 1111, https://a.org",
]
TAGS_LEFT = [
    "<p>One.<p>Two.</p>",  # never half
    "<b>one</b></b> and <p>three",
    "Make it bold: <b>ravioli</b>",
    "<div><p>One.</p></div>",
    "`<b>x</b>`",
    "<b>x</b>\n\n    x = 1",
]
TOPICS = (
    "HTML|XHTML|html5|XML|css|SVG|SGML|markup|Markdown|LaTeX|tag|tags|tagged|attribute|attributes|"
    "href|URL-encode|url encoding|urlencoded|JavaScript|TypeScript|jsx|PHP|JSON|RSS|ASP|JSP|DOM|"
    "regex|regexp|parse|parser|parsing|unescape|unescaped|escape|escaped|escapes|escaping|entity|"
    "entities|ampersand|angle bracket|angle brackets|web page|webpages|website|websites|hyperlink|"
    "hyperlinks|browser|browsers|pseudocode|pseudo-code|algorithm|algorithms|snippet|snippets|"
    "source code|programming|标签|网页|网站|代码|实体|转义|链接|&lt;b|&lt;!d|&lt;/b|<!--|<!DOCTYPE|< x"
)
STYLE_TOPICS = (
    "bold|bolded|bolding|italic|italics|italicize|underline|underlined|emphasis|emphasize|"
    "highlight|highlighted|format|formats|formatted|formatting|paragraph|paragraphs|style|styles|"
    "styled|styling|font|fonts|粗体|加粗|斜体|下划线|格式|段落|字体"
)
ENCODINGS = "mojibake|decoded|an encoding|UTF-8|utf8|Latin-1|乱码|编码"


@pytest.mark.parametrize(("rule", "before", "after"), CHANGED)
def test_what_a_rule_is_for(rule, before, after):
    texts, changes, *_ = clean([before], [rule])
    assert texts == [after]
    assert set(changes) == {rule}
    assert clean([after], [rule])[0] == [after]


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_it(text):
    assert clean([text], DEFAULT) == ([text], {}, {}, {})


@pytest.mark.parametrize("text", TAGS_LEFT)
def test_tags_are_taken_in_pairs_and_where_they_are_no_topic(text):
    assert clean([text], ["tags"]) == ([text], {}, {}, {})


@pytest.mark.parametrize("word", TOPICS.split("|"))
def test_markup_is_left_where_the_conversation_speaks_of_it(word):
    texts = [f"This is {word}, so", "A &amp; B<br>", "<b>x</b>"]
    assert clean(texts[:2], ["html"]) == (texts[:2], {}, {}, {})
    assert clean(texts, ["tags"]) == (texts, {}, {}, {})
    if word[-1].isascii() and word[-1].isalpha() and word[0].isalpha():
        other = [f"This is z{word}z, so", *texts[1:2]]
        assert clean(other, ["html"]).changes == {"html": 2}


@pytest.mark.parametrize("word", STYLE_TOPICS.split("|"))
def test_styles_are_left_where_the_conversation_speaks_of_them(word):
    texts = [f"This is {word}, so", "<b>x</b>"]
    assert clean(texts, ["tags"]) == (texts, {}, {}, {})
    assert clean([f"{word}?", "A &amp; B"], ["html"]).changes == {"html": 1}


@pytest.mark.parametrize("word", ENCODINGS.split("|"))
def test_encodings_are_left_where_the_conversation_speaks_of_them(word):
    texts, changes, *_ = clean([f"This is {word}", "Ã© is é\x00, didn\x92t"], ["encoding"])
    assert (texts[1], changes) == (
        "Ã© is é, didn\x92t",
        {"encoding": 1},
    )  # controls go all the same


def test_what_was_escaped_many_times_is_one_change():
    assert clean([ESCAPED], ["html"]) == (["twice & over <3"], {"html": 2}, {}, {})


ASKED_LEFT = [
    ("links", "`https://a.org` and\n```\nhttps://a.org\n```"),
    ("punctuation", 'plain: "it\'s" - so... ｆｕｌｌ １２ and `“`\n```\n“—”\n```'),
]


@pytest.mark.parametrize(("rule", "text"), ASKED_LEFT)
def test_code_stays(rule, text):
    cleaned = clean([text], [rule])
    assert (cleaned.texts, cleaned.changes) == ([text], {})


def test_text_with_nothing_wrong_in_it_changes_only_if_asked(tmp_path):
    output = "“So” <b>it</b>, ann@corp.de"
    row = {"instruction": "See https://a.org/b…", "input": "", "output": output}
    (kept,) = run(tmp_path, [row]).frame().to_dicts()
    assert (kept["instruction"], kept["output"]) == ("See https://a.org/b…", output)
    asked = [rule for rule in NAMES if rule not in DEFAULT]
    (kept,) = run(tmp_path, [row], rules=asked).frame().to_dicts()
    assert (kept["instruction"], kept["output"]) == ("See <link-1>...", '"So" it, <email-1>')


def test_every_change_is_counted():
    text = "ann@corp.de, bob@corp.de: AT&amp;T \nR&amp;D"
    assert clean([text, text], NAMES).changes == {"email": 4, "html": 4, "whitespace": 2}


def test_a_turn_about_markup_speaks_for_the_conversation():
    asked, answer = "How do I write a tag?", "Write A &amp; B<br>."
    assert clean([asked, answer], ["html"])[0] == [asked, answer]
    assert clean([answer], ["html"])[0] == ["Write A & B\n."]


def test_tags_gone_html_is_mended():
    text = "<p>A &amp; <b>B</b></p>"
    assert clean([text], ["html"]).texts == [text]
    assert clean([text], ["html", "tags"]).texts == ["A & B"]


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


MARKS = [f"<{kind.mark}-1>" for kind in REDACTIONS.values()]
VALUES = ["ann@corp.de", "84.23.101.7", "212-555-4567", "Card 4111 1111 1111 1111", "www.a.org/b "]
PIECES = st.sampled_from(
    [before for _, before, _ in CHANGED]
    + LEFT
    + TAGS_LEFT
    + VALUES
    + [*MARKS, "\n", " ", "`", "```", "~~~", "&", ";"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(PIECES | st.text(max_size=5), max_size=6).map("".join), max_size=3),
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.booleans(),
)
def test_twice_is_once(texts, rules, in_code):
    once, changes, left, _ = clean(texts, rules, in_code=in_code, regions=["US", "CN"])
    assert (once != texts) <= (sum(changes.values()) > 0)
    again = clean(once, rules, in_code=in_code, regions=["US", "CN"])
    assert again[:2] == (once, {})
    assert again.left <= left  # what a value is may have been said by what is redacted now


def test_every_rule_has_a_function():
    assert {*MENDS, *REDACTIONS} == set(NAMES)
    assert not MENDS.keys() & REDACTIONS.keys()


def test_regions_are_regions():
    assert CleanParams().regions == ["US", "CN"]
    assert CleanParams(regions=[]).regions == []
    with pytest.raises(ValueError, match="'UK' is no region"):
        CleanParams(regions=["GB", "UK"])


ROWS = [
    {"instruction": "Greet  \nher. ", "input": "Ann \u00a0Lee", "output": "Hi &amp; a@corp.de"},
    {"instruction": "Add.", "input": "1", "output": "2"},
    {"instruction": "Code.", "input": "", "output": "def f():\n    return 1  "},
]


MENDING = [*DEFAULT, "email"]


def run(tmp_path, rows, **params):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {"expand": "text.clean", "id": "clean", "with": params}
    recipe = {"name": "t", "sources": {"s": {"path": str(file)}}, "pipeline": [stage]}
    return Version(run_recipe(recipe, out=tmp_path / "curated").path)


def test_rows_are_cleaned_in_place(tmp_path):
    version = run(tmp_path, ROWS, rules=MENDING)
    rows = version.frame().to_dicts()
    fields = [{name: row[name] for name in ROWS[0]} for row in rows]
    assert fields == [
        {"instruction": "Greet  \nher.", "input": "Ann  Lee", "output": "Hi & <email-1>"},
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
    first = run(tmp_path, ROWS, rules=MENDING)
    again = run(tmp_path, [*ROWS, {**ROWS[0], "note": "the same conversation"}], rules=MENDING)
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


ANN, BOB = "ann@corp.de", "bob@corp.de"


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


PAIRS = [
    # texts and turns, the prompt apart or in both answers
    {"prompt": f"Who is {ANN}?", "chosen": f"{ANN} is Ann.", "rejected": f"{BOB}, not {ANN}"},
    {"prompt": "Who?", "chosen": "Ann.", "rejected": f"Ask {BOB} &amp; co"},
    {
        "prompt": [user(f"Who is {ANN}?")],
        "chosen": [assistant("Ann.", name="a")],
        "rejected": [assistant(f"{BOB}, not {ANN}", name="b")],
    },
    {
        "chosen": [user(f"Is it {ANN}?"), assistant("Yes.")],
        "rejected": [user(f"Is it {ANN}?"), assistant(f"It is {BOB}.")],
    },
    {
        "prompt": f"Is it {ANN}?",  # said again
        "chosen": [user("Hi."), assistant("Hi."), user(f"Is it {ANN}?"), assistant("Yes.")],
        "rejected": [user("Hi."), assistant("Hi."), user(f"Is it {ANN}?"), assistant(f"{BOB}.")],
    },
    {"chosen": f"Q: {ANN}? A: yes, {ANN}", "rejected": f"Q: {ANN}? A: no, {BOB}"},
]


@pytest.mark.parametrize("pair", PAIRS)
def test_the_rejected_answer_is_cleaned_too(tmp_path, pair):
    (row,) = run(tmp_path, [pair], rules=["html", "email"]).frame().to_dicts()
    first, second = ("<email-1>", "<email-2>") if ANN in str(pair) else ("", "<email-1>")
    wanted = json.dumps(pair).replace(ANN, first).replace(BOB, second).replace("&amp;", "&")
    assert {name: row[name] for name in pair} == json.loads(wanted)
    assert len(row["parents"]) == 1


def test_a_preference_that_is_clean_stays(tmp_path):
    pair = {"prompt": "Who?", "chosen": "Ann.", "rejected": "Bob."}
    version = run(tmp_path, [pair, PAIRS[0]], rules=["html"])
    assert [row["parents"] for row in version.frame().to_dicts()] == [[], []]
    again = run(tmp_path, [pair, {**pair, "rejected": "R&amp;D"}], rules=["html"])
    assert again.frame()["rejected"].to_list() == ["Bob.", "R&D"]  # not the same conversation


def test_rejected_answers_of_a_version_are_cleaned(tmp_path):
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIRS[1]) + "\n")
    recipe = {
        "name": "first",
        "sources": {"s": {"path": str(tmp_path / "pairs.jsonl")}},
        "pipeline": [{"score": "core.length"}],
    }
    first = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    recipe = {
        "name": "second",
        "sources": {"s": {"version": str(first.path)}},
        "pipeline": [{"expand": "text.clean"}],
    }
    second = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    assert second.frame()["rejected"].to_list() == [f"Ask {BOB} & co"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q: a?\n\nA:\n", "completion": "Yes \n"},
        {"prompt": "Q: a? ", "completion": "\n\nYes"},
        {"prompt": "Q: a?\nA:&nbsp;", "completion": "Yes"},
        {"prompt": "Q: a?\nA:<br>", "completion": "Yes"},
        {"prompt": "Q: a?\n\nA:\n", "chosen": "Yes", "rejected": "\n\nNo\n"},
        {"chosen": "Say yes or no.\nYes, of course. ", "rejected": "Say yes or no.\nNo, never."},
    ],
)
def test_texts_that_follow_each_other_are_not_joined(tmp_path, row):
    (made,) = run(tmp_path, [row]).frame().to_dicts()
    said = {name: html.unescape(text).replace("<br>", "\n") for name, text in row.items()}
    said = {name: text.replace("\u00a0", " ") for name, text in said.items()}
    last = [name for name in said if name != "prompt"]
    wanted = said | {name: said[name].rstrip() for name in last}
    assert {name: made[name] for name in row} == wanted
    assert bool(made["parents"]) == (wanted != row)
    whole = "".join(turn["content"] for turn in made["messages"])
    assert whole == wanted.get("prompt", "") + (wanted.get("completion") or wanted["chosen"])


SPACED = [
    {"instruction": "Q: a?\n\n", "input": "", "output": "\nYes\n"},
    {"messages": [user("Q: a?\n\n"), assistant("\nYes\n")]},
    {"prompt": [user("Q: a?\n\n")], "completion": [assistant("\nYes\n")]},
    {
        "prompt": [user("Q: a?\n\n")],
        "chosen": [assistant("\nYes\n")],
        "rejected": [assistant("\nNo\n")],
    },
    {
        "chosen": [user("Q: a?\n\n"), assistant("\nYes\n")],
        "rejected": [user("Q: a?\n\n"), assistant("\nNo\n")],
    },
]


@pytest.mark.parametrize("row", SPACED)
def test_turns_that_a_template_parts_lose_white_space_at_both_ends(tmp_path, row):
    (made,) = run(tmp_path, [row]).frame().to_dicts()
    assert [turn["content"] for turn in made["messages"]] == ["Q: a?", "Yes"]


def test_texts_with_a_label_follow_each_other_too(tmp_path):
    row = {"prompt": "A:\n", "completion": "Yes&nbsp;.", "label": True}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    source = {"path": str(tmp_path / "rows.jsonl"), "format": "unpaired-preference"}
    recipe = {"name": "t", "sources": {"s": source}, "pipeline": [{"expand": "text.clean"}]}
    (made,) = Version(run_recipe(recipe, out=tmp_path / "curated").path).frame()["messages"]
    assert [turn["content"] for turn in made] == ["A:\n", "Yes ."]


def test_a_row_of_a_version_knows_how_its_texts_meet(tmp_path):
    rows = [
        {"prompt": "A:\n", "completion": "Yes&nbsp;."},
        {"chosen": "A:\nYes&nbsp;.", "rejected": "A:\nNo."},
        SPACED[0],
    ]
    sources = {}
    for name, row in zip("abc", rows, strict=True):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
        sources[name] = {"path": str(tmp_path / f"{name}.jsonl")}
    recipe = {"name": "first", "sources": sources, "pipeline": [{"score": "core.length"}]}
    first = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    recipe = {
        "name": "second",
        "sources": {"s": {"version": str(first.path)}},
        "pipeline": [{"expand": "text.clean"}],
    }
    second = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    texts = ["".join(turn["content"] for turn in turns) for turns in second.frame()["messages"]]
    assert sorted(texts) == ["A:\nYes .", "A:\nYes .", "Q: a?Yes"]


def test_pairs_of_whole_texts_are_cleaned_whole(tmp_path):
    rows = [
        {"chosen": "My phone is 212-555-4567", "rejected": "My phone is 212-555-45678901"},
        {"chosen": "Call +1 212 555 4567.", "rejected": "Call +1 212 555 4568."},
        {"chosen": "Do:\n```\na&nbsp;b\n``` &amp;", "rejected": "Do:\n```\nb&nbsp;b\n``` &amp;"},
        {"chosen": "a: ann@corp.de", "rejected": "a: ann@corp.com"},
    ]
    made = run(tmp_path, rows, rules=["html", "email", "phone"]).frame()
    texts = {(row["chosen"], row["rejected"]) for row in made.to_dicts()}
    assert texts == {
        ("My phone is <phone-1>", "My phone is 212-555-45678901"),
        ("Call <phone-1>.", "Call <phone-2>."),
        (rows[2]["chosen"], rows[2]["rejected"]),
        ("a: <email-1>", "a: <email-2>"),
    }
    for row in made.to_dicts():
        assert "".join(turn["content"] for turn in row["messages"]) == row["chosen"]


def test_a_pair_whose_texts_begin_with_nothing_in_common_fails(tmp_path):
    row = {"chosen": "\n\nYes", "rejected": "\n\nNo"}
    with pytest.raises(CurateError, match="begin with nothing in common"):
        run(tmp_path, [row])


def test_pairs_whose_answers_become_equal_are_counted(tmp_path):
    rows = [
        {"prompt": "How?", "chosen": "Mail me", "rejected": "Mail me  "},
        {"prompt": "And?", "chosen": "Mail me", "rejected": "Mail us  "},
        {"prompt": "So? \nx", "chosen": "Same", "rejected": "Same"},  # they came so
        {"chosen": "Whole: yes", "rejected": "Whole: yes "},
    ]
    (facts,) = run(tmp_path, rows).manifest["stages"]
    assert facts["notes"] == ["whitespace 4 in 4 rows", "equal answers 2 rows"]


def test_a_pair_that_was_rewritten_is_cleaned_whole_too(tmp_path, monkeypatch):
    def better(self, rows, ctx):
        for id, messages in rows.select("id", "messages").iter_rows():
            turns = [messages[0], {"role": "assistant", "content": " no, for &amp; sure"}]
            yield Child((id,), turns, replaces=True)

    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"chosen": "Is it? Yes", "rejected": "Is it? no &amp; no"}) + "\n")
    clean = Clean.expand

    def either(self, rows, ctx):
        return (better if self.id == "better" else clean)(self, rows, ctx)

    monkeypatch.setattr(Clean, "expand", either)
    stages = [
        {"expand": "text.clean", "id": id, "with": {"regions": regions}}
        for id, regions in (("better", []), ("clean", ["US"]))  # not remembered for each other
    ]
    recipe = {"name": "t", "sources": {"s": {"path": str(file)}}, "pipeline": stages}
    (row,) = Version(run_recipe(recipe, out=tmp_path / "curated").path).frame().to_dicts()
    assert (row["chosen"], row["rejected"]) == ("Is it? no, for & sure", "Is it? no & no")


def test_a_prompt_that_no_turn_says_stays(tmp_path):
    pair = PAIRS[4] | {"prompt": "Said otherwise."}
    (row,) = run(tmp_path, [pair], rules=["email"]).frame().to_dicts()
    assert row["prompt"] == "Said otherwise."
    assert row["chosen"][-1]["content"] == "Yes."


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ({}, "needs messages or an error"),
        ({"counts": {"a": 1}, "replaces": True}, "needs messages or an error"),
        ({"messages": [user("a")], "rejected": [{"role": "user"}]}, "without role and content"),
        ({"messages": [user("a")], "rejected": [assistant("b")]}, "has a rejected answer"),
        (
            {"messages": [user("a")], "rejected": [assistant("b")], "replaces": True},
            "has a rejected answer",
        ),
    ],
)
def test_children_that_say_nothing_are_refused(tmp_path, monkeypatch, child, message):
    def broken(self, rows, ctx):
        yield Child((rows["id"][0],), **child)

    monkeypatch.setattr(Clean, "expand", broken)
    with pytest.raises(CurateError, match=message):
        run(tmp_path, [ROWS[0]])


@pytest.mark.parametrize(
    ("more", "speakers"),
    [
        ({"replaces": False}, "user assistant assistant"),
        ({"replaces": True}, "user assistant user"),
        ({"replaces": True}, "assistant assistant assistant"),
    ],
)
def test_rejected_answers_that_nothing_can_take_up_are_refused(
    tmp_path, monkeypatch, more, speakers
):
    def broken(self, rows, ctx):
        turns = [{"role": role, "content": "a"} for role in speakers.split()]
        yield Child((rows["id"][0],), turns[:2], rejected=turns[2:], **more)

    monkeypatch.setattr(Clean, "expand", broken)
    pair = {"prompt": "Not remembered.", "chosen": "a", "rejected": "b"}
    with pytest.raises(CurateError, match="has a rejected answer"):
        run(tmp_path, [pair])


README = (Path(__file__).parents[1] / "README.md").read_text()
SECTION = re.search(r"^## text\.clean\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)[1]


def first_cells(head):
    tables = re.findall(rf"^\| {head} .*?\n\n", SECTION, re.DOTALL | re.MULTILINE)
    return [cell for table in tables for cell in re.findall(r"^\| `([^`]+)` \|", table, re.M)]


def test_the_readme_names_every_rule_mark_and_parameter():
    assert first_cells("rule") == list(NAMES)
    assert first_cells("parameter") == list(CleanParams.model_fields)
    assert [f"<{kind.mark}-1>" for kind in REDACTIONS.values()] == re.findall(
        r"^\| `\w+` \| `(<\w+-1>)` \|", SECTION, re.M
    )
    (block,) = re.findall(r"^```yaml\n(.*?)^```", SECTION, re.DOTALL | re.M)
    for step in yaml.safe_load(block):
        CleanParams.model_validate(step.get("with", {}))


def test_what_is_left_in_code_is_said_of_rows_that_stay(tmp_path):
    row = {"instruction": "Mail.", "input": "", "output": f"```\n{ANN}\n```\n`{ANN}`"}
    rows = [row, row | {"output": row["output"] + f" {BOB}"}, ROWS[1]]
    for _ in range(2):  # remembered, too
        version = run(tmp_path, rows, rules=["email"])
        (facts,) = version.manifest["stages"]
        assert facts["notes"] == ["email 1 in 1 row", "email left in code 4 in 2 rows"]
        assert (facts["created"], facts["merged"]) == (1, 1)
        rows = [*rows, ROWS[2]]


def test_values_left_in_other_columns_are_counted(tmp_path):
    row = {"instruction": f"Mail {ANN}.", "input": "", "output": "Done."}
    rows = [
        row | {"text": f"### Instruction:\nMail {ANN}.", "note": None},
        row | {"text": "Mail ANN@corp.de.", "note": ANN},
        row | {"text": "Mail her.", "note": BOB},
        # what stands in code is counted as such
        row | {"output": f"`{ANN}`", "text": ANN, "note": "x"},
        ROWS[1] | {"text": ANN, "note": ANN},  # nothing was taken out
    ]
    for _ in range(2):  # remembered, too
        version = run(tmp_path, rows, rules=["email"])
        (facts,) = version.manifest["stages"]
        assert facts["notes"] == [
            "email 4 in 4 rows",
            "email left in code 1 in 1 row",
            "email left in column text in 2 rows",
            "email left in column note in 1 row",
        ]
        assert facts["counts"]["email.in.text"] == 2
        rows = [*rows, ROWS[2] | {"text": "", "note": ""}]
    pair = PAIRS[4] | {"prompt": f"Said otherwise: {ANN}"}
    (facts,) = run(tmp_path, [pair], rules=["email"]).manifest["stages"]
    assert "email left in column prompt in 1 row" in facts["notes"]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}")
@pytest.mark.parametrize("name", ["codealpaca_2k", "gpteacher_codegen", "alpaca_gpt4_nuggets_low"])
def test_real_rows_come_to_rest_and_code_still_parses(name):
    rests = parsed = 0
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            texts = [value for value in json.loads(line).values() if isinstance(value, str)]
            once = clean(texts, NAMES, regions=["US", "CN"]).texts
            assert clean(once, NAMES, regions=["US", "CN"]).texts == once
            rests += 1
            for before, after in zip(texts, once, strict=True):
                # a number that a phone has is an expression, too
                if before != after and after not in MARKS and _parses(before):
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
    monkeypatch.setitem(MENDS, "html", lambda text: (text[1:] + text[:1], 1))
    with pytest.raises(ValueError, match="does not come to rest"):
        clean(["ab"], ["html"])


def test_what_takes_many_rounds_comes_to_rest():
    assert clean(["<b>" * 30 + "x" + "</b>" * 30], ["tags"]) == (["x"], {"tags": 30}, {}, {})


REPEATED = (
    "1|1-|1.|+1 |4111 |a@|a.|a@b.|&amp;|&|<b>|<b>x|<p>|`|` |``` | |\t|sk-a|eyJaaaaaaaaaa.|f:|"
    "-----BEGIN PRIVATE KEY-----|phone: |\u200b|â€|\x80\x94|x(|if |<p>x|<p><br>|</p>|~~~|call "
)


@pytest.mark.parametrize("piece", REPEATED.split("|"))
def test_long_repetitions_come_to_an_end(piece):
    text = piece * (100_000 // len(piece))  # with a pattern that backtracks this takes hours
    once = clean([text], NAMES, regions=["US", "CN"])
    assert clean(once.texts, NAMES, regions=["US", "CN"])[:2] == (once.texts, {})
