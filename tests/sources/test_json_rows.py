from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sources.kinds import jsonl
from curate.sources.kinds.batch import BadRow

GOOD = '{"instruction": "a", "output": "b"}\n'


def lines_of(loaded):
    return loaded.rows["@line"].to_list()


def test_blank_lines_count_and_are_skipped(loaded):
    assert lines_of(loaded("a.jsonl", f"{GOOD}\n  \n{GOOD}")) == [1, 4]


def test_crlf_and_bom_change_nothing(loaded):
    plain = loaded("plain.jsonl", GOOD * 2)
    windows = loaded("windows.jsonl", b"\xef\xbb\xbf" + (GOOD * 2).replace("\n", "\r\n").encode())
    assert windows.rows.drop("@file").equals(plain.rows.drop("@file"))


def test_last_line_without_end(loaded):
    assert lines_of(loaded("a.jsonl", GOOD + GOOD.strip())) == [1, 2]


def test_row_of_ten_megabytes(loaded):
    long = "x" * 10_000_000
    rows = loaded("a.jsonl", GOOD + json.dumps({"instruction": long, "output": "b"})).rows
    assert rows["@instruction"].to_list() == ["a", long]


def test_empty_strings_stay_and_are_counted(loaded):
    made = loaded("a.jsonl", '{"instruction": "", "input": "", "output": ""}')
    assert made.rows.select("instruction", "input", "output").row(0) == ("", "", "")
    assert made.facts == {"empty_instruction": 1, "empty_response": 1, "unread_turns": 0}


def test_text_stays_to_the_byte(loaded):
    text = "\u2028 \x00 \ud83d\ude00 \t é é \\u0041".encode("utf-16", "surrogatepass").decode(
        "utf-16"
    )
    row = {"instruction": text, "output": "b"}
    rows = loaded("a.jsonl", orjson.dumps(row)).rows
    assert rows["instruction"].to_list() == [text]


BROKEN = {
    b'{"instruction": "\xff"}': ("not UTF-8 at byte 18", "UTF-8"),
    b'{"instruction": "a", "instruction": "b", "output": "c"}': ("'instruction' stands twice", ""),
    b'{"instruction": "a", "m": {"k": 1, "k" : 2}, "output": "c"}': ("'k' stands twice", ""),
    b'{"instruction": "a", "m": [{"k": 1, "k": 1}], "output": "c"}': ("'k' stands twice", ""),
    b"[1, 2]": ("not a JSON object", ""),
    b'"text"': ("not a JSON object", ""),
    b'{"instruction": "a", "output": "b", "n": NaN}': ("NaN is no JSON value", "Write null"),
    b'{"instruction": "a", "output": "b", "n": -Infinity}': ("-Infinity is no JSON", "Write null"),
    b'{"instruction": "a", "output": "b",}': ("not valid JSON at column 35", ""),
    b'{"instruction": "a", "output': ("not valid JSON at column", ""),
    b'{"instruction": "\\ud800", "output": "b"}': ("not valid JSON", ""),
    b'{"instruction": "a", "output": "b", "x": %s}' % (b"[" * 300 + b"]" * 300): (
        "levels deep",
        "",
    ),
    b'{"instruction": "a", "output": "b", "x": %s}' % (b"[" * 9999 + b"]" * 9999): ("depth", ""),
    b'{"instruction": null, "output": "b"}': ("instruction is null", ""),
    b'{"output": "b"}': ("instruction is missing", ""),
    b'{"instruction": "a", "output": null}': ("output is null", ""),
    b'{"instruction": 1, "output": "b"}': ("instruction is a number, not text", "types: {inst"),
    b'{"instruction": "a", "output": ["b"]}': ("output is a list, not text", "types: {output"),
    b'{"instruction": "a", "input": true, "output": "b"}': ("input is true or false", "types"),
}


@pytest.mark.parametrize("line", BROKEN, ids=range(len(BROKEN)))
def test_broken_row_stops_with_place_and_remedy(refused, line):
    what, remedy = BROKEN[line]
    message = refused("a.jsonl", GOOD.encode() + line)
    assert message.startswith("a.jsonl:2: ")
    assert what in message
    assert remedy in message
    assert "on_failure: {set_aside: N}" in message


def test_broken_rows_are_set_aside_and_reported(loaded):
    content = GOOD.encode() + b"\n".join(BROKEN) + b"\n" + GOOD.encode()
    made = loaded("a.jsonl", content, on_failure={"set_aside": len(BROKEN)})
    assert lines_of(made) == [1, len(BROKEN) + 2]
    assert [row.line for row in made.unreadable] == list(range(2, len(BROKEN) + 2))
    assert all(row.file == "a.jsonl" for row in made.unreadable)
    ids = [*made.rows["id"], *(row.id for row in made.unreadable)]
    assert len(set(ids)) == len(BROKEN) + 2


def test_more_broken_rows_than_allowed(refused):
    content = GOOD + "{\n" * 4
    message = refused("a.jsonl", content, on_failure={"set_aside": 3})
    assert message.startswith("4 of 5 rows cannot be read, more than the 3")
    assert "a.jsonl:2: not valid JSON" in message
    assert "a.jsonl:5" not in message


def test_share_of_rows_is_rounded_down(loaded, refused):
    content = GOOD * 98 + "{\n"
    assert "more than the 1" in refused(
        "a.jsonl", content + "{\n", on_failure={"set_aside": "1.9%"}
    )
    assert len(loaded("a.jsonl", content, on_failure={"set_aside": "1.9%"}).unreadable) == 1
    assert "more than the 0" in refused("a.jsonl", content, on_failure={"set_aside": "1%"})


def test_nothing_but_broken_rows(refused):
    content = "{\n{\n"
    assert "no row can be read" in refused("a.jsonl", content, on_failure={"set_aside": 2})


def test_ids_of_broken_rows_do_not_depend_on_their_place(loaded):
    rule = {"set_aside": 1}
    one = loaded("a.jsonl", GOOD + "{x\n", on_failure=rule).unreadable[0]
    two = loaded("b.jsonl", "{x\r\n" + GOOD, on_failure=rule).unreadable[0]
    assert (one.id, one.line, two.line) == (two.id, 2, 1)


def test_errors_hold_no_control_characters_and_are_short(loaded):
    hostile = "\x1b[31m" + "x" * 1000
    row = {"messages": [{"role": hostile, "content": "a"}]}
    good = {"messages": [{"role": "user", "content": "a"}]}
    content = orjson.dumps(row) + b"\n" + orjson.dumps(good)
    error = loaded("a.jsonl", content, on_failure={"set_aside": 1}).unreadable[0].error
    assert error.isprintable()
    assert len(error) < 100


JSON = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('":\\ a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('":\\ a', max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text('":\\ a', max_size=2), JSON), max_size=4),
    st.sampled_from([":", " :", "\t : "]),
)
def test_repeated_keys_are_found_exactly(pairs, colon):
    body = ", ".join(f"{json.dumps(key)}{colon}{json.dumps(value)}" for key, value in pairs)
    parsed = jsonl.parse_object(f"{{{body}}}".encode())
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        assert isinstance(parsed, BadRow)
        assert "stands twice" in parsed.error
    else:
        assert parsed == dict(pairs)


def test_json_array_is_numbered_by_row(loaded):
    made = loaded("a.json", f"[{GOOD},\n\n{GOOD}]")
    assert lines_of(made) == [1, 2]


def test_json_file_of_lines(loaded):
    assert lines_of(loaded("a.json", f"\n{GOOD}{GOOD}")) == [2, 3]


def test_json_array_finds_repeated_keys_by_row(loaded):
    content = f'[{GOOD}, {{"instruction": "a", "output": "b", "output": "c"}}, 3, {GOOD}]'
    made = loaded("a.json", content, on_failure={"set_aside": 2})
    assert [(row.line, row.error) for row in made.unreadable] == [
        (2, "the key 'output' stands twice in one object"),
        (3, "the row is not a JSON object"),
    ]
    assert lines_of(made) == [1, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [{"instruction": "a"}]}', "save that list alone"),
        ('{\n"instruction": "a"}', "Write [...] around it"),
        ('[{"instruction": "a"},]', "a.json:1: not valid JSON at column 22"),
        ('[\n{"instruction": "a}\n]', "a.json:2: not valid JSON"),
        (b'[\n{"instruction": "\xff"}]', "a.json:2: not UTF-8 at byte 20"),
        ('[{"instruction": %s}]' % ("[" * 1000 + "]" * 1000), "nested too deeply"),
        ("[]", "holds no rows"),
        ("3", "not a JSON object"),
    ],
)
def test_json_file_that_cannot_be_read(refused, content, message):
    assert message in refused("a.json", content)
