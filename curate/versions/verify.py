"""Whether a version is what it was when it was published, and in agreement with itself.

Two questions, asked apart. The files: SHA256SUMS names every file and its hash, so that a byte that
differs, a file that is missing and one that was added are found; `run` prints the hash of
SHA256SUMS itself, which stands for all of them. The content: books, ledger, rows, scores, lock and
card say the same, so that an edit is found although its sum was renewed. What was renewed
everywhere, consistently, only that one hash shows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from curate.errors import CurateError
from curate.versions.text import one_line

SUMS = "SHA256SUMS"
CARD = "README.md"
DROPPED = "dropped.parquet"
GONE = "is missing"
_BESIDE = re.compile(
    r"\.gitattributes|charts/[\w.-]+\.png"
    r"|\.cache/huggingface/(\.gitignore|CACHEDIR\.TAG|(download|upload)/.+\.(metadata|lock))"
)
"""In a copy of a repository: what the Hub, `push` and the Hub's client put beside a version."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


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
        CurateError: There is no such folder.
    """
    if not folder.is_dir():
        raise CurateError(f"{folder} is no folder of a version.")
    known = sums_of(folder)
    findings: list[Finding] = []
    notes: list[str] = []
    if sha256 is not None and known and known != sha256.strip().lower():
        findings.append(Finding(SUMS, f"its sha256 is {known}, expected {sha256}"))
    if known:
        fine = _files(folder, ignore, pushed, findings, notes)
    else:
        fine = 0
        findings.append(Finding(SUMS, f"{GONE}: nothing says what the files were"))

    from curate.versions.agreement import Agreement

    agreement = Agreement(folder, pushed=pushed)
    agreement.check()
    gone = {finding.file for finding in findings if finding.problem.startswith(GONE)}
    content = [f for f in agreement.findings if f.problem != GONE or f.file not in gone]
    name = f"{agreement.named('name')}@{agreement.named('version')}"
    return Verified(
        folder,
        str(folder) if name == "@" else name,
        known,
        agreement.named("digest"),
        fine,
        agreement.books,
        (*findings, *content),
        (*notes, *agreement.notes),
    )


def sums_of(folder: Path) -> str:
    """Hex sha256 of a version's SHA256SUMS, which stands for all its files; empty without one."""
    try:
        return hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()
    except OSError:
        return ""


def _files(
    folder: Path,
    ignore: Collection[str],
    pushed: bool,
    findings: list[Finding],
    notes: list[str],
) -> int:
    """Compare every file with SHA256SUMS; returns how many are as it says."""
    listed = _listed(folder, findings)
    there = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
    fine = 0
    for name, expected in listed.items():
        path = there.pop(name, None)
        if path is None and pushed and name == DROPPED:
            notes.append(f"{DROPPED} was left out of this copy; the rows in it were not compared.")
        elif path is None:
            findings.append(Finding(name, f"{GONE}; {SUMS} names it"))
        elif path.is_symlink() or not path.is_file():
            findings.append(Finding(name, "is a link or no plain file, expected a file"))
        elif (found := _sha256(path)) == expected:
            fine += 1
        elif not (pushed and name == CARD):  # others write there too: its parts are compared
            findings.append(Finding(name, f"its sha256 is {found}, {SUMS} says {expected}"))
    findings += [
        Finding(name, f"was added: {SUMS} does not name it")
        for name in there
        if name != SUMS and name not in ignore and not (pushed and _BESIDE.fullmatch(name))
    ]
    return fine


def _listed(folder: Path, findings: list[Finding]) -> dict[str, str]:
    """Files and their sums, as SHA256SUMS names them."""
    listed: dict[str, str] = {}
    content = (folder / SUMS).read_bytes().decode("utf-8", "replace")
    *lines, rest = content.split("\n")
    if rest:
        findings.append(Finding(SUMS, f"does not end with a line: {rest!r}"))
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            findings.append(Finding(SUMS, f"line {number} is no sum and name of a file: {line!r}"))
            continue
        sum_, name = found.groups()
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name:
            findings.append(Finding(SUMS, f"line {number} names a file elsewhere: {name}"))
        elif name in listed:
            findings.append(Finding(SUMS, f"line {number} names {name} again"))
        else:
            listed[name] = sum_
    return listed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
