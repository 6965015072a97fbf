"""What comes from the Hugging Face Hub, or through `datasets` from a local folder.

Needs the extra `hub`; its libraries are imported when a recipe asks for them.
"""

from __future__ import annotations

import glob
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.sources.files import SourceFile

_URL = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<file>.+)")
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


class NamedDataset(Protocol):
    """What says which data set is meant."""

    @property
    def dataset(self) -> str | None:
        """`owner/name` on the Hub, or a local folder."""
        ...

    @property
    def split(self) -> str | None:
        """The split; None if there is only one."""
        ...

    @property
    def revision(self) -> str | None:
        """A branch, tag or commit of a repository on the Hub."""
        ...


def repositories(files: Iterable[SourceFile]) -> dict[str, str | None]:
    """The data sets on the Hub that files came from, each with the commit; none for other files.

    A name that the recipe takes from the environment is not among them.
    """
    found = {}
    for file in files:
        if not file.remote:
            continue
        url = _URL.fullmatch(file.shown)
        name = url["repo"] if url else file.shown.partition("@")[0]
        if _REPO.fullmatch(name):
            found[name] = file.commit
    return found


def hub_files(url: str) -> list[tuple[str, Path, str]]:
    """Files of a data set's repository: how each is shown, where it is now, its commit.

    Args:
        url: `hf://datasets/owner/name[@revision]/file`; the file may be a glob.

    Raises:
        CurateError: The repository or file cannot be reached, or is not in the cache offline.
    """
    parts = _URL.fullmatch(url)
    if parts is None:
        raise CurateError(
            f"{url}: not the address of a file of a data set",
            "Write hf://datasets/owner/name/file, with @revision after the name if one is meant.",
        )
    with _explained(parts["repo"]):
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(
                parts["repo"],
                repo_type="dataset",
                revision=parts["revision"],
                allow_patterns=[parts["file"]],
            )
        )
    # The folder of a snapshot in the cache is named by its commit.
    prefix = url.removesuffix(parts["file"])
    names = sorted(glob.glob(parts["file"], root_dir=folder, recursive=True))
    found = [name for name in names if (folder / name).is_file()]
    if not found:
        raise CurateError(f"{url}: the data set {parts['repo']} has no such file")
    return [(prefix + name, folder / name, folder.name) for name in found]


def dataset_file(source: NamedDataset, folder: Path) -> tuple[str, Path, str | None, int, str]:
    """Read a split of a data set and write it to a parquet file.

    Args:
        source: Which data set.
        folder: Where the file may be written.

    Returns:
        How it is shown (`owner/name@commit`), the file, the commit, and the size and sha256 of
        its rows in canonical form.

    Raises:
        CurateError: It cannot be reached, is not in the cache offline, or has several splits.
    """
    name = source.dataset or ""
    is_local = Path(name).is_dir()
    commit = None if is_local else _commit(name, source.revision)
    with _explained(name):
        import datasets

        # A folder that was built anew would be served from the cache of the old one.
        cache = tempfile.mkdtemp(dir=folder) if is_local else None
        with _quiet(datasets):
            found = datasets.load_dataset(
                name, split=source.split, revision=commit or source.revision, cache_dir=cache
            )
    if isinstance(found, dict):
        if len(found) > 1:
            raise CurateError(
                f"{name}: has the splits {', '.join(found)}", "Say which: `split: ...`."
            )
        found = next(iter(found.values()))
    path = Path(tempfile.mkdtemp(dir=folder)) / "rows.parquet"
    with _quiet(datasets):
        found.to_parquet(str(path))
    size, sha256 = _content(path)
    return (f"{name}@{commit}" if commit else name), path, commit, size, sha256


def _content(path: Path) -> tuple[int, str]:
    from curate.examples import canonical
    from curate.sources.kinds import parquet
    from curate.sources.kinds.batch import BadRow

    size, digest = 0, hashlib.sha256()
    for batch in parquet.read(path, path.name):
        for row in batch.rows:
            assert not isinstance(row, BadRow), "parquet has no rows that cannot be parsed"
            line = canonical(row) + b"\n"
            size += len(line)
            digest.update(line)
    return size, digest.hexdigest()


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that a revision stands for now; None offline, where the cache decides."""
    with _explained(name):
        from huggingface_hub import HfApi, constants

        if constants.HF_HUB_OFFLINE:
            return None
        return HfApi().dataset_info(name, revision=revision).sha


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the libraries of the Hub raise into one message that names the data set."""
    try:
        yield
    except ImportError as error:
        raise CurateError(
            f"{name}: data sets need a package that is not installed ({error.name})",
            "pip install 'curate-data[hub]'",
        ) from error
    except ValueError as error:
        raise CurateError(f"{name}: {error}") from error
    # The Hub's libraries raise errors of several others; all are carried on in one message.
    except Exception as error:
        what = str(error).strip().splitlines() or [type(error).__name__]
        raise CurateError(
            f"the data set {name} cannot be read: {what[0]}",
            _remedy(),
        ) from error


def _remedy() -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so that only what the cache holds can be used."
    return "Check the name, the revision, the network and, for private data, `hf auth login`."


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the progress bars of `datasets`."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
