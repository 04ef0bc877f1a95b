"""Phone numbers decided as columns, against the library asked about one value at a time (SPEC 4.5)."""

import unicodedata
from collections.abc import Callable, Iterator
from copy import copy
from functools import cache
from typing import Any

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberDesc
from phonenumbers import PhoneNumberType as Type
from strategies import phone_texts

from afstem import phone_number
from afstem.phone_number import numbering_plan
from afstem.schema import ContactType

MOBILE = {Type.MOBILE, Type.FIXED_LINE_OR_MOBILE}
LANDLINE = {Type.FIXED_LINE, Type.FIXED_LINE_OR_MOBILE, Type.MOBILE, Type.VOIP, Type.PERSONAL_NUMBER, Type.UAN}
TYPES = {ContactType.MOBILE: MOBILE, ContactType.LANDLINE: LANDLINE}


@cache
def asked_of_the_library(value: str) -> tuple[str, int] | None:
    """The E.164 form and the type of an acceptable number: SPEC 4.5 to the letter."""
    if any(sign.isalpha() or unicodedata.category(sign) == "Cc" for sign in value):
        return None
    try:
        number = phonenumbers.parse(value, "DK")
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), phonenumbers.number_type(number)


def by_the_library(value: str | None, types: set[int]) -> str | None:
    verdict = None if value is None else asked_of_the_library(value)
    return verdict[0] if verdict is not None and verdict[1] in types else None


def assert_agreement(values: list[str | None]) -> None:
    column = pa.array(values, pa.string())
    for normalise, types in ((phone_number.normalise_mobile, MOBILE), (phone_number.normalise_landline, LANDLINE)):
        answers = normalise(column).to_pylist()
        assert len(answers) == len(values)
        wrong = [
            (value, answer, expected)
            for value, answer in zip(values, answers, strict=True)
            if answer != (expected := by_the_library(value, types))
        ]
        assert not wrong


def all_examples() -> list[tuple[int, str]]:
    """The example numbers of every region, calling code and type, as calling code and national number."""
    found = [
        phonenumbers.example_number_for_type(region, number_type)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for number_type in Type.values()
    ]
    found += [
        phonenumbers.example_number_for_non_geo_entity(code) for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    ]
    return sorted(
        {
            (number.country_code, phonenumbers.national_significant_number(number))
            for number in found
            if number is not None
        }
    )


EXAMPLES = all_examples()


def test_every_leading_digit_of_denmark() -> None:
    leading = [f"{number:03}" for number in range(1_000)]
    assert_agreement([f"{digits}{rest}" for digits in leading for rest in ("00000", "54321", "99999")])
    assert_agreement([f"+45{digits}12345" for digits in leading])


@pytest.mark.parametrize("digits", ["20123456", "45201234", "00461234", "80123456", "12345678", "01234567"])
def test_danish_numbers_of_every_length_and_spelling(digits: str) -> None:
    bodies = [digits[:length] for length in range(9)] + [
        digits + more for more in ("0", "12", "345", "67890", "0" * 12)
    ]
    prefixes = [
        "",
        "45",
        "+45",
        "0045",
        "+0045",
        "00",
        "+",
        "000045",
        "+00045",
        "++45",
        "+45 0",
        "045",
        "(+45)",
        "+4545",
    ]
    assert_agreement([prefix + body for prefix in prefixes for body in bodies])


@pytest.mark.parametrize(
    "spelling",
    [
        *(
            "+{0}{1}",
            "00{0}{1}",
            "+00{0}{1}",
            "+{0} (0) {1}",
            "+{0} 0{1}",
            "+{0}1{1}",
            "+{0}8{1}",
            "{0}{1}",
            "{1}",
            "0{1}",
        ),
        *("tel:+{0}-{1}", "+{0}{1};ext=5", "+{0} {1} x5", "(+{0}) {1}", "\uff0b{0}{1}", "+\u00ad{0}\u2013{1}\u200b"),
    ],
)
def test_the_examples_of_every_region_and_type(spelling: str) -> None:
    assert len(EXAMPLES) > 1_000
    assert_agreement([spelling.format(code, national) for code, national in EXAMPLES])


@pytest.mark.parametrize("change", ["drop-last", "drop-first", "one-more", "other-first", "other-last", "zeros"])
def test_the_examples_with_one_thing_changed(change: str) -> None:
    changed = {
        "drop-last": lambda text: text[:-1],
        "drop-first": lambda text: text[1:],
        "one-more": lambda text: text + "7",
        "other-first": lambda text: f"{(int(text[0]) + 1) % 10}{text[1:]}",
        "other-last": lambda text: f"{text[:-1]}{(int(text[-1]) + 5) % 10}",
        "zeros": lambda text: "0" * len(text),
    }[change]
    assert_agreement([f"+{code}{changed(national)}" for code, national in EXAMPLES])


def test_the_type_of_a_number_is_the_type_the_library_gives() -> None:
    # The last three begin like a national prefix, but are valid only with it.
    digits = [f"{code}{national}" for code, national in EXAMPLES] + [
        "8100372498774920",
        "81006608418895",
        "37580042021",
    ]
    verdicts = [numbering_plan.international_verdict(text) for text in digits]
    assert verdicts == [asked_of_the_library(f"+{text}") for text in digits]
    assert len({verdict[1] for verdict in verdicts if verdict is not None}) == 11


def test_a_plus_sign_counts_only_where_it_stands_first() -> None:
    digits = ["20123456", "4520123456", "46701234567", "201001234567", "004520123456"]
    values = [f"{text[:place]}+{text[place:]}" for text in digits for place in range(len(text) + 1)]
    assert_agreement(
        [*values, *(f"{before}{value}" for before in "(-. " for value in values), "+20123456+", "((+4520123456"]
    )


def test_what_begins_like_a_national_prefix() -> None:
    # Each example after something that may be a prefix, and cut or lengthened so that what is left after the prefix
    # is too short, just right, or too long.
    several = [
        (code, national) for code, national in EXAMPLES if len(phonenumbers.region_codes_for_country_code(code)) < 5
    ]
    prefixes = ["0", "1", "8", "7", "06", "01", "15", "9", "44"]
    values = []
    for index, (code, national) in enumerate(several):
        prefix = prefixes[index % len(prefixes)]
        values += [f"+{code}{prefix}{national[: len(national) - cut]}" for cut in (0, 1, 2, 3)]
        values += [f"+{code}{national[:3]}{prefix}{national[3:]}", f"+{code}{prefix}{national}12"]
    assert_agreement(values)


@settings(max_examples=150, deadline=None)
@given(st.lists(phone_texts.map(str.strip), max_size=12))
def test_what_actors_send_is_judged_as_the_library_judges_it(values: list[str]) -> None:
    assert_agreement(values)


BLANKS = ["", "", "", " ", "  ", "\u00a0", "-", ".", "/", "(", ")", "\u2013", "\u2212", "\u200b", "\u00ad", "\u3000"]
ODD = [
    "\t",
    "\0",
    "x",
    "ext",
    "#",
    "##",
    "*",
    ",",
    ",,",
    ";",
    ";ext=",
    ":",
    "~",
    "[",
    "]",
    "_",
    "'",
    "&",
    "+",
    "@",
    "\\",
]
ODD += [
    "\uff0b",
    "\u202f",
    "\u2009",
    "\u200e",
    "\u202a",
    "\ufeff",
    "\u0301",
    "\x85",
    "½",
    "²",
    "①",
    "Ⅷ",
    "ー",
    "一",
    "🙂",
]
ODD += ["ø", "é", "tel:", ";phone-context=+45", ";isub=1", "lok. 3", "O", "l", "/ 20123456"]


@st.composite
def phone_like_values(draw: st.DrawFn) -> str:
    code, national = draw(st.sampled_from(EXAMPLES) | st.just((45, "20123456")))
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(national) - 1))
        national = national[:place] + draw(st.sampled_from(["", "0", "9", "12"])) + national[place + 1 :]
    head = draw(
        st.sampled_from(["+{}", "00{}", "{}", "", "+{}(0)", "(+{})", "+00{}", "++{}", "+ {}", "(00{})", "0", "+{}0"])
    )
    text = "".join(digit + draw(st.sampled_from(BLANKS)) for digit in head.format(code) + national)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(text)) | st.sampled_from([0, len(text)]))
        text = text[:place] + draw(st.sampled_from(ODD + BLANKS)) + text[place:]
    zero = draw(st.sampled_from(["0", "0", "0", "０", "٠", "۰", "०", "𝟎"]))
    if zero != "0":
        text = "".join(chr(ord(zero) + int(sign)) if sign in "0123456789" else sign for sign in text)
    return text.strip()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.none() | phone_like_values(), max_size=12), st.integers(0, 2))
def test_columns_agree_with_the_library(values: list[str | None], skipped: int) -> None:
    column = pa.array(values, pa.string()).slice(skipped)
    expected = [by_the_library(value, MOBILE) for value in values[skipped:]]
    assert phone_number.normalise_mobile(column).to_pylist() == expected
    assert_agreement(values)


@pytest.mark.parametrize("length", [247, 248, 249, 250, 251, 252, 70_000])
@pytest.mark.parametrize("blank", [" ", "\u00a0", "-"])
def test_the_library_reads_250_characters_and_no_more(length: int, blank: str) -> None:
    value = "20" + blank * (length - 8) + "123456"
    assert_agreement([value, "20123456"])


def test_every_code_point_between_the_digits() -> None:
    signs = [chr(code) for code in range(0x3100) if not 0xD800 <= code <= 0xDFFF]
    signs += [chr(code) for code in range(0xFE00, 0xFFFF)]
    assert_agreement([f"2012{sign}3456" for sign in signs])


def test_what_is_taken_for_punctuation_is_punctuation_to_the_library() -> None:
    blanks = [*" -./()", *(sign for sign in map(chr, range(0x10000)) if unicodedata.category(sign)[0] in "ZPC")]
    values = [f"{blank}20{blank}12{blank * 2}3456{blank}" for blank in blanks if not "\ud800" <= blank <= "\udfff"]
    assert_agreement(values)


def test_without_a_table_for_denmark_the_library_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["20123456", "+45 80 12 34 56", "4520123456", "+46701234567", "1"]
    column = pa.array(values, pa.string())
    expected = phone_number.normalise_mobile(column)
    monkeypatch.setattr(phone_number, "danish_types", lambda: None)
    asked: list[str] = []
    assert phone_number.normalise_mobile(column, asked).equals(expected)
    assert asked == values


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Change the metadata of Denmark, as an upgrade of the library does, for the library as well."""

    def forget() -> None:
        numbering_plan.danish_types.cache_clear()
        numbering_plan._calling_code.cache_clear()
        phone_number._parsed.cache_clear()
        asked_of_the_library.cache_clear()

    def change(**changes: Any) -> None:
        metadata = copy(PhoneMetadata.metadata_for_region("DK"))
        metadata._mutable = True
        for name, value in changes.items():
            setattr(metadata, name, value)
        monkeypatch.setitem(PhoneMetadata._region_metadata, "DK", metadata)
        forget()

    yield change
    monkeypatch.undo()
    forget()


def numbers_like(pattern: str) -> PhoneNumberDesc:
    return PhoneNumberDesc(national_number_pattern=pattern, possible_length=(8,))


EVERY_THIRD_DIGIT = [f"{prefix}{leading:03}45678" for prefix in ("", "+45", "0045 ") for leading in range(1_000)]


def test_the_fast_path_moves_with_the_metadata_of_the_library(doctor: Callable[..., None]) -> None:
    before = phone_number.normalise_mobile(pa.array(EVERY_THIRD_DIGIT)).to_pylist()
    doctor(
        general_desc=numbers_like(r"[1-9]\d{7}"),
        fixed_line=numbers_like(r"(?:1[2-4]|7\d)\d{6}"),
        mobile=numbers_like(r"(?:1[3-5]\d|204)\d{5}"),
        voip=numbers_like(r"7070\d{4}"),
        same_mobile_and_fixed_line_pattern=False,
    )
    asked: list[str] = []
    after = phone_number.normalise_mobile(pa.array(EVERY_THIRD_DIGIT), asked).to_pylist()
    assert asked == []
    assert [form for form in after[:1_000] if form] == [f"+45{leading}45678" for leading in (*range(130, 160), 204)]
    assert before != after
    assert_agreement([*EVERY_THIRD_DIGIT, "70701234", "70711234"])


@pytest.mark.parametrize(
    "changes",
    [
        {"mobile": numbers_like(r"2(?!0)\d{7}")},
        {"toll_free": numbers_like(r"80\d*")},
        {"general_desc": PhoneNumberDesc(national_number_pattern=r"\d{8,9}", possible_length=(8, 9))},
        {"national_prefix_for_parsing": "0", "national_prefix": "0"},
        {"international_prefix": "0[01]"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_metadata_that_the_table_cannot_tell_is_left_to_the_library(
    doctor: Callable[..., None], changes: dict[str, Any]
) -> None:
    doctor(**changes)
    asked: list[str] = []
    phone_number.normalise_mobile(pa.array(["20123456", "80123456"]), asked)
    assert asked == ["20123456", "80123456"]
    assert_agreement([*EVERY_THIRD_DIGIT[::7], "020123456", "0120123456", "201234567"])


def test_plainly_written_values_never_reach_the_library() -> None:
    values = ["20123456", "+4520123456", "0045 20 12 34 56", "(+45) 20-12-34-56", "20\u00a012\u00a034\u00a056"]
    values += ["20–12–34–56", "4520123456", "8012345", "+46 70 123 45 67", "+46 (0)70 123 45 67", "0049 151 23456789"]
    values += ["+1 201 555 0123", "+999 123456", "Tlf. 20123456", "20123456 lok. 3", "2012\t3456", "navn@mail.dk", ""]
    asked: list[str] = []
    phone_number.normalise_mobile(pa.array(values, pa.string()), asked)
    assert asked == []


def test_an_odd_value_reaches_the_library_once() -> None:
    odd = ["２０１２３４５６", "20123456#1", "+20123456+"]
    asked: list[str] = []
    phone_number.normalise_landline(pa.array(odd * 3, pa.string()), asked)
    assert sorted(asked) == sorted(odd)


def test_the_installed_metadata_gives_a_table_for_denmark() -> None:
    types = numbering_plan.danish_types()
    assert types is not None
    assert {Type.FIXED_LINE_OR_MOBILE, Type.TOLL_FREE, Type.PREMIUM_RATE, Type.UNKNOWN} <= set(types.tolist())


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        (r"[2-3]\d", {str(number) for number in range(20, 40)}),
        (r"(?:1|2[04-5])", {"1", "20", "24", "25"}),
        (r"(1)\d{0,1}", {"1", *(str(number) for number in range(10, 20))}),
        (r"90{2}", {"900"}),
    ],
)
def test_patterns_are_expanded_to_what_they_match(pattern: str, matched: set[str]) -> None:
    shapes = numbering_plan.expand_pattern(pattern)
    assert shapes is not None
    strings = {""}
    found = set()
    for shape in shapes:
        strings = {""}
        for digits in shape:
            strings = {string + str(digit) for string in strings for digit in digits}
        found |= strings
    assert found == matched


@pytest.mark.parametrize("pattern", [r"2(?!3)\d", r"[^2]\d", r"2\d*", r"\w\d", r"(2)\1", r"^2", r"[a-z]\d", r"2|a"])
def test_patterns_that_say_more_are_left_alone(pattern: str) -> None:
    assert numbering_plan.expand_pattern(pattern) is None


@pytest.mark.parametrize(
    ("value", "slug"),
    [
        ("navn@mail.dk", "email-address"),
        ("Tlf. 20123456", "letters"),
        ("2012\t3456", "control-character"),
        ("20" + " " * 250 + "123456", "too-long"),
        ("20123456#12", "extension"),
        ("20123456;12", "extension"),
        ("?", "not-a-number"),
        ("+999 123 456", "unknown-country"),
        ("2012345", "too-short"),
        ("201234567", "too-long"),
        ("20123456/20123456", "too-long"),
        ("12345678", "not-in-use"),
        ("90123456", "premium-number"),
        ("80123456", "toll-free-number"),
        ("+46 8 12 34 56", "landline-number"),
        ("+44 70 1234 5678", "personal-number"),
    ],
)
def test_reasons(value: str, slug: str) -> None:
    assert by_the_library(value, MOBILE) is None
    assert phone_number.reason(value, ContactType.MOBILE) == slug


def test_an_acceptable_value_has_no_reason() -> None:
    with pytest.raises(ValueError, match="acceptable"):
        phone_number.reason("20123456", ContactType.MOBILE)


@settings(max_examples=150, deadline=None)
@given(
    phone_like_values() | st.from_regex(r"(\+45|0045|45|)[ (]?[0-9]{0,4}[-. ]?[0-9]{0,16}", fullmatch=True),
    st.sampled_from(ContactType),
)
def test_a_refused_value_has_a_known_reason(value: str, contact_type: ContactType) -> None:
    if contact_type is not ContactType.EMAIL and by_the_library(value, TYPES[contact_type]) is None:
        slug = phone_number.reason(value, contact_type)
        assert slug in phone_number.REASONS
        if slug not in ("email-address", "letters", "control-character"):
            assert slug == phone_number._library_reason(value, contact_type)


def test_plainly_danish_values_have_the_reason_the_library_would_give() -> None:
    bodies = [
        f"{digits}1234567890123456789"[:length]
        for digits in ("0", "1", "45", "80", "83", "90")
        for length in range(2, 21)
    ]
    for value in [prefix + body for prefix in ("", "45", "+45 ", "0045", "00", "+", "(+45)0") for body in bodies]:
        if by_the_library(value, MOBILE) is None:
            expected = phone_number._library_reason(value, ContactType.MOBILE)
            assert (value, phone_number.reason(value, ContactType.MOBILE)) == (value, expected)
