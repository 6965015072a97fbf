"""What must not be published: addresses, numbers and keys, each found by its form and checked.

Every pattern is bounded or begins where nothing of its kind stands before it, so that the time is
linear in the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from curate_text.editing import edited


@dataclass(frozen=True)
class Redaction:
    """One kind of thing.

    Args:
        mark: What stands in its place.
        patterns: Its forms; the group `it`, if there is one, is what is replaced.
        hint: Without it in a text there is nothing to look for.
        holds: Whether something of that form is such a thing.
    """

    mark: str
    patterns: tuple[re.Pattern[str], ...]
    hint: re.Pattern[str]
    holds: Callable[[re.Match[str]], bool]


def redacted(text: str, rule: str, *, in_code: bool) -> tuple[str, int]:
    """The text with the marks of one rule, and how many there are."""
    kind = REDACTIONS[rule]
    if not kind.hint.search(text):
        return text, 0
    changes = 0
    for pattern in kind.patterns:
        text, times = edited(
            text, pattern, lambda found: kind.mark if kind.holds(found) else None, in_code=in_code
        )
        changes += times
    return text, changes


def _before(found: re.Match[str], length: int) -> str:
    """What stands before the match."""
    return found.string[max(found.start() - length, 0) : found.start()]


def _always(_: re.Match[str]) -> bool:
    return True


# Addresses of the web: with a scheme, or with `www.` before a domain.

_LINK = re.compile(
    r"(?<![\w@/.:-])(?:(?:https?|ftp)://|www\d{0,2}\.(?=[\w-]{1,63}\.))"
    r"(?:[^\s<>()\[\]{}\"'`]|\([^\s<>()\[\]{}\"'`]{0,200}\)){1,2000}"
    r"(?<![.,;:!?*_\u3002\uff0c])",
    re.IGNORECASE,
)


# Credentials: forms that their issuers document.

_CREDENTIALS = re.compile(
    r"(?<![\w-])(?:"
    r"sk-(?=[\w-]{0,100}\d)[A-Za-z0-9_-]{20,200}"  # OpenAI and those who write keys like it
    r"|gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"
    r"|glpat-[\w-]{20,64}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|AIza[\w-]{35}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}"
    r"|hf_[A-Za-z0-9]{34}|npm_[A-Za-z0-9]{36}"
    r"|[rs]k_live_[A-Za-z0-9]{16,247}"
    r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}"  # a signed JSON web token
    r")(?![\w-])"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\s:,.-]{1,8000}?"
    r"-----END [A-Z ]{0,30}PRIVATE KEY-----"
)


# E-mail addresses, but for the domains that RFC 2606 keeps for examples.

_EMAIL = re.compile(
    r"(?<![\w.+%@/-])(?P<name>[A-Za-z0-9][\w.+%-]{0,63})@"
    r"(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24})(?![\w@(])"
)
_NOBODY = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost|example\.(?:com|net|org))", re.IGNORECASE
)


def _is_email(found: re.Match[str]) -> bool:
    # git@host names a repository, not a person
    return found["name"] != "git" and not _NOBODY.fullmatch(found["domain"])


# Card numbers: ISO/IEC 7812, with the prefixes that are in use.

_CARD = re.compile(
    r"(?<![\w.,+-])(?<!\d )(?P<it>\d{13,19}|\d{4}(?P<by>[ -])\d{4}(?P=by)\d{4}(?P=by)\d{4}"
    r"|\d{4}(?P<other>[ -])\d{6}(?P=other)\d{4,5})(?!\w|[ .,-]\d)"
)
_PREFIX = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)
_CARD_WORD = re.compile(
    r"card|visa|amex|american express|credit|debit|卡号|信用卡|银行卡", re.IGNORECASE
)


def _is_card(found: re.Match[str]) -> bool:
    digits = re.sub(r"\D", "", found["it"])
    if not _PREFIX.fullmatch(digits) or not luhn(digits):
        return False
    # a number without spaces may be any number
    return digits != found["it"] or _CARD_WORD.search(found.string) is not None


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# Addresses of the internet that are somebody's: public ones.

_IP4 = re.compile(r"(?<![\w.:-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IP6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,7}(?::|:?[0-9A-Fa-f]{1,4})(?::[0-9A-Fa-f]{1,4}){0,6}(?![\w:])"
)
_VERSION = re.compile(
    r"(?:version|ver\.?|release|firmware|build|section|chapter|clause|appendix|figure|table|"
    r"update|kernel|driver|patch|§|\bv)\W{0,3}$",
    re.IGNORECASE,
)
_LEAST_OCTET = 32
_IP6_GLOBAL = ipaddress.IPv6Network("2000::/3")


def _is_ip(found: re.Match[str]) -> bool:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _IP6_GLOBAL and address.is_global
    # numbers of versions and sections have four small parts too
    if max(address.packed) < _LEAST_OCTET or _VERSION.search(_before(found, 16)):
        return False
    return address.is_global


# Phone numbers: international, North American, or called so.

_PHONE_ABROAD = re.compile(
    r"(?<![\w+*/=^.)-])\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
    r"(?!\w|[.,/*^]\d)"
)
_PHONE_AMERICAN = re.compile(
    r"(?<![\w.,/+*=^$#-])(?:1[ .-])?(?:\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}|\d{3}-\d{3}-\d{4}"
    r"|\d{3}\.\d{3}\.\d{4})(?!\w|[.,/*^=-]\d)"
)
_PHONE_CALLED = re.compile(
    r"(?:\b(?:(?:tele|cell|mobile )?phone|tel|mobile|cell|fax|whatsapp)\b\.?"
    r"(?:(?: (?:number|no\.?|nr\.?))(?: is)?|(?= ?:))|(?:电话|手机)(?:号码?)?)"
    r"[ ]?[:\uff1a#是为]?[ ]?"
    r"(?P<it>\(?\d[\d() .-]{5,16}\d)(?![\w]|[.,-]\d)",
    re.IGNORECASE,
)
_SHORTEST, _SHORTEST_BARE, _LONGEST = 7, 10, 15
_REFERENCE = re.compile(r"(?:isbn|issn|doi|ssn|order|invoice|serial|model|part)\W", re.IGNORECASE)


def _is_phone(found: re.Match[str]) -> bool:
    said = found["it"] if "it" in found.re.groupindex else found[0]
    digits = sum(map(str.isdigit, said))
    before = _before(found, 24)
    if not _SHORTEST <= digits <= _LONGEST or _REFERENCE.search(before):
        return False
    if said.startswith("+"):
        # a sum: something that is added to stands before it
        summed = before.rstrip(" ")[-1:] in tuple("0123456789)=*/^<>xyn") and before[-1:] != "\n"
        bare = digits + 1 == len(said)
        return not summed and digits >= (_SHORTEST_BARE if bare else _SHORTEST + 1)
    return True


_DIGITS = re.compile(r"\d{3}")
REDACTIONS: Mapping[str, Redaction] = {
    "links": Redaction("<link>", (_LINK,), re.compile(r"://|www", re.IGNORECASE), _always),
    "credentials": Redaction(
        "<credential>",
        (_PRIVATE_KEY, _CREDENTIALS),
        re.compile(r"sk-|gh[opsur]_|github_|glpat-|A[KS]IA|AIza|xox|hf_|npm_|k_live_|eyJ|PRIVATE"),
        _always,
    ),
    "email": Redaction("<email>", (_EMAIL,), re.compile(r"\w@\w"), _is_email),
    "card": Redaction("<card>", (_CARD,), re.compile(r"\d{4}[ -]?\d{4}"), _is_card),
    "ip": Redaction("<ip>", (_IP4, _IP6), re.compile(r"\d\.\d|[0-9A-Fa-f]:"), _is_ip),
    "phone": Redaction(
        "<phone>",
        (_PHONE_ABROAD, _PHONE_AMERICAN, _PHONE_CALLED),
        _DIGITS,
        _is_phone,
    ),
}
"""The redactions by the name of their rule, in the order in which they work."""

MARKS: Mapping[str, str] = {rule: kind.mark for rule, kind in REDACTIONS.items()}
