"""Whether a version is what it was when it was published, and in agreement with itself.

Two questions, asked apart. The files: SHA256SUMS names every file and its hash, so that a byte that
differs, a file that is missing and one that was added are found; `run` prints the hash of
SHA256SUMS itself, which stands for all of them. The content: the manifest holds the hashes of the
other files, the card that of the manifest, and books, ledger, rows, scores, lock and card say the
same, so that an edit is found although its sum was renewed. What was renewed everywhere,
consistently, only that one hash shows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import CurateError, UsageError
from curate.printing import one_line
from curate.sources.hashes import sha256_of
from curate.sources.published import SUMS, sums_in

__all__ = ["CARD", "DROPPED", "SUMS", "Finding", "Verified", "sums_of", "verify"]

CARD = "README.md"
DROPPED = "dropped.parquet"
GONE = "is missing"
_BESIDE = re.compile(
    r"\.gitattributes|charts/[\w.-]+\.png"
    r"|\.cache/huggingface/(\.gitignore|CACHEDIR\.TAG|(download|upload)/.+\.(metadata|lock))"
)
"""In a copy of a repository: what the Hub, `push` and the Hub's client put beside a version."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was published: the file, what was expected, what is there."""

    file: str
    problem: str

    def __str__(self) -> str:
        return one_line(f"{self.file}: {self.problem}")


@dataclass(frozen=True)
class Verified:
    """What the verification of a version came to.

    Attributes:
        path: Its folder.
        name: `NAME@v3`, as its manifest says; the folder where that cannot be read.
        sums: Hex sha256 of SHA256SUMS, which stands for all files; empty where there is none.
        digest: As the manifest says, and recomputed unless there is a finding about it.
        files: Files that are as SHA256SUMS says.
        books: Rows by fate, as the manifest says.
        findings: Everything that is wrong.
        notes: What is worth knowing and not wrong.
    """

    path: Path
    name: str
    sums: str
    digest: str
    files: int
    books: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(
    folder: Path,
    sha256: str | None = None,
    *,
    ignore: Collection[str] = (),
    pushed: bool = False,
) -> Verified:
    """Verify the folder of a version. Nothing in it is changed.

    Args:
        folder: The version.
        sha256: The hash of SHA256SUMS that is known from elsewhere; None: not compared.
        ignore: Files, relative to the folder, that others added and that are not looked at.
        pushed: The folder is a copy of a repository: `dropped.parquet` may have been left out, of
            README.md only what curate wrote counts, which is to be the version's own README, and
            `.gitattributes`, the pictures in `charts/` and the notes of the Hub's client do not.

    Raises:
        UsageError: `sha256` is none.
        CurateError: There is no such folder.
    """
    sha256 = None if sha256 is None else sha256.strip().lower()
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise UsageError(
            f"'{one_line(sha256)}' is no sha256, which has 64 hexadecimal digits.",
            "Write all of what the run printed after 'sums'.",
        )
    if not folder.is_dir():
        raise CurateError(f"{folder} is no folder of a version.")
    known = sums_of(folder)
    findings: list[Finding] = []
    notes: list[str] = []
    if sha256 is not None and known and known != sha256:
        findings.append(Finding(SUMS, f"its sha256 is {known}, expected {sha256}"))
    if known:
        listed, problems = sums_in((folder / SUMS).read_bytes())
        findings += [Finding(SUMS, problem) for problem in problems]
    else:
        listed = {}
        findings.append(Finding(SUMS, f"{GONE}: nothing says what the files were"))
    files = plain_files(folder)
    if known:
        findings += compared(folder, listed, files, ignore=ignore, pushed=pushed)
    fine = sum(files.get(name) == sum_ for name, sum_ in listed.items())
    if pushed and DROPPED in listed and DROPPED not in files:
        notes.append(f"{DROPPED} was left out of this copy; the rows in it were not compared.")

    from curate.versions.agreement.compare import compare

    parts = compare(folder, listed or files, files.keys(), pushed=pushed)
    named = {finding.file for finding in findings}
    content = [f for f in parts.findings if f.problem != GONE or f.file not in named]
    name = f"{parts.named('name')}@{parts.named('version')}"
    return Verified(
        folder,
        str(folder) if name == "@" else name,
        known,
        parts.named("digest"),
        fine,
        parts.books,
        (*findings, *content),
        tuple(one_line(note) for note in (*notes, *parts.notes)),
    )


def sums_of(folder: Path) -> str:
    """Hex sha256 of a version's SHA256SUMS, which stands for all its files; empty without one."""
    file = folder / SUMS
    return sha256_of(file) if file.is_file() and not file.is_symlink() else ""


def plain_files(folder: Path) -> dict[str, str]:
    """Every plain file in a folder, wherever it lies in it > hex sha256; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def compared(
    folder: Path,
    listed: Mapping[str, str],
    files: Mapping[str, str],
    *,
    ignore: Collection[str] = (),
    pushed: bool = False,
) -> list[Finding]:
    """In what the files of a version are not as its SHA256SUMS says.

    Args:
        folder: The version.
        listed: What SHA256SUMS says: name > hex sha256.
        files: The plain files that are there > hex sha256.
        ignore: As in `verify`.
        pushed: As in `verify`.
    """
    findings = []
    there = {
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
    for name, expected in listed.items():
        if name not in there:
            if not (pushed and name == DROPPED):
                findings.append(Finding(name, f"{GONE}; {SUMS} names it"))
        elif name not in files:
            findings.append(Finding(name, "is a link or no plain file, expected a file"))
        # others write in a README that was pushed, too: its parts are compared
        elif files[name] != expected and not (pushed and name == CARD):
            findings.append(Finding(name, f"its sha256 is {files[name]}, {SUMS} says {expected}"))
    findings += [
        Finding(name, f"was added: {SUMS} does not name it")
        for name in sorted(there - {*listed, SUMS, *ignore})
        if not (pushed and _BESIDE.fullmatch(name))
    ]
    return findings
