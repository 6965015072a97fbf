"""The journal of answers: an append-only log beside the memo's parts, one line an answer.

    memo/llm/answer-<key>/key.json            the endpoint's address and the model
    memo/llm/answer-<key>/log-<time>-<n>.jsonl    one file for each process that wrote
    memo/llm/answer-<key>/claims              empty: locks on what processes ask just now

A line is written and on disk before its answer is used, so that nothing received is paid for twice.
Each process appends to a file of its own and reads those of all others, also while they grow. What
a killed process or a write that failed left behind the last newline is no answer, and nothing is
written behind it: after such a write the process begins another file. Where two processes wrote the
same key, the older file counts.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None  # type: ignore[assignment]  # nobody is kept from anything there

from curate.answers import Answer, Call, Usage
from curate.errors import CurateError
from curate.memo.holding import hold
from curate.memo.keys import canonical, key_of

BEGINS = b'{"key":"'
"""What every line of the journal begins with."""


_LISTEN = 0.05  # seconds


def _locked(file: int, at: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
    except (BlockingIOError, PermissionError):  # systems differ in what they say
        return False
    return True


def answer_key(address: str, call: Call) -> str:
    """The key of an answer: 64 hex characters over who is asked, body, sample and re-ask."""
    parts = [address, call.body, call.sample, call.reask]
    return hashlib.sha256(canonical(parts)).hexdigest()


def print_of(key: str, answer: Answer) -> str:
    """An answer in a lock: 16 hex characters of its key, and 8 of a hash of what was answered."""
    said = hashlib.sha256(canonical([answer.text, answer.finish])).hexdigest()
    return key[:16] + said[:8]


def line_of(key: str, call: Call, answer: Answer) -> bytes:
    """A line of the journal, which `replay` reads too."""
    usage = answer.usage
    return orjson.dumps(
        {
            "key": key,
            "body": call.body,
            "sample": call.sample,
            "reask": call.reask,
            "answer": answer.text,
            "finish": answer.finish,
            "usage": [usage.prompt, usage.completion] if usage else None,
            "model": answer.model,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def answer_of(line: Mapping[str, Any]) -> Answer:
    """The answer that a line holds.

    Raises:
        KeyError, TypeError, ValueError: It holds none.
    """
    usage = line.get("usage")
    answer, finish = line["answer"], line.get("finish", "stop")
    if not isinstance(answer, str) or not isinstance(finish, str):
        raise TypeError("an answer is a text")
    return Answer(answer, finish, Usage(*usage) if usage else None, line.get("model", ""))


class Journal:
    """The answers of one model at one address. May be used from several threads.

    Args:
        folder: Of the memo.
        address: Who is asked.
        model: The model's name.
    """

    def __init__(self, folder: Path, address: str, model: str) -> None:
        self._components = {"address": address, "model": model}
        self._folder = folder / "llm" / f"answer-{key_of(self._components)}"
        self._lock = threading.Lock()
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._read: dict[Path, int] = {}
        self._own: int | None = None
        self._claimed: int | None = None
        self._held: int | None = None
        self._path = self._fresh()

    def find(self, key: str) -> Answer | None:
        """The answer of a key, if any process has received it.

        Raises:
            CurateError: A log cannot be read.
        """
        with self._lock:
            try:
                if self._held is None and self._folder.is_dir():
                    self._hold()
                if key not in self._places:
                    self._catch_up()
                place = self._places.get(key)
                if place is None:
                    return None
                path, start, length = place
                with path.open("rb") as log:
                    log.seek(start)
                    return answer_of(orjson.loads(log.read(length)))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> CurateError:
        return CurateError(
            f"The journal of answers in {self._folder} cannot be read: {error}",
            "Has something else written there, or emptied it?",
        )

    def prints(self) -> dict[str, str]:
        """All answers as a lock names them (see `print_of`), by the part that is of the key.

        Raises:
            CurateError: A log cannot be read.
        """
        if not self._folder.is_dir():
            return {}
        with self._lock:
            try:
                self._catch_up()
            except OSError as error:
                raise self._unreadable(error) from error
            keys = list(self._places)
        found = {key: self.find(key) for key in keys}
        return {key[:16]: print_of(key, answer) for key, answer in found.items() if answer}

    def add(self, key: str, call: Call, answer: Answer) -> None:
        """Write an answer down; it is on disk when this returns.

        Raises:
            CurateError: It cannot be written.
        """
        line = line_of(key, call, answer)
        with self._lock:
            try:
                if self._own is None:
                    self._open()
                assert self._own is not None
                written = 0
                while written < len(line):
                    written += os.write(self._own, line[written:])
                os.fsync(self._own)
                start = self._read.get(self._path, 0)
                self._places.setdefault(key, (self._path, start, len(line)))
                self._read[self._path] = start + len(line)
            except OSError as error:
                self._leave()
                raise CurateError(
                    f"The journal of answers in {self._folder} cannot be written: {error}",
                    "Make room or name another CURATE_HOME: an answer that is not written down "
                    "would be paid for again.",
                ) from error

    @contextmanager
    def claim(self, key: str, wait: Callable[[float], object]) -> Iterator[None]:
        """Keep other processes from asking the same; a process that ends gives up its claims.

        A claim is a lock on one byte of a file, at an offset made of the key. Where system or file
        system know no such locks, nobody is kept from anything: an answer may be paid for by two.

        Args:
            key: Of the answer.
            wait: Waits for seconds, while another has the claim; true where there is no time left.
        """
        if fcntl is None:
            yield
            return
        at = int(key[:15], 16)
        try:
            file = self._claims()
            while not _locked(file, at):
                if wait(_LISTEN):
                    break
        except OSError:
            file = None
        try:
            yield
        finally:
            if file is not None:
                with suppress(OSError):
                    fcntl.lockf(file, fcntl.LOCK_UN, 1, at)

    def _claims(self) -> int:
        with self._lock:
            if self._claimed is None:
                self._hold()
                self._folder.mkdir(parents=True, exist_ok=True)
                self._claimed = os.open(self._folder / "claims", os.O_RDWR | os.O_CREAT, 0o666)
            return self._claimed

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            if self._claimed is not None:
                os.close(self._claimed)
                self._claimed = None
            if self._own is not None:
                os.close(self._own)
                self._own = None
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def _hold(self) -> None:
        """Keep `curate gc` from removing journals, and note that this one is used."""
        if self._held is None:
            self._held = hold(self._folder.parent)
            with suppress(OSError):  # nothing was written yet
                os.utime(self._folder / "key.json")

    def _fresh(self) -> Path:
        return self._folder / f"log-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"

    def _leave(self) -> None:
        """Write to another file from now on: this one may end in a part of a line."""
        own, self._own = self._own, None
        self._path = self._fresh()
        if own is not None:
            with suppress(OSError):  # what it would say was said by the write
                os.close(own)

    def _open(self) -> None:
        from curate.memo.store import write_aside

        self._hold()
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "key.json").exists():
            write_aside(self._folder / "key.json", canonical(self._components))
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)  # on Windows
        self._own = os.open(self._path, how, 0o666)

    def _catch_up(self) -> None:
        """Look at what was written since the last time, by anyone."""
        for path in sorted(self._folder.glob("log-*.jsonl")):
            start = self._read.get(path, 0)
            if path.stat().st_size == start:
                continue
            with path.open("rb") as log:
                log.seek(start)
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # its process is writing it, or was killed
                    self._note(path, start, line)
                    start += len(line)
            self._read[path] = start

    def _note(self, path: Path, start: int, line: bytes) -> None:
        try:
            found = orjson.loads(line)
            key = found["key"]
            answer_of(found)
        except (ValueError, KeyError, TypeError):
            return  # torn: a disk that was full, or a machine that lost its power
        self._places.setdefault(key, (path, start, len(line)))
