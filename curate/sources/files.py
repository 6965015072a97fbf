"""From what a recipe writes as a path to files on this machine, with their content hashes.

Imports neither polars nor numpy: an up-to-date run needs this module.
"""

from __future__ import annotations

import atexit
import glob
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from curate.contract.parameters import Reference
from curate.errors import CurateError
from curate.recipe.model import Source
from curate.sources.hashes import file_sha256

TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
PACKED_SUFFIXES = (".gz", ".zst")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes:
        shown: As the recipe writes it; of a glob, each match in the same style.
        path: Where it can be read while this process lives; its suffix tells its kind.
        remote: Whether it came from elsewhere.
        bytes: Its size; of `dataset:` the size of its canonical rows.
        sha256: Hex hash of its content; of `dataset:` of its canonical rows.
        commit: The commit of the repository on the Hub that it came from.
        version: The published version (`name@v3`) whose file it is.
        digest: The digest of that version.
    """

    shown: str
    path: Path
    remote: bool
    bytes: int
    sha256: str
    commit: str | None = None
    version: str | None = None
    digest: str | None = None


def resolve_files(
    source: Source | Reference, beside: Path | None = None, out: Path | None = None
) -> list[SourceFile]:
    """Find, download and hash the files of a source or reference.

    Args:
        source: What the recipe says.
        beside: Folder of the recipe, to say so where a file stands there instead.
        out: Where published versions live; by default `curated`.

    Returns:
        Files in the recipe's order, the matches of a glob sorted by name.

    Raises:
        CurateError: Something is missing, cannot be read or has an unknown suffix.
    """
    if isinstance(source, Source) and source.version is not None:
        from curate.sources.published import ROOT, version_files

        return version_files(source.version, ROOT if out is None else out)
    if isinstance(source, Source) and source.path is None:
        return [_dataset(source)]
    assert source.path is not None, "a source has a path, a dataset or a version"
    specs = [source.path] if isinstance(source.path, str) else source.path
    files = [file for spec in specs for file in resolve_path(spec, beside)]
    for path, times in Counter(file.path.resolve() for file in files).items():
        if times > 1:
            shown = next(file.shown for file in files if file.path.resolve() == path)
            raise CurateError(
                f"{shown}: named {times} times in one source, so that its rows would be read again",
                "Name each file once.",
            )
    return files


def is_remote(source: Source | Reference) -> bool:
    """Whether reading a source may need the network."""
    if isinstance(source, Source) and source.dataset is not None:
        return not Path(source.dataset).is_dir()
    specs = [source.path] if isinstance(source.path, str) else source.path or []
    return any(_is_url(spec) for spec in specs)


def resolve_path(spec: str, beside: Path | None = None) -> list[SourceFile]:
    """Find the files that one path, glob or URL names; as `resolve_files`."""
    if spec.startswith("hf://"):
        from curate.sources.hub import hub_files

        return [local_file(shown, path, commit) for shown, path, commit in hub_files(spec)]
    if _is_url(spec):
        return [_downloaded(url) for url in _remote_matches(spec)]
    path = Path(spec).expanduser()
    if path.is_dir():
        raise _is_folder(spec, path)
    if path.exists():
        return [local_file(spec, path)]
    if not glob.has_magic(spec):
        raise _is_missing(spec, path, beside)
    pattern = os.path.expanduser(spec)
    matches = sorted(m for m in glob.glob(pattern, recursive=True) if Path(m).is_file())
    if not matches:
        raise CurateError(f"{spec}: no file matches", beside_hint(spec, beside, is_glob=True))
    return [local_file(match, Path(match)) for match in matches]


def artifact_file(spec: str, beside: Path | None = None) -> SourceFile:
    """A file of any kind on this machine, hashed.

    Raises:
        CurateError: It is missing or cannot be read.
    """
    path = Path(spec).expanduser()
    if not path.is_file():
        raise _is_missing(spec, path, beside)
    return _hashed(spec, path, None)


def local_file(shown: str, path: Path, commit: str | None = None) -> SourceFile:
    """A file of rows on this machine, hashed; `commit` where it was downloaded from the Hub."""
    suffix_of(path.name)
    return _hashed(shown, path, commit)


def _hashed(shown: str, path: Path, commit: str | None) -> SourceFile:
    try:
        sha256 = file_sha256(path)
    except OSError as error:
        raise CurateError(f"{shown}: cannot be read: {error.strerror}") from error
    size = path.stat().st_size
    return SourceFile(shown, path, commit is not None, size, sha256, commit)


def suffix_of(name: str) -> tuple[str, str]:
    """The kind of a file by its name or URL (`.jsonl`) and how it is compressed (`.gz`, or "").

    Raises:
        CurateError: The suffix is not supported.
    """
    path = urlsplit(name).path if _is_url(name) else name
    stem, suffix = os.path.splitext(path.lower())
    packed = ""
    if suffix in PACKED_SUFFIXES:
        packed = suffix
        suffix = os.path.splitext(stem)[1]
    if suffix in TEXT_SUFFIXES or (suffix == ".parquet" and not packed):
        return suffix, packed
    raise CurateError(
        f"{name}: files of type '{suffix + packed}' cannot be read",
        f"Supported: {', '.join(TEXT_SUFFIXES)}, also with {' or '.join(PACKED_SUFFIXES)}, "
        "and .parquet.",
    )


def _is_url(spec: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", spec) is not None


def _is_folder(spec: str, path: Path) -> CurateError:
    found: Counter[str] = Counter()
    for inside in sorted(path.iterdir()):
        try:
            found["".join(suffix_of(inside.name))] += inside.is_file()
        except CurateError:
            continue
    folder = spec.rstrip("/")
    globs = ", ".join(f"{folder}/*{suffix} ({n})" for suffix, n in found.most_common())
    return CurateError(
        f"{spec}: is a directory",
        f"Name its files with a glob: {globs}." if globs else "It holds no file that can be read.",
    )


def _is_missing(spec: str, path: Path, beside: Path | None) -> CurateError:
    hint = beside_hint(spec, beside, is_glob=False)
    if not hint and not path.parent.is_dir():
        hint = f"There is no folder {path.parent}; relative paths start at the working directory."
    elif not hint:
        siblings = [sibling.name for sibling in path.parent.iterdir()]
        close = get_close_matches(path.name, siblings, n=1)
        hint = f"Did you mean '{path.parent / close[0]}'?" if close else ""
    return CurateError(f"{spec}: no such file", hint)


def beside_hint(spec: str, beside: Path | None, *, is_glob: bool) -> str:
    """A remedy where what is missing stands beside the recipe; otherwise empty."""
    if beside is None or Path(spec).expanduser().is_absolute():
        return ""
    there = beside / spec
    if not (glob.glob(str(there), recursive=True) if is_glob else there.exists()):
        return ""
    return (
        "It stands beside the recipe, but relative paths start at the working directory: "
        f"write {os.path.relpath(there)}."
    )


def _remote_matches(spec: str) -> Sequence[str]:
    if "*" not in urlsplit(spec).path:
        return [spec]
    import fsspec

    try:
        filesystem, pattern = fsspec.core.url_to_fs(spec)
        matches = sorted(filesystem.glob(pattern))
    # Each file system has errors of its own; they are carried on in one message.
    except Exception as error:
        raise _unreachable(spec, error) from error
    if not matches:
        raise CurateError(f"{spec}: no file matches")
    return [filesystem.unstrip_protocol(match) for match in matches]


def _dataset(source: Source) -> SourceFile:
    from curate.sources.hub import dataset_file

    shown, path, commit, size, sha256 = dataset_file(source, _downloads())
    return SourceFile(shown, path, is_remote(source), size, sha256, commit)


@cache
def _downloads() -> Path:
    """A folder that is removed when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="curate-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _downloaded(url: str) -> SourceFile:
    import fsspec

    suffix = "".join(suffix_of(url))
    handle, name = tempfile.mkstemp(suffix, dir=_downloads())
    try:
        with os.fdopen(handle, "wb") as out, fsspec.open(url, "rb") as stream:
            while block := stream.read(1 << 20):
                out.write(block)
    # Each file system has errors of its own; they are carried on in one message.
    except Exception as error:
        raise _unreachable(url, error) from error
    path = Path(name)
    return SourceFile(url, path, True, path.stat().st_size, file_sha256(path))


def _unreachable(url: str, error: Exception) -> CurateError:
    what = str(error) or type(error).__name__
    if query := urlsplit(url).query:  # may hold a secret from the environment
        url, what = url.replace(query, "..."), what.replace(query, "...")
    if isinstance(error, ImportError):
        return CurateError(f"{url}: a package for such URLs is missing", what)
    if isinstance(error, FileNotFoundError):
        return CurateError(f"{url}: no such file")
    return CurateError(f"{url}: cannot be read: {what}")
