from __future__ import annotations

import datetime
import gzip
import io

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

GOOD = "instruction,output\na,b\n"


def test_csv_rows_are_text_numbered_by_the_line_they_start_on(loaded):
    content = '\ufeffinstruction,output,n\r\n"two\r\nlines",b,1\r\n\r\n"say ""hi""",,\r\n'
    rows = loaded("a.csv", content).rows
    assert rows.select("instruction", "output", "n", "@line").rows() == [
        ("two\r\nlines", "b", "1", 2),
        ('say "hi"', "", "", 5),
    ]


def test_tsv(loaded):
    assert loaded("a.tsv", "instruction\toutput\na,b\tc\n").rows["instruction"].to_list() == ["a,b"]


def test_long_cells(loaded):
    long = "x" * 10_000_000
    assert loaded("a.csv", f"instruction,output\n{long},b\n").rows["instruction"][0] == long


def test_broken_csv_rows_are_set_aside(loaded):
    content = GOOD.encode() + b'1,2,3\n"x"y,2\n\xff,b\nc,d\n'
    made = loaded("a.csv", content, on_failure={"set_aside": 3})
    assert [(row.line, row.error) for row in made.unreadable] == [
        (3, "3 values for 2 columns"),
        (4, "not valid CSV: ',' expected after '\"'"),
        (5, "not UTF-8"),
    ]
    assert made.rows["@line"].to_list() == [2, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + "1\n", "a.csv:3: 1 values for 2 columns"),
        (GOOD + 'a,"b\nc,d\n', "a.csv:3: a quote that opens in this row is never closed"),
        ("a,a\n1,2\n", "a.csv:1: two columns are named 'a'"),
        ("a,,c\n1,2,3\n", "a.csv:1: column 2 has no name"),
        (b"a,\xff\n1,2\n", "a.csv:1: the header is not UTF-8"),
        ("instruction,output\n", "a.csv: holds no rows"),
        ("", "a.csv: holds no rows"),
    ],
)
def test_csv_that_cannot_be_read(refused, content, message):
    assert message in refused("a.csv", content)


def test_unclosed_quote_is_not_a_row_to_set_aside(refused):
    content = GOOD + 'a,"b\n' + "c,d\n" * 10
    assert "never closed" in refused("a.csv", content, on_failure={"set_aside": 5})


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_parquet_keeps_types(loaded):
    table = pa.table(
        {
            "instruction": ["a", None, "c"],
            "output": ["b"] * 3,
            "day": [datetime.date(2020, 1, 2)] * 3,
            "small": pa.array([1, 2, 3], pa.int32()),
            "vector": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32(), 2)),
            "word": pa.array(["x", "y", "x"]).dictionary_encode(),
        }
    )
    made = loaded("a.parquet", parquet(table), on_failure={"set_aside": 1})
    rows = made.rows.select("day", "small", "vector", "word", "@line")
    assert rows.schema == {
        "day": pl.Date,
        "small": pl.Int32,
        "vector": pl.Array(pl.Float32, 2),
        "word": pl.String,
        "@line": pl.Int64,
    }
    assert rows["small"].to_list() == [1, 3]
    assert [(row.line, row.error) for row in made.unreadable] == [(2, "instruction is null")]


def test_parquet_and_json_lines_give_the_same_ids(loaded):
    table = pa.table(
        {
            "instruction": ["a", "b"],
            "output": ["x", "y"],
            "n": [1.0, 2.5],
            "none": pa.array([None, None], pa.string()),
            "object": pa.array([{"k": None, "l": [1]}, None]),
        }
    )
    lines = (
        '{"object": {"l": [1]}, "n": 1, "output": "x", "instruction": "a"}\n'
        '{"instruction": "b", "output": "y", "n": 2.5, "object": {}}\n'
    )
    one = loaded("a.parquet", parquet(table)).rows
    two = loaded("a.jsonl", lines).rows
    assert one["id"].to_list() == two["id"].to_list()
    assert one["n"].to_list() == two["n"].to_list()


def test_types_as_text_in_parquet(loaded):
    table = pa.table(
        {
            "instruction": [1],
            "output": ["b"],
            "day": [datetime.date(2020, 1, 2)],
            "o": [{"k": None}],
        }
    )
    types = {"instruction": "string", "day": "string", "o": "json"}
    rows = loaded("a.parquet", parquet(table), types=types).rows
    assert rows.select("instruction", "day", "o").row(0) == ("1", "2020-01-02", "{}")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 20 + b"PAR1"])
def test_damaged_parquet(refused, content):
    assert refused("a.parquet", content).startswith("a.parquet: cannot be read")


def test_parquet_without_rows(refused):
    table = pa.table(
        {"instruction": pa.array([], pa.string()), "output": pa.array([], pa.string())}
    )
    assert "holds no rows" in refused("a.parquet", parquet(table))


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


PACKED = {".gz": gzip.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_compressed_files(loaded, name, suffix):
    content = GOOD if name == "a.csv" else '{"instruction": "a", "output": "b"}\n' * 2
    plain = loaded(name, content).rows.drop("@file")
    assert loaded(name + suffix, PACKED[suffix](content.encode())).rows.drop("@file").equals(plain)


def test_compressed_in_several_parts(loaded):
    row = b'{"instruction": "a", "output": "b"}\n'
    assert len(loaded("a.jsonl.gz", gzip.compress(row) * 2).rows) == 2


@pytest.mark.parametrize("suffix", PACKED)
def test_damaged_compressed_files(refused, suffix):
    packed = PACKED[suffix](b'{"instruction": "a", "output": "b"}\n' * 5000)
    for content in (packed[:-12], b"no such thing"):
        assert f"a.jsonl{suffix}: cannot be read" in refused(f"a.jsonl{suffix}", content)
