"""The backend `openai`: any endpoint that speaks OpenAI's chat completions, by OpenAI's client.

The client sends each request once: what is sent again, and when, is decided outside of it, since
its own retries take a malformed answer for none. Keys come from the environment and go into the
header of requests; wherever words of a server or a client are repeated, they are taken out.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import orjson

from curate.answers import (
    Answer,
    AnswerError,
    Backend,
    BackendKind,
    Call,
    RefusedError,
    UnreceivedError,
    Usage,
)
from curate.asking import LlmSettings
from curate.contract.context import ModelFiles
from curate.errors import CurateError
from curate.hookspecs import hookimpl
from curate.services.llm.credentials import BASE, HEADERS, OPENAI, key_for, trusted

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

CURATE_API = 1

_AGAIN = {408, 409, 425, 429}
_UNDONE = {503, 529}
"""Statuses from 500 on of servers that are too busy to begin; after others nobody knows."""
_STOP = {401, 402, 403, 404}
_NEVER = {"model_not_found", "insufficient_quota", "invalid_api_key"}
"""Codes after which no other request would fare better, whatever the status."""
_SECRET, _SURELY = 8, 20
"""Characters of a secret, at least: in errors, and in answers, which are not to be changed for the
sake of a dummy such as `not-needed`."""
_VERSIONS = {"api-version", "version"}
"""Parameters of an address that are no secrets."""


class Endpoint:
    """See `curate.answers.Backend`."""

    kind: ClassVar[BackendKind] = "endpoint"

    def __init__(self, settings: LlmSettings, files: ModelFiles | None) -> None:  # noqa: ARG002 - the interface
        given = settings.base_url or os.environ.get(BASE) or OPENAI
        try:
            parts = urlsplit(given.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in ("http", "https"):
            raise CurateError(
                f"{BASE} is no address of an endpoint.",
                "It begins with http:// or https:// and a host, and ends in /v1 as a rule.",
            )
        place = f"[{host}]" if ":" in host else host
        place += f":{port}" if port else ""
        self._address = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
        self._url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self._parts = parts
        self._query = dict(parse_qsl(parts.query))
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        basic = b64encode(user.encode()).decode()
        hidden = [value for name, value in self._query.items() if name not in _VERSIONS]
        self._secrets = [parts.password or "", unquote(parts.password or ""), user, basic, *hidden]
        self._secrets += os.environ.get(HEADERS, "").split()
        self._settings = settings
        key_for(settings.api_key_env, parts)
        self._lock = threading.Lock()
        self._client: OpenAI | None = None

    @property
    def address(self) -> str:
        """The endpoint's address, without user and query."""
        return self._address

    def send(self, call: Call) -> Answer:
        """See `curate.answers.Backend`."""
        client = self._opened()
        import openai

        body = dict(call.body)
        model, messages = body.pop("model"), body.pop("messages")
        ends = time.monotonic() + self._settings.timeout
        try:
            with client.chat.completions.with_streaming_response.create(
                model=model, messages=messages, extra_body=body
            ) as response:
                content = self._whole(response.iter_bytes(), ends)
        except openai.APITimeoutError as error:
            never_sent = _cause(error).startswith("Connect")
            raise UnreceivedError(self._late, billed=not never_sent) from None
        except openai.APIConnectionError as error:
            never_sent = _cause(error).startswith("Connect")
            said = self._clean(str(error.__cause__ or error))
            raise UnreceivedError(f"the connection failed: {said}", billed=not never_sent) from None
        except openai.APIStatusError as error:
            self._refused(error)
        return self._read(content)

    @property
    def _late(self) -> str:
        return f"no answer within {self._settings.timeout:g} s"

    def _whole(self, pieces: Iterable[bytes], ends: float) -> bytes:
        """The body of a response, if it is there in time.

        The client's own timeout is for each piece, so that a server that drips would never end.

        Raises:
            UnreceivedError: It is not.
        """
        content = bytearray()
        try:
            for piece in pieces:
                content += piece
                if time.monotonic() > ends:
                    break
            else:
                return bytes(content)
        except Exception as error:  # of the library below the client, which its versions differ in
            if "Timeout" not in type(error).__name__:
                said = self._clean(str(error))
                raise UnreceivedError(f"the connection failed: {said}", billed=True) from None
        raise UnreceivedError(self._late, billed=True)

    def close(self) -> None:
        """See `curate.answers.Backend`."""
        if self._client is not None:
            self._client.close()

    def _opened(self) -> OpenAI:
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> OpenAI:
        try:
            from openai import OpenAI
        except ImportError as error:
            raise CurateError(
                "`backend: openai` needs OpenAI's client, which is not installed.",
                "pip install 'curate-data[llm]'",
            ) from error
        name = self._settings.api_key_env
        key = key_for(name, self._parts)
        if not key and self._address == OPENAI:
            raise CurateError(
                f"There is no key in the environment variable {name}.",
                f"export {name}=..., or name another variable: `api_key_env:`.",
            )
        self._secrets.append(key)
        client = OpenAI(
            api_key=key or "none",  # what runs on one's own machine asks for none
            base_url=self._url,
            default_query=self._query,
            timeout=self._settings.timeout,
            max_retries=0,
        )
        if not trusted(self._parts):  # who the user is, which the client takes from the environment
            client.organization = client.project = None
        return client

    def _clean(self, said: str, most: int = 300) -> str:
        """Words of others without secrets, on one line and not too long."""
        said = " ".join(self._masked(said, _SECRET).split())
        return said if len(said) <= most else f"{said[:most]}..."

    def _masked(self, said: str, least: int) -> str:
        """Words without the secrets that have so many characters at least."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= least:
                for form in (secret, secret.replace("/", "\\/")):  # as some write it in JSON
                    said = said.replace(form, "***")
        return said

    def _refused(self, error: APIStatusError) -> NoReturn:
        """Turn a status into what it means for the request, or for all of them."""
        status, body = error.status_code, error.body
        fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
        said = self._clean(str(fields.get("message") or error.message))
        code = str(fields.get("code") or "")
        if status in _STOP or code in _NEVER or status < 400:
            raise RefusedError(
                f"The endpoint {self._address} refuses every request for the model "
                f"'{self._settings.model}': {status}, {said}",
                self._remedy(status),
            ) from None
        if status in _AGAIN or status >= 500:
            raise UnreceivedError(
                f"status {status}: {said}",
                billed=status == 408 or (status >= 500 and status not in _UNDONE),
                retry_after=_retry_after(error.response.headers),
            ) from None
        raise AnswerError(f"the endpoint refuses the request: {status}, {said}") from None

    def _remedy(self, status: int) -> str:
        name = self._settings.api_key_env
        if status in (401, 403):
            return f"Is the key in {name} the right one for this endpoint and model?"
        if status == 404:
            return "Is the model's name right, and does the address end as it should (/v1)?"
        return "Run again when that is settled: what was answered is journalled."

    def _read(self, content: bytes) -> Answer:
        """The answer in the body of a response that came with status 200.

        Raises:
            UnreceivedError: There is none, whole and well-formed.
        """
        try:
            body = _parsed(content)
            choice = body["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content"), message.get("refusal")
            finish = choice.get("finish_reason") or "stop"
            if not isinstance(text, str | None) or not isinstance(refusal, str | None):
                raise TypeError("the content is no text")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            shown = self._clean(content.decode(errors="replace"), 80)
            raise UnreceivedError(
                f"a malformed answer, {type(error).__name__} in {len(content)} bytes: {shown}",
                billed=True,
            ) from None
        if refusal:
            text, finish = refusal, "refusal"
        text = text or ""
        if not text.strip() and finish not in ("length", "content_filter"):
            raise UnreceivedError("an empty answer", billed=True)
        said = (text, str(finish), str(body.get("model") or ""))
        text, finish, model = (self._masked(_storable(word), _SURELY) for word in said)
        return Answer(text, finish, _usage(body), model)


def _parsed(content: bytes) -> Any:
    """What a body holds; half of a surrogate pair, which some servers escape, is let pass.

    Raises:
        ValueError: It is not JSON, or is nested deeper than anybody would.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(content)
        except RecursionError:
            raise error from None


def _storable(said: str) -> str:
    """Text with U+FFFD in place of each half of a surrogate pair, which UTF-8 cannot hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", said)


def _usage(body: Mapping[str, Any]) -> Usage | None:
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(prompt, completion) if prompt >= 0 and completion >= 0 else None


def _cause(error: Exception) -> str:
    return type(error.__cause__).__name__


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to be left alone; it may write seconds or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) * unit)
        except ValueError:
            continue
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


@hookimpl
def register_llms(register: Callable[[type[Backend]], None]) -> None:
    """Offer the backend."""
    register(Endpoint)
