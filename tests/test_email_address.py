"""Email addresses decided as columns, against the library asked about one value at a time (SPEC 4.2, code 9158)."""

import unicodedata

import email_validator
import pyarrow as pa
import pytest
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import email_texts

from afstem import email_address


def by_the_library(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return email_validator.validate_email(value, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        return None


def assert_agreement(values: list[str | None]) -> None:
    answers = email_address.normalise(pa.array(values, pa.string())).to_pylist()
    assert len(answers) == len(values)
    wrong = [
        (value, answer, expected)
        for value, answer in zip(values, answers, strict=True)
        if answer != (expected := by_the_library(value))
    ]
    assert not wrong


LOCALS = [
    "a",
    "jens.hansen",
    "Jens_Hansen+1",
    "søren",
    "SØREN.Åse",
    "o'neil",
    "a--b",
    "=cmd|'/c'!a1",
    "{{7*7}}",
    "+45",
    "x" * 64,
]
LOCALS += [
    "x" * 65,
    "josé",
    "jose\u0301",
    "ÿ",
    "×",
    "÷",
    "ﬁ",
    "İ",
    "ß",
    "日本",
    "א",
    "-",
    "a.",
    ".a",
    "a..b",
    "",
    '"a"',
    '"a b"',
]
LOCALS += [
    "Jens <a",
    "(a)",
    "a\\",
    '"@"',
    "a b",
    "a\u00a0b",
    "a\u200bb",
    "a\u202eb",
    "a\tb",
    "\u0301a",
    *CASE_INSENSITIVE_MAILBOX_NAMES[:3],
]
LOCALS += ["INFO", "Postmaster", "www", "WWW", "infoø", "navn@mail.dk, b", "navn@", "mailto:a", "😀"]
DOMAINS = [
    "gmail.com",
    "GMail.COM",
    "x.dk",
    "mail.tele.dk",
    "bøf.dk",
    "BØF.dk",
    "xn--bf-lka.dk",
    "XN--BF-LKA.DK",
    "xn--a.dk",
    "a--b.dk",
]
DOMAINS += [
    "ab--c.dk",
    "-a.dk",
    "a-.dk",
    "a.-b.dk",
    "a..dk",
    ".dk",
    "dk",
    "dk.",
    "x.dk.",
    "1.2.3.4",
    "x.1",
    "x.d1",
    "x.1d",
    "x.d-",
    "x_y.dk",
]
DOMAINS += [
    "[1.2.3.4]",
    "[IPv6:::1]",
    "x.test",
    "test",
    "x.TEST",
    "localhost",
    "x.localhost",
    "xtest",
    "x.local.dk",
    "x.example",
    "a.arpa",
]
DOMAINS += [
    "x.onion",
    "x.invalid",
    "x.dk>",
    "x.dk;",
    "x.dk, a@b.dk",
    "x .dk",
    "x\u00a0.dk",
    "x.dk\u200b",
    "ｘ.dk",
    "x。dk",
    "x．dk",
    "ß.dk",
]
DOMAINS += [
    "א.dk",
    "1א.dk",
    "א1.xn--4dbc.com",
    "日本.jp",
    "日本。jp",
    "ﷺ.dk",
    "K.dk",
    "İ.dk",
    "e\u0301.dk",
    "\u0301.dk",
    "😀.dk",
    "½.dk",
    "a\u00ad.dk",
]
DOMAINS += [
    f"{'x' * 62}.dk",
    f"{'x' * 63}.dk",
    f"{'x' * 64}.dk",
    ".".join(["x" * 62] * 4),
    "ø" * 40 + ".dk",
    ".".join("æ" * 30),
    "",
    "@x.dk",
]


def test_every_local_part_with_every_domain() -> None:
    assert_agreement([f"{local}@{domain}" for local in LOCALS for domain in DOMAINS])


@pytest.mark.parametrize(
    "value", [None, "", "a", "a@", "@", "@x.dk", "a@x.dk@y.dk", "a＠x.dk", "a﹫x.dk", "<a@x.dk>", "ingen", "20123456"]
)
def test_values_that_are_hardly_addresses(value: str | None) -> None:
    assert_agreement([value])


@pytest.mark.parametrize("length", [*range(60, 69), *range(248, 258)])
def test_addresses_about_the_limits_of_length(length: int) -> None:
    domains = [
        "x.dk",
        "X.DK",
        "bøf.dk",
        "xn--bf-lka.dk",
        f"{'x' * 40}.dk",
        f"{'ø' * 40}.dk",
        "æ.æ.æ.æ.æ.æ.æ.æ.æ.æ.dk",
        "ﷺ.dk",
    ]
    assert_agreement([f"{letter * (length - len(domain) - 1)}@{domain}" for domain in domains for letter in "aø"])


@pytest.mark.parametrize("form", ["a{}b@x.dk", "{}@x.dk", "a@x{}y.dk", "a@x.dk{}", "a{}@x.dk", "a@{}x.dk"])
def test_code_points_anywhere(form: str) -> None:
    signs = [
        chr(code) for code in (*range(0x500), *range(0x1FF0, 0x2070), *range(0x3000, 0x3010), *range(0xFE00, 0xFE20))
    ]
    assert_agreement([form.format(sign) for sign in signs])


def test_what_may_stand_nowhere_stands_nowhere_for_the_library() -> None:
    # RE2 has Unicode tables of its own: whatever it calls a blank or invisible, Python must too.
    signs = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    refused = email_address.pc.match_substring_regex(pa.array(signs), email_address._NOWHERE).to_pylist()
    nowhere = [sign for sign, is_refused in zip(signs, refused, strict=True) if is_refused]
    assert len(nowhere) > 200
    assert {unicodedata.category(sign)[0] for sign in nowhere} == {"Z", "C"}
    assert [sign for sign in nowhere if by_the_library(f"ø{sign}b@x.dk") or by_the_library(f"ø@x{sign}b.dk")] == []


@st.composite
def address_like_values(draw: st.DrawFn) -> str:
    value = f"{draw(st.sampled_from(LOCALS))}@{draw(st.sampled_from(DOMAINS))}"
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(value)))
        piece = draw(
            st.sampled_from(
                [
                    "",
                    ".",
                    "-",
                    "--",
                    "@",
                    "ø",
                    " ",
                    "\u00a0",
                    '"',
                    "<",
                    "[",
                    "A",
                    "1",
                    "\0",
                    "\n",
                    "xn--",
                    "\u0338",
                    "😀",
                ]
            )
        )
        value = value[:place] + piece + value[place + draw(st.integers(0, 2)) :]
    return value.strip()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | address_like_values(), max_size=20), st.integers(0, 2))
def test_columns_agree_with_the_library(values: list[str | None], skipped: int) -> None:
    column = pa.array(values, pa.string()).slice(skipped)
    assert email_address.normalise(column).to_pylist() == [by_the_library(value) for value in values[skipped:]]


@settings(max_examples=150, deadline=None)
@given(st.lists(email_texts.map(str.strip), max_size=20))
def test_what_actors_send_is_judged_as_the_library_judges_it(values: list[str]) -> None:
    assert_agreement(values)


@settings(max_examples=150, deadline=None)
@given(address_like_values())
def test_a_refused_value_has_a_known_reason(value: str) -> None:
    if by_the_library(value) is None:
        assert email_address.reason(value) in email_address.REASONS


def test_ordinary_values_never_reach_the_library() -> None:
    values = [
        "a@x.dk",
        "Jens.Hansen@Gmail.COM",
        "søren@x.dk",
        "INFO@x.dk",
        "a@x.test",
        "a@x",
        "ingen",
        "a@x.dk; b@x.dk",
        "",
        None,
    ]
    values += ["Jens <a@x.dk>", '"a"@x.dk', "a@[1.2.3.4]", "a\u00a0@x.dk", "søren\u200b@x.dk", "a@@x.dk", "a..b@x.dk"]
    asked: list[str] = []
    email_address.normalise(pa.array(values, pa.string()), asked)
    assert asked == []


def test_a_domain_reaches_the_library_once() -> None:
    values = [
        f"{local}@{domain}" for local in ("a", "b", "ø", "B.c") for domain in ("bøf.dk", "xn--bf-lka.dk", "a--b.dk")
    ]
    asked: list[str] = []
    email_address.normalise(pa.array(values * 2, pa.string()), asked)
    assert sorted(asked) == ["a@a--b.dk", "a@bøf.dk", "a@xn--bf-lka.dk"]


def test_a_domain_is_remembered_from_one_column_to_the_next() -> None:
    email_address._validate_domain.cache_clear()
    for values in (["a@bøf.dk", "b@bøf.dk"], ["c@bøf.dk"]):
        assert_agreement(values)
    assert email_address._validate_domain.cache_info().misses == 1


@pytest.mark.parametrize(
    ("value", "slug"),
    [
        ("20 12 34 56", "looks-like-phone-number"),
        ("+4520123456", "looks-like-phone-number"),
        ("ingen", "no-at-sign"),
        ("Jens Hansen <a@x.dk>", "name-and-address"),
        ("a@x.dk; b@x.dk", "several-at-signs"),
        ("a\u200b@x.dk", "invisible-character"),
        ("a b@x.dk", "whitespace"),
        ("a\u00a0b@x.dk", "whitespace"),
        ("@x.dk", "nothing-before-at-sign"),
        ("a@", "nothing-after-at-sign"),
        ("a@" + "x" * 64 + ".dk", "too-long"),
        ("a" * 255 + "@x.dk", "too-long"),
        ("a@gmail", "no-dot-in-domain"),
        ("a@mail.test", "special-use-domain"),
        ("a@test", "special-use-domain"),
        ("a.@x.dk", "misplaced-dot"),
        ("a@x.dk.", "misplaced-dot"),
        ("a@x..dk", "misplaced-dot"),
        ("a(b)@x.dk", "characters-before-at-sign"),
        ("a@x_y.dk", "characters-in-domain"),
        ("a@x.1", "no-such-top-level-domain"),
        ("a@-x.dk", "syntax"),
    ],
)
def test_reasons(value: str, slug: str) -> None:
    assert by_the_library(value) is None
    assert email_address.reason(value) == slug
