from pathlib import Path

from curate.sources.files import SourceFile
from curate.sources.hub import repositories


def file(shown, *, remote=True, commit="c" * 40):
    return SourceFile(shown, Path("x.parquet"), remote, 1, "ab" * 32, commit)


def test_only_data_sets_of_the_hub_are_named():
    files = [
        file("hf://datasets/tatsu-lab/alpaca/data/train.parquet"),
        file("hf://datasets/a/b@v2/deep/er/rows.jsonl", commit="d" * 40),
        file(f"owner/name@{'e' * 40}", commit="e" * 40),
        file("squad", commit=None),
        file("https://example.org/rows.jsonl", commit=None),
        file("s3://bucket/rows.jsonl", commit=None),
        file("hf://datasets/${OWNER}/b/rows.jsonl"),
        file("${NAME}", commit=None),
        file("local/folder", remote=False, commit=None),
        file("data/rows.jsonl", remote=False, commit=None),
    ]
    assert repositories(files) == {
        "tatsu-lab/alpaca": "c" * 40,
        "a/b": "d" * 40,
        "owner/name": "e" * 40,
        "squad": None,
    }
