"""What must not be published: addresses, numbers and keys, each found by its form and checked.

Every pattern is bounded or begins where nothing of its kind stands before it, so that the time is
linear in the text. Letters are those of ASCII (`(?a)`): Chinese stands directly beside numbers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from curate_text.editing import edited


class Redactor:
    """Redacts the turns of one conversation: the same value has the same mark in all of them.

    Args:
        texts: The turns.
        regions: Where phone numbers without a country code are from, in the order in which they
            are tried; two letters each (ISO 3166-1).

    Attributes:
        removed: By rule what marks stand in the place of, as it was written.
    """

    def __init__(self, texts: Sequence[str], regions: Sequence[str]) -> None:
        self.texts = texts
        self.regions = regions
        self.removed: dict[str, set[str]] = {}
        self._numbers: dict[str, dict[str, int]] = {}
        self._taken: dict[str, int] = {}

    def redacted(self, text: str, rule: str, *, in_code: bool) -> tuple[str, int]:
        """The text with the marks of one rule, and how many there are."""
        kind = REDACTIONS[rule]
        if not kind.hint.search(text):
            return text, 0

        def mark(found: re.Match[str]) -> str | None:
            value = kind.value(found, self)
            if value is None:
                return None
            it = "it" if "it" in found.re.groupindex else 0
            self.removed.setdefault(rule, set()).add(found[it])
            return f"<{kind.mark}-{self._number(kind.mark, value)}>"

        return edited(text, *kind.patterns, new=mark, in_code=in_code)

    def knows(self, mark: str, value: str) -> bool:
        """Whether a value was found already: the next one needs no word that says what it is."""
        return value in self._numbers.get(mark, ())

    def _number(self, mark: str, value: str) -> int:
        """The number of a value; new ones follow those that the conversation came with."""
        if mark not in self._numbers:
            told = re.compile(rf"<{mark}-(\d{{1,9}})>")
            there = [int(number) for text in self.texts for number in told.findall(text)]
            self._numbers[mark], self._taken[mark] = {}, max(there, default=0)
        numbers = self._numbers[mark]
        return numbers.setdefault(value, self._taken[mark] + len(numbers) + 1)


@dataclass(frozen=True)
class Redaction:
    """One kind of thing.

    Args:
        mark: The word that stands in its place, with a number.
        patterns: Its forms; the group `it`, if there is one, is what is replaced.
        hint: Without it in a text there is nothing to look for.
        value: What is the same for the same thing, however it is written; None: it is no such
            thing, and only has the form.
    """

    mark: str
    patterns: tuple[re.Pattern[str], ...]
    hint: re.Pattern[str]
    value: Callable[[re.Match[str], Redactor], str | None]


def _before(found: re.Match[str], length: int) -> str:
    """What stands before the match."""
    return found.string[max(found.start() - length, 0) : found.start()]


# Addresses of the web: with a scheme, or with `www.` before a domain.

_BESIDE = r"\s<>()\[\]{}" "\"'`\u2018-\u201f\u00ab\u00bb\u3000-\u9fff\uac00-\ud7a3\uff00-\uffef"
"""What is no part of an address: brackets, quotes, and scripts that are written without spaces."""

_LINK = re.compile(
    r"(?ai)(?<![\w@/.:-])(?:(?:https?|ftp)://|www\d{0,2}\.(?=[\w-]{1,63}\.))"
    rf"(?:[^{_BESIDE}]|\([^{_BESIDE}]{{0,200}}\)){{1,2000}}(?<![.,;:!?*_])"
)


def _link(found: re.Match[str], _: Redactor) -> str:
    return found[0]


# Credentials: forms that their issuers document.

_CREDENTIALS = re.compile(
    r"(?a)(?<![\w-])(?:"
    r"(?P<mixed>sk-[A-Za-z0-9_-]{20,200})"  # OpenAI and those who write keys like it
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
_RANDOM = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[a-z0-9]*[A-Z])(?=[A-Z0-9]*[a-z])[A-Za-z0-9]{20}"
)
"""Twenty letters and digits in a row, of both cases: no name in code is written so."""
_PLACEHOLDER = re.compile(r"EXAMPLE|([A-Za-z0-9])\1{7}")


def _credential(found: re.Match[str], _: Redactor) -> str | None:
    named = found.re is _CREDENTIALS and found["mixed"] and not _RANDOM.search(found[0])
    return None if named or _PLACEHOLDER.search(found[0]) else found[0]


# E-mail addresses, but for the domains that RFC 2606 keeps for examples.

_LETTERS = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u052f"
"""Latin, Greek and Cyrillic, which part words by spaces."""
_EMAIL = re.compile(
    rf"(?<![{_LETTERS}0-9_.+%@/-])(?P<name>[{_LETTERS}0-9][{_LETTERS}0-9_.+%-]{{0,63}})@"
    rf"(?P<domain>(?:[{_LETTERS}0-9][{_LETTERS}0-9-]{{0,62}}\.){{1,8}}[{_LETTERS}]{{2,24}})"
    rf"(?![{_LETTERS}0-9_@(])"
)
_NOBODY = re.compile(
    r"(?i)(?:.*\.)?(?:example|test|invalid|localhost|example\.(?:com|net|org))"
    r"|[^.]+\.(?:png|jpe?g|gif|svg|webp|tgz|py|js|json)"  # the name of a file: image@2x.png
)


def _email(found: re.Match[str], _: Redactor) -> str | None:
    # git@host names a repository, not a person
    nobody = found["name"] == "git" or _NOBODY.fullmatch(found["domain"])
    return None if nobody else found[0].lower()


# Card numbers: ISO/IEC 7812, with the prefixes that are in use.

_CARD = re.compile(
    r"(?a)(?<![\w.,+-])(?<!\d )(?P<it>\d{13,19}|\d{4}(?P<by>[ -])\d{4}(?P=by)\d{4}(?P=by)\d{4}"
    r"|\d{4}(?P<other>[ -])\d{6}(?P=other)\d{4,5})(?!\w|[ .,-]\d)"
)
_PREFIX = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"  # American Express, Diners Club
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)  # Discover, JCB, UnionPay
_CARD_WORD = re.compile(
    r"(?ai)\b(?:cards?|visa|mastercard|amex|american express|credit|debit)\b"
    r"|卡号|信用卡|银行卡"
)


def _card(found: re.Match[str], redactor: Redactor) -> str | None:
    digits = re.sub(r"\D", "", found["it"])
    if not _PREFIX.fullmatch(digits) or not luhn(digits):
        return None
    # a number without spaces may be any number
    spoken = digits != found["it"] or any(map(_CARD_WORD.search, redactor.texts))
    return digits if spoken else None


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# Addresses of the internet that are somebody's: public ones.

_IP4 = re.compile(r"(?a)(?<![\w.:-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IP6 = re.compile(
    r"(?a)(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,7}(?::|:?[0-9A-Fa-f]{1,4})(?::[0-9A-Fa-f]{1,4}){0,6}"
    r"(?![\w:])"
)
_VERSION = re.compile(
    r"(?ai)(?:\b(?:version|ver|v|release(?: notes)?|firmware|build|section|chapter|paragraph|clause"
    r"|appendix|figure|table|update|kernel|driver|patch)|§|版本|章节)[^\w\n]{0,3}$"
    r"|[a-z]/$"  # Chrome/120.0.6099.109
)
_CALLED = re.compile(
    r"(?ai)(?:\b(?:ip|ipv4|address|host|server|dns|gateway|router|proxy|ping|ssh)(?: is)?"
    r"|地址|服务器)[^\w\n]{0,3}$|(?::/|@)/?$"
)
_FIRST = 32
"""Numbers of versions and sections, and dates, begin with a smaller one."""
_IP6_GLOBAL = ipaddress.IPv6Network("2000::/3")


def _ip(found: re.Match[str], redactor: Redactor) -> str | None:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        public = address in _IP6_GLOBAL and address.is_global
        return str(address) if public else None
    if redactor.knows("ip", str(address)):
        return str(address)
    before = _before(found, 24)
    numbering = address.packed[0] < _FIRST and not _CALLED.search(before)
    if numbering or _VERSION.search(before) or not address.is_global:
        return None
    return str(address)


# Phone numbers: international, in groups as they are written at home, or called so.

_ABROAD = (
    r"(?a)(?<![\w+*/=^.)-])(?:[+\uff0b] ?[1-9]\d{0,2}[ ./-]?|00[1-9]\d{0,2}[ ./-])"
    r"(?:\(\d{1,4}\)[ ./-]?)?\d{1,4}(?:[ ./-]?\d{2,4}){1,4}"
)
_PHONE_ABROAD = re.compile(_ABROAD + r"(?!\w|[.,/*^]\d)")
_PHONE_EXTENDED = re.compile(_ABROAD + r"-\d(?!\w|[.,/*^-]\d)")
"""With the last digit apart: the switchboard, +49-30-901820-0."""
_PHONE_HOME = re.compile(
    r"(?a)(?<![\w.,/+*=^$#-])(?<!\+ )(?:1[ .-]?)?(?:"
    r"\(\d{2,4}\)[ .-]?\d{3,4}[ .-]?\d{4}"
    r"|\d{3,4}(?P<by>[.-])\d{3,4}(?P=by)\d{4}"
    r"|0\d{1,4}-\d{6,8})(?!\w|[.,/*^=-]\d)"
)
_PHONE_TRUNK = re.compile(
    r"(?a)(?<![\w.,/+*=^$#-])(?<!\+ )(?:\(0\d{1,4}\) ?|0\d{1,4}[ ./-])\d{2,8}"
    r"(?:[ .-]\d{2,8}){0,4}(?!\w|[ .,/*^=-]\d)"
)
"""With the 0 before the area that most countries write; the groups have to be those of a plan."""
_TRUNK_DIGITS = 9
"""With fewer it may be a time or a month: 0900-0130, 01/2019."""
_PHONE_CALLED = re.compile(
    r"(?ai)(?:\b(?:(?:tele|cell|mobile )?phone|tel|mobile|cell|fax|whatsapp)\b\.?"
    r"(?: (?:number|no|nr)\b\.?)?(?: is)?|\b(?:call|dial)(?: (?:me|us))?(?: (?:at|on))?"
    r"|(?:电话|手机|热线)(?:号码?)?|拨打|致电)"
    r"[ ]?[:\uff1a#是为]?[ ]?"
    r"(?P<it>\(?\d[\d() .-]{5,16}\d)(?!\w|[.,-]\d)"
)
_REFERENCE = re.compile(
    r"(?ai)(?:\b(?:isbn|issn|doi|ssn|order|invoice|serial|model|part|sku|tracking|case|product|item"
    r"|ticket|account|id)(?: (?:number|no\.?|code|id))?(?: is)?|单号|编号|账号)"
    r"[ ]?[:\uff1a#]?[ ]?$"
)


_PHONE_ALONE = re.compile(r"(?a)(?<![\w.,/+*=^$#-])\d{7,15}(?!\w|[.,/*^=-]\d)")


def _phone(found: re.Match[str], redactor: Redactor) -> str | None:
    abroad, called = found.re in (_PHONE_ABROAD, _PHONE_EXTENDED), found.re is _PHONE_CALLED
    said = found["it"] if called else found[0]
    regions = [None] if abroad else redactor.regions
    if found.re is _PHONE_TRUNK:
        enough = sum(map(str.isdigit, said)) >= _TRUNK_DIGITS
        regions = [region for region in redactor.regions if enough and _grouped(said, region)]
    if abroad and said.startswith("00"):
        said = f"+{said[2:]}"
    number = next(filter(None, (_valid(said, region) for region in regions)), None)
    if number is None or called or redactor.knows("phone", number):
        return number
    before = _before(found, 32)
    # a sum: something that is added to stands before it
    summed = before.rstrip(" ")[-1:] in tuple("0123456789)=*/^<>xyn") and before[-1:] != "\n"
    other = summed if abroad else _REFERENCE.search(before) is not None
    return None if other or found.re is _PHONE_ALONE else number


def _valid(said: str, region: str | None) -> str | None:
    """The number as E.164 has it, where there is such a number in the plans of numbering.

    A fixed line at home is written with the 0 before its area where the region writes one; without
    it, most groups of digits would be one somewhere in China.
    """
    import phonenumbers
    from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

    try:
        number = phonenumbers.parse(said, region)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    if region and phonenumbers.number_type(number) == PhoneNumberType.FIXED_LINE:
        written = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        if written.lstrip("(").startswith("0") and not said.lstrip("(").startswith("0"):
            return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _grouped(said: str, region: str) -> bool:
    """Whether digits stand in the groups in which a region writes its numbers."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    found = PhoneNumberMatcher(said, region, leniency=Leniency.STRICT_GROUPING)
    return any(match.raw_string == said for match in found)


REDACTIONS: Mapping[str, Redaction] = {
    "links": Redaction("link", (_LINK,), re.compile(r"(?i)://|www"), _link),
    "credentials": Redaction(
        "credential",
        (_PRIVATE_KEY, _CREDENTIALS),
        re.compile(r"sk-|gh[opsur]_|github_|glpat-|A[KS]IA|AIza|xox|hf_|npm_|k_live_|eyJ|PRIVATE"),
        _credential,
    ),
    "email": Redaction("email", (_EMAIL,), re.compile(r"@"), _email),
    "card": Redaction("card", (_CARD,), re.compile(r"\d{4}[ -]?\d{4}"), _card),
    "ip": Redaction("ip", (_IP4, _IP6), re.compile(r"\d\.\d|[0-9A-Fa-f]:"), _ip),
    "phone": Redaction(
        "phone",
        (_PHONE_EXTENDED, _PHONE_ABROAD, _PHONE_CALLED, _PHONE_HOME, _PHONE_TRUNK, _PHONE_ALONE),
        re.compile(r"\d\d"),
        _phone,
    ),
}
"""The redactions by the name of their rule."""
