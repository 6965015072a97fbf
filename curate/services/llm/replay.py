"""The backend `replay`: answers recorded before, for tests and demonstrations.

A file of JSON lines. Each is a line of the journal (so the logs of a run are a recording), or
written by hand, with at least the question and the answer:

    {"messages": [{"role": "user", "content": "..."}], "answer": "..."}
    {"prompt": "...", "answer": "...", "sample": 1, "model": "..."}
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import orjson

from curate.answers import Answer, AnswerError, Backend, BackendKind, Call
from curate.asking import LlmSettings
from curate.contract.context import ModelFiles
from curate.errors import CurateError
from curate.hookspecs import hookimpl
from curate.memo.answers import BEGINS, answer_of
from curate.memo.keys import canonical
from curate.printing import counted
from curate.services.llm.bodies import turns_of

CURATE_API = 1

_SHOWN = 60


class Replay:
    """See `curate.answers.Backend`. Answers are found by messages, sample and re-ask.

    A line that names a model is for requests to that model only. The other settings of a request
    matter where lines of the journal answer the same messages at several: then the one of the same
    request counts, if there is one. Of several such lines the first counts.
    """

    kind: ClassVar[BackendKind] = "record"

    def __init__(self, settings: LlmSettings, files: ModelFiles | None) -> None:  # noqa: ARG002 - the interface
        if settings.answers is None:
            raise CurateError(
                "`backend: replay` needs the file of recorded answers.", "Name it: `answers: PATH`."
            )
        self._path = Path(settings.answers)
        try:
            self._content = self._path.read_bytes()
        except OSError as error:
            raise CurateError(
                f"The recorded answers '{settings.answers}' cannot be read: {error.strerror}.",
                "Paths start at the working directory.",
            ) from error
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] | None = None

    @property
    def address(self) -> str:
        """The hash of the file: another recording is another endpoint."""
        return f"replay:{hashlib.sha256(self._content).hexdigest()}"

    def send(self, call: Call) -> Answer:
        """See `curate.answers.Backend`.

        Raises:
            AnswerError: The recording holds no answer to this request.
            CurateError: A line of it cannot be read.
        """
        with self._lock:
            if self._answers is None:
                self._answers = self._index()
        turns = call.body["messages"]
        of = (call.sample, call.reask)
        for key in (
            _key(call.body, *of),
            *(_key([model, turns], *of) for model in (call.body["model"], None)),
        ):
            found = self._answers.get(key)
            if found is not None:
                return found
        said = " ".join(turns[-1]["content"].split())
        said = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
        raise AnswerError(
            f"{self._path} holds no answer of {call.body['model']} to the "
            f'{counted(len(turns), "turn")} ending in "{said}" '
            f"(sample {call.sample}, re-ask {call.reask})"
        )

    def close(self) -> None:
        """See `curate.answers.Backend`."""

    def _index(self) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        lines = self._content.split(b"\n")
        for number, raw in enumerate(lines, 1):
            text = _whole(raw, last=number == len(lines))
            if not text:
                continue
            try:
                line = orjson.loads(text)
                keys, answer = _keys(line), answer_of(line)
            except (ValueError, KeyError, TypeError) as error:
                raise CurateError(
                    f"{self._path}:{number}: this is no recorded answer: {error!r}.",
                    'A line holds at least "messages" (or "prompt") and "answer".',
                ) from error
            for key in keys:
                first = found.setdefault(key, answer)
            if "body" not in line and first.text != answer.text:
                raise CurateError(
                    f"{self._path}:{number}: there is another answer to the same request above.",
                    'Number several answers to one request: "sample": 0, 1, ...',
                )
        return found


def _whole(line: bytes, *, last: bool) -> bytes:
    """A line without what a killed writer left of one of the journal's; nothing if that is all.

    Logs that were put together have such a piece before the first line of the next, or at the end.
    """
    line = line.strip(b"\0 \t\r")
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        at = line.rfind(BEGINS)  # never within a text: there the quotes are escaped
        if at > 0:
            return _whole(line[at:], last=last)
        return b"" if at == 0 or (last and BEGINS.startswith(line)) else line
    return line


def _keys(line: Mapping[str, Any]) -> list[str]:
    """Under what a line is found: its whole request, if it holds one, and its messages."""
    body = line.get("body", line)
    of = (line.get("sample", 0), line.get("reask", 0))
    turns = turns_of(body["messages"] if "messages" in body else body["prompt"])
    keys = [_key([body.get("model"), turns], *of)]
    return [_key(body, *of), *keys] if "body" in line else keys


def _key(asked: object, sample: int, reask: int) -> str:
    return hashlib.sha256(canonical([asked, sample, reask])).hexdigest()


@hookimpl
def register_llms(register: Callable[[type[Backend]], None]) -> None:
    """Offer the backend."""
    register(Replay)
