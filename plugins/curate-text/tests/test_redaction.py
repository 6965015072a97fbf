"""Redaction: each form, each prefix and each word that decides, and what only looks like it."""

# ruff: noqa: RUF001 - text in other languages

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate_text.cleaning import clean
from curate_text.redaction import REDACTIONS, luhn

RULES = list(REDACTIONS)
KEY = "ghp_" + "a1B2c3D4e5F6" * 3


def redacted(*texts, rules=RULES, regions=("US", "CN"), **more):
    return clean(texts, rules, regions=regions, **more)


TAKEN = [
    ("email", "Write to Ann.Lee+x@mail.corp.co.uk.", "Write to <email-1>."),
    ("email", "<ann@corp.de>, bob@corp.de", "<<email-1>>, <email-2>"),
    ("email", "请发送邮件至ann@corp.de联系我们", "请发送邮件至<email-1>联系我们"),
    ("email", "Ünal@corp.de, ann@müller.de, ann@com.py", "<email-1>, <email-2>, ann@com.py"),
    ("email", "ann@corp.com.py", "<email-1>"),
    ("ip", "from 84.23.101.7:80 to 2a00:1450:4001:81b::200e", "from <ip-1>:80 to <ip-2>"),
    ("ip", "服务器84.23.101.7已经宕机", "服务器<ip-1>已经宕机"),
    ("ip", "32.0.0.9 and http://20.12.99.11/x", "<ip-1> and http://<ip-2>/x"),
    ("card", "Card: 4111 1111 1111 1111.", "Card: <card-1>."),
    ("card", "卡号4111 1111 1111 1111已失效", "卡号<card-1>已失效"),
    ("card", "5500-0000-0000-0004", "<card-1>"),
    ("card", "3782 822463 10005", "<card-1>"),
    ("phone", "Call +49 30 123456-78 or +1 415 555 2671", "Call <phone-1> or <phone-2>"),
    ("phone", "+1 (415) 555-2671, + 1 (415) 555-2671", "<phone-1>, <phone-1>"),
    ("phone", "(212) 555-4567, 212.555.4567, 1-800-555-0199", "<phone-1>, <phone-1>, <phone-2>"),
    ("phone", "010-62345678 or (010) 6234 5678", "<phone-1> or <phone-1>"),
    ("phone", "138-1234-5678, 400-820-8820", "<phone-1>, <phone-2>"),
    ("phone", "请拨打212-555-4567联系", "请拨打<phone-1>联系"),
    ("phone", "To place an order, call 1-800-555-0199.", "To place an order, call <phone-1>."),
    ("phone", "We live apart. Call 212-555-4567", "We live apart. Call <phone-1>"),
    ("phone", "Border Street 5, (212) 555-4567", "Border Street 5, <phone-1>"),
    ("phone", "Model: Anna. Phone: 212 555 4567", "Model: Anna. Phone: <phone-1>"),
    ("phone", "reorder 212-555-4567", "reorder <phone-1>"),
    ("credentials", "密钥" + KEY + "泄露了", "密钥<credential-1>泄露了"),
    ("credentials", "key sk-proj-abcdefghij0123456789ABCD", "key <credential-1>"),
    ("credentials", "github_pat_" + "a1B2c3D4" * 4, "<credential-1>"),
    ("credentials", "glpat-a1B2c3D4e5F6g7H8i9J0", "<credential-1>"),
    ("credentials", "AKIAIOSFODNN7ABCDEFG ASIAIOSFODNN7ABCDEFG", "<credential-1> <credential-2>"),
    ("credentials", "AIza" + "a1B2c3D" * 5, "<credential-1>"),
    ("credentials", "xoxb-123456789012-abcdefGHIJ", "<credential-1>"),
    ("credentials", "hf_" + "aB" * 17 + " npm_" + "aB1" * 12, "<credential-1> <credential-2>"),
    ("credentials", "sk_live_a1B2c3D4e5F6g7H8", "<credential-1>"),
    ("credentials", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijkl", "<credential-1>"),
    (
        "credentials",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----\nThat.",
        "<credential-1>\nThat.",
    ),
    ("links", "See https://a.org/b?c=1#d, or (www.b.co.uk/x).", "See <link-1>, or (<link-2>)."),
    ("links", "[it](http://a.org/b_(c)), FTP://a.org.", "[it](<link-1>), <link-2>."),
    ("links", "https://84.23.101.7/ann@corp.de", "<link-1>"),
    ("links", "请访问https://a.org/b，或www.b.org查看", "请访问<link-1>，或<link-2>查看"),
]


@pytest.mark.parametrize(("rule", "before", "after"), TAKEN)
def test_what_is_redacted(rule, before, after):
    texts, changes, *_ = redacted(before, rules=[rule])
    assert texts == [after]
    assert set(changes) == {rule}
    assert redacted(after) == ([after], {}, {}, {})


STAYS = [
    "@ann, git@github.com:ann/x.git, A@B.T, ann@example.com, ann@corp.test, a@b, f@x(1)",
    "ann@a.example.org, ann@localhost.localhost, ann@x.invalid",
    "image@2x.png, logo@3x.jpg, logo@3x.jpeg, a@2x.gif, a@2x.svg, a@2x.webp, package@latest.tgz",
    "foo@bar.py, foo@bar.js, foo@bar.json",
    "192.168.0.1, 127.0.0.1, 10.0.0.1, 255.255.255.255, 300.1.1.1, 2001:db8::1, 12:30:45, std::x",
    "fe80::1, 31.200.100.3, nginx 1.20.100.3, Office 16.0.123.45, date 20.12.99.11",
    "Chrome/84.23.101.7, v84.23.101.7, 1.84.23.101.7, 84.23.101.7.1, 84.23.101.7-x, § 84.23.101.7",
    "ISBN 978-3-16-148410-0, ISBN 316-148-4100, 2023-01-15, 1999-2005, 10-20-30",
    "3 +14155552671, x = +14155552671, 100 200 3000, 1,234,567, 3.141592653589793",
    "100-200-3000, +100 000 000 won, 212-684-47001, $212-684-4700, 212-684-4700.5, 212 684 4700",
    "(123) 456-7890, 555-0100, 555-123-4567, + 1 (790) 998-9545, 2147483647, 1 2 3 4 5 6 7",
    "8462735194\n5267, 21-2555-4567, 212-5554567, 4155552671",
    "1234 4111 1111 1111 1111, 4111 1111 1111 1112, 1234 5678 9012 3456, 4111111111111111",
    "discard 4111111111111111, an accredited 4111111111111111",
    "sk-learn, task-force-of-the-nation-and-more, AKIA, ghp_short, eyJhbGci",
    "sk-learn-based-classifier-v2-pipeline, sk-folding-cube-animation-1",
    "+ (212) 555-4567, sk-abcdefghijKLMNOPQRSTuvwx",
    "sk-circle12-child-before-element, sk-abcdefghijklmnopqrst12345, sk-ABCDEFGHIJKLMNOPQRST1",
    "hf_" + "x" * 34 + ", AIza" + "x" * 35 + ", AKIAIOSFODNN7EXAMPLE",
    "phone 2007, called in 1984, phone 212 555 456, call 4567890123456789012",
    "http is a scheme; www; awww.so.nice; a.org/b; http:// alone; git@www.a.org",
]


@pytest.mark.parametrize("text", STAYS)
def test_what_only_looks_like_it(text):
    assert redacted(text) == ([text], {}, {}, {})


VERSIONS = (
    "version|Ver.|v.|release|Release notes:|firmware|build|section|chapter|paragraph|clause|"
    "appendix|figure|table|update|kernel|driver|patch|§|版本|章节"
)


@pytest.mark.parametrize("word", VERSIONS.split("|"))
def test_a_word_before_it_says_that_a_number_is_no_address(word):
    text = f"{word} 84.23.101.7"
    assert redacted(text, rules=["ip"]).texts == [text]
    # not where it is the end of another word, or stands further off
    for text in (f"the {word} of x 84.23.101.7", f"x{word[0]}z 84.23.101.7"):
        assert redacted(text, rules=["ip"]).texts == [text.replace("84.23.101.7", "<ip-1>")]


CALLED = (
    "IP|IP is|IPv4:|address|host|server|DNS|gateway|router|proxy|ping|ssh|地址|服务器|ann@|x://"
)


@pytest.mark.parametrize("word", CALLED.split("|"))
def test_a_word_before_it_says_that_a_small_number_is_an_address(word):
    space = "" if word[-1] in "@/" else " "
    assert redacted(f"{word}{space}8.8.8.8", rules=["ip"]).texts == [f"{word}{space}<ip-1>"]
    assert redacted(f"{word} x 8.8.8.8", rules=["ip"]).changes == {}


REFERENCES = (
    "ISBN|ISSN|doi|SSN|order|order number|order no.|order code|order id|invoice|serial|model|part|"
    "SKU|SKU:|tracking|case|product|item|ticket #|account|ID|id is|单号：|编号|账号"
)


@pytest.mark.parametrize("word", REFERENCES.split("|"))
def test_a_word_before_it_says_that_a_number_is_no_phone(word):
    text = f"{word} 212-684-4700"
    assert redacted(text, rules=["phone"]).texts == [text]


WORDS = (
    "phone|telephone|cell phone|mobile phone|tel|Tel.|mobile|cell|fax|whatsapp|phone number|"
    "phone number is|phone no.|fax nr.|call|dial|call me|call us|call me at|dial us on|电话|"
    "电话号码|手机|手机号|热线|拨打|致电|phone:|电话：|电话是|电话为|phone #"
)


@pytest.mark.parametrize("word", WORDS.split("|"))
def test_digits_alone_are_a_number_where_a_word_says_so(word):
    # with a word that has another as its part, too: `telephone`, `phone number is`
    for said in ("2125554567", "212 555 4567", "13812345678"):
        assert redacted(f"{word} {said}", rules=["phone"]).texts == [f"{word} <phone-1>"]
    assert redacted(f"{word} x 2125554567", rules=["phone"]).changes == {}
    assert redacted(f"a{word}a 2125554567", rules=["phone"]).changes == {}


def test_the_regions_say_which_numbers_there_are():
    text = "030-12345678, fax 0410 787 999, 0410787999"
    assert redacted(text, rules=["phone"]).changes == {}
    assert redacted(text, rules=["phone"], regions=["US", "AU"]).texts == [
        "030-12345678, fax <phone-1>, <phone-1>"
    ]
    assert redacted(text, rules=["phone"], regions=["DE"]).texts[0].startswith("<phone-1>, ")
    assert redacted("+49 30 12345678", rules=["phone"], regions=[]).changes == {"phone": 1}


AT_HOME = (
    "DE 030 123456|DE 030/901820|DE 01512 3456789|DE 0171-1234567|DE (030) 901820|JP 03-1234-5678|"
    "BR (11) 2345-6789|GB 020 7946 0958|FR 01 23 45 67 89|FR 01.23.45.67.89|IT 02 1234 5678|"
    "AU 0410 787 999|CH 044 668 18 00|KR 02-312-3456"
)


@pytest.mark.parametrize("case", AT_HOME.split("|"))
def test_numbers_at_home_in_the_groups_of_their_region(case):
    region, number = case.split(" ", 1)
    assert redacted(f"Ask {number}.", rules=["phone"], regions=["US"]).changes == {}
    found = redacted(f"Ask {number}.", rules=["phone"], regions=["US", region])
    assert found.texts == ["Ask <phone-1>."]


OTHER = ["DE", "FR", "GB", "IT", "JP", "BR", "AU", "CH", "AT", "NL", "KR", "US", "CN"]


@pytest.mark.parametrize(
    "text",
    [
        "2147483647, 1 2 3 4 5 6 7 8, 14.285714285, 86.0.4240.111, 8462735194\n5267",
        "01-02-2003, 01.02.2003, 0900-0130, 01/2019, 0123456789, 00 12 34 56 78, 007 123 456",
        "0.123456789, 2 + 030 1 = 31, 030 12, 0301 2 3 4 5 6 7 8, order 030 123456",
        "03 01 23 45 67 8",
    ],
)
def test_digits_that_no_region_groups_so_stay(text):
    assert redacted(text, rules=["phone"], regions=OTHER).texts == [text]


def test_groups_are_those_of_the_region():
    text = "0301 2345 678"  # 030 12345678 in other groups
    assert redacted(text, rules=["phone"], regions=["DE"]).texts == [text]
    assert redacted(
        text.replace(" ", ""), f"Call {text}", rules=["phone"], regions=["DE"]
    ).texts == [
        "<phone-1>",
        "Call <phone-1>",
    ]


def test_numbers_of_other_countries_in_all_their_forms():
    forms = "+49 30 901820|0049 30 901820|+49/30/901820|\uff0b49 30 901820|+49 (0)30 901820"
    for said in forms.split("|"):
        assert redacted(f"{said}.", rules=["phone"], regions=[]).texts == ["<phone-1>."]
    text = "+49-30-901820-0, +1 212-555-4567-1"
    assert redacted(text, rules=["phone"]).texts == ["<phone-1>, <phone-2>-1"]


def test_who_is_named_in_a_link_is_left_to_its_rule():
    text = "https://ann@corp.de/x"
    assert redacted(text, rules=["email"]).texts == [text]
    assert redacted(text, rules=["links"]).texts == ["<link-1>"]


# One card of each prefix that is in use, at both ends of the ranges; lengths from ISO/IEC 7812.
CARDS = {
    "4": (13, 16, 19),
    **dict.fromkeys(("51", "55", "2221", "2229", "2230", "2299", "2300", "2699"), (16,)),
    **dict.fromkeys(("2700", "2719", "2720"), (16,)),
    **dict.fromkeys(("34", "37"), (15,)),
    **dict.fromkeys(("300", "305", "36", "38"), (14,)),
    **dict.fromkeys(("6011", "65", "644", "649", "3528", "3529", "3530", "3589"), (16,)),
    "62": (16, 17, 18, 19),
}
NO_CARDS = {
    "4": (14, 15, 17, 18),
    **dict.fromkeys(
        ("50", "56", "2220", "2721", "2800", "6012", "643", "66", "3527", "3590"), (16,)
    ),
    **dict.fromkeys(("35", "33", "51", "65"), (15,)),
    **dict.fromkeys(("306", "37", "39"), (14,)),
    "62": (15,),
}


def number(prefix, length):
    digits = prefix.ljust(length - 1, "0")
    return next(digits + str(last) for last in range(10) if luhn(digits + str(last)))


@pytest.mark.parametrize(("prefix", "length"), [(p, n) for p, ns in CARDS.items() for n in ns])
def test_prefixes_of_cards(prefix, length):
    card = number(prefix, length)
    assert redacted(f"card {card}", rules=["card"]).texts == ["card <card-1>"]
    wrong = card[:-1] + str((int(card[-1]) + 1) % 10)
    assert redacted(f"card {wrong}", rules=["card"]).changes == {}


@pytest.mark.parametrize(("prefix", "length"), [(p, n) for p, ns in NO_CARDS.items() for n in ns])
def test_prefixes_that_no_card_has(prefix, length):
    assert redacted(f"card {number(prefix, length)}", rules=["card"]).changes == {}


CARD_WORDS = "card|Cards|Visa|mastercard|amex|American Express|credit|debit|卡号|信用卡|银行卡"


@pytest.mark.parametrize("word", CARD_WORDS.split("|"))
def test_a_number_without_spaces_is_a_card_where_the_conversation_says_so(word):
    texts = redacted(f"My {word}?", "It is 4111111111111111.", rules=["card"]).texts
    assert texts == [f"My {word}?", "It is <card-1>."]
    plain = [f"A x{word}x", "4111111111111111"] if word.isascii() else ["A", "4111111111111111"]
    assert redacted(*plain, rules=["card"]).changes == {}


def test_the_same_value_has_the_same_number_in_all_turns():
    texts, changes, *_ = redacted(
        "Is Ann@corp.de or bob@corp.de mine? Card 4111 1111 1111 1111.",
        "bob@corp.de, and 4111-1111-1111-1111; +1 212 555 4567, (212) 555-4567.",
        "ann@corp.de",
    )
    assert texts == [
        "Is <email-1> or <email-2> mine? Card <card-1>.",
        "<email-2>, and <card-1>; <phone-1>, <phone-1>.",
        "<email-1>",
    ]
    assert changes == {"email": 4, "card": 2, "phone": 2}


def test_what_was_found_once_is_found_everywhere():
    texts = redacted(
        "Is 8.8.8.8 up? Version 84.23.101.7.", "ping 8.8.8.8; 84.23.101.7", rules=["ip"]
    ).texts
    assert texts == ["Is <ip-1> up? Version <ip-2>.", "ping <ip-1>; <ip-2>"]
    texts = redacted("SKU 212-555-4567 or 2125554567", "Call 212 555 4567", rules=["phone"]).texts
    assert texts == ["SKU <phone-1> or <phone-1>", "Call <phone-1>"]


def test_numbers_follow_those_that_are_there():
    texts, *_ = redacted("Is <email-2> ann@corp.de?", "No, bob@corp.de. <ip-7>")
    assert texts == ["Is <email-2> <email-3>?", "No, <email-4>. <ip-7>"]


def test_marks_that_only_a_mend_shows_are_there_too():
    texts, *_ = redacted(
        "\uff1cemail-1\uff1e wrote to a@foo.org, <email\u200b-2>",
        rules=["whitespace", "punctuation", "email"],
    )
    assert texts == ["<email-1> wrote to <email-3>, <email-2>"]


CODE = "Run\n```\nmail('ann@corp.de')  \n```\nor `ann@corp.de`, 84.23.101.7."


def test_what_is_left_in_code_is_counted():
    texts, changes, left, _ = redacted(CODE)
    assert texts == [CODE.replace("84.23.101.7", "<ip-1>")]
    assert (changes, left) == ({"ip": 1}, {"email": 2})
    assert redacted(CODE, rules=["ip"]).left == {}
    assert redacted("Ping 8.8.8.8", "`x 8.8.8.8`").left == {"ip": 1}  # known from the other turn
    assert redacted("Ping x", "`x 8.8.8.8`").left == {}


def test_code_is_redacted_only_if_asked():
    marked = CODE.replace("ann@corp.de", "<email-1>").replace("84.23.101.7", "<ip-1>")
    assert redacted(CODE, in_code=True)[:3] == ([marked], {"email": 2, "ip": 1}, {})


@settings(max_examples=200)
@given(st.text("0123456789", min_size=2, max_size=30))
def test_check_digits(digits):
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    total = sum(map(int, digits[-1::-2])) + sum(d // 10 + d % 10 for d in doubled)
    assert luhn(digits) == (total % 10 == 0)
    assert sum(luhn(digits + str(last)) for last in range(10)) == 1
