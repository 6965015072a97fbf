"""Which key goes to which host. A recipe may be a stranger's: it names hosts, but trusts none."""

from __future__ import annotations

import os
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from curate.errors import CurateError

OPENAI = "https://api.openai.com/v1"
BASE = "OPENAI_BASE_URL"
TRUSTED = "CURATE_KEYS_TO"
"""Environment variable: further hosts, separated by commas, to which keys may be sent."""


HEADERS = "OPENAI_CUSTOM_HEADERS"
"""Environment variable of OpenAI's client: further headers, which may hold keys as well."""


def key_for(variable: str, endpoint: SplitResult) -> str:
    """The key that a variable holds, if it may be sent to an endpoint; "" where it holds none.

    Raises:
        CurateError: It may not, or it is no key.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise CurateError(f"What {variable} holds is no key: it has characters that no key has.")
    remedies = {
        variable: "let `llm.api_key_env` name a variable that is not set, such as NO_KEY.",
        HEADERS: f"unset {HEADERS}.",
    }
    held = variable if key else HEADERS
    if os.environ.get(held, "").strip() and not trusted(endpoint):
        host = endpoint.hostname
        raise CurateError(
            f"The key in {held} is not sent to {endpoint.scheme}://{host}: keys go to "
            f"{OPENAI.removesuffix('/v1')}, to what {BASE} names, and to this machine.",
            f"If that host is to have it: export {TRUSTED}={host}. If it asks for no key: "
            + remedies[held],
        )
    return key


def trusted(endpoint: SplitResult) -> bool:
    """Whether the user lets an endpoint have keys."""
    host = endpoint.hostname or ""
    named = {name.strip().strip("[]").lower() for name in os.environ.get(TRUSTED, "").split(",")}
    if host in named or host == "localhost":
        return True
    try:
        if ip_address(host).is_loopback:
            return True
    except ValueError:  # a name
        pass
    return (endpoint.scheme, host) in {_origin(OPENAI), _origin(os.environ.get(BASE, ""))}


def _origin(address: str) -> tuple[str, str | None]:
    """Scheme and host: what is reached through TLS is not to be reached without."""
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return "", None
    return parts.scheme, parts.hostname
