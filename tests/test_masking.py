"""Masking: nothing of a CPR number or of a value's content gets through, and what is harmless stays readable."""

import hashlib
import hmac
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afstem import cpr_number, masking

CODE_POINTS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
ASSIGNED = [*CODE_POINTS[:0x20000], *map(chr, range(0xE0000, 0xE0200)), chr(0x10FFFD)]


def takes_no_room(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cn", "Mn", "Me") or sign in "\u115f\u1160\u3164\uffa0"


def hides_cpr(text: str) -> set[int]:
    """The places of all digits that belong to something like a CPR number, by trying every ten digits in turn."""
    hidden: set[int] = set()
    for start in range(len(text)):
        places: list[int] = []
        gap = 0
        for place in range(start, len(text)):
            sign = text[place]
            if unicodedata.digit(sign, None) is not None:
                if gap > 3:
                    break
                places.append(place)
                gap = 0
            elif not places:
                break
            elif not takes_no_room(sign):
                if sign.isalnum():
                    break
                gap += 1
            if len(places) == 10:
                digits = [unicodedata.digit(text[each]) for each in places]
                day, month = 10 * digits[0] + digits[1], 10 * digits[2] + digits[3]
                if (1 <= day <= 31 or 61 <= day <= 91) and 1 <= month <= 12:
                    hidden.update(places)
                break
    return hidden


@st.composite
def texts_with_digits(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(st.sampled_from([*"0123456789" * 3, "01", "0101", "3112", "7103"]), min_size=4, max_size=24))
    gaps = ["", "", "", "", "", "-", " ", "\u200b", "\u00a0", "..", "---", "----", "a", "ø", "½", "\u0301", "@", "🙂"]
    gaps += ["\u200b" * 5, "\u0301\0\u2066\u3164\ufeff", "-\u200b-\u200b-\u200b-", "-\u200b-\u200b-\u200b"]
    zero = draw(st.sampled_from(["0", "0", "0", "０", "٠", "𝟎"]))
    text = "".join(piece + draw(st.sampled_from(gaps)) for piece in pieces)
    return "".join(chr(ord(zero) + int(sign)) if sign in "0123456789" else sign for sign in text)


@settings(max_examples=200, deadline=None)
@given(texts_with_digits())
def test_the_digits_of_anything_like_a_cpr_number_are_hidden_and_nothing_else(text: str) -> None:
    hidden = hides_cpr(text)
    expected = "".join("#" if place in hidden else sign for place, sign in enumerate(text))
    assert masking.mask_cpr_like(text) == expected


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("0101901234", "##########"),
        ("010190-1234", "######-####"),
        ("6101901234", "##########"),
        ("9112901234", "##########"),
        ("9212901234", "9212901234"),
        ("9901901234", "9901901234"),
        ("0113901234", "0113901234"),
        ("0101901234@mail.dk", "##########@mail.dk"),
        ("+4520123456", "+4520123456"),
        ("+45 0101901234", "+45 ##########"),
        ("99010190123499", "9###########99"),  # 90 is a day of replacement numbers
        ("010190123412", "##########12"),
        ("010112010112", "############"),  # the first ten, and the last ten
        ("0\u200b1\u200b0\u200b1\u200b9\u200b0\u200b1\u200b2\u200b3\u200b4", "\u200b".join("#" * 10)),
        ("٠١٠١٩٠١٢٣٤", "##########"),
        ("010190 - 1234", "###### - ####"),
        ("010190 -- 1234", "010190 -- 1234"),
        ("010190" + "\u200b" * 50 + "1234", "######" + "\u200b" * 50 + "####"),
        ("01\u0336\u0337\u0338\u0339\u033a01901234", "##\u0336\u0337\u0338\u0339\u033a########"),
        ("010190\u3164\u3164\u3164\u31641234", "######\u3164\u3164\u3164\u3164####"),
        ("010190\u20661234\u2069", "######\u2066####\u2069"),
        ("010190a1234", "010190a1234"),
        ("12345678", "12345678"),
        ("", ""),
    ],
)
def test_values_with_something_like_a_cpr_number(text: str, masked: str) -> None:
    assert masking.mask_cpr_like(text) == masked


@settings(max_examples=80, deadline=None)
@given(st.lists(st.none() | texts_with_digits(), max_size=12), st.integers(0, 2))
def test_columns_are_masked_as_single_values_are(values: list[str | None], skipped: int) -> None:
    masked = masking.mask_values(pa.array(values, pa.string()).slice(skipped)).to_pylist()
    assert masked == [None if value is None else masking.mask_cpr_like(value) for value in values[skipped:]]


def test_digits_of_every_script_are_seen_in_columns_too() -> None:
    digits = [sign for sign in CODE_POINTS if unicodedata.digit(sign, None) == 1]
    assert len(digits) > 60
    values = [f"0{digit}0{digit}90{digit}234" for digit in digits]
    assert masking.mask_values(pa.array(values)).to_pylist() == ["#" * 10] * len(values)


def test_long_values_are_cut_after_they_are_masked() -> None:
    long = "x" * 315 + "0101901234"
    assert masking.mask_values(pa.array(["x" * 320, "x" * 321, long, "ø" * 320, None])).to_pylist() == [
        "x" * 320,
        "x" * 320 + "…",
        "x" * 315 + "#####…",
        "ø" * 320,
        None,
    ]


def test_a_number_that_begins_in_the_part_that_is_kept_is_masked_to_its_end() -> None:
    spread = "x" * 300 + ("\u200b" * 99).join("0101901234")
    [masked] = masking.mask_values(pa.array([spread])).to_pylist()
    assert masked == ("x" * 300 + "#" + "\u200b" * 19 + "…")
    assert masking.mask_values(pa.array(["1" * 1_000_000])).to_pylist() == ["#" * 320 + "…"]


def test_citizens_are_shown_by_their_birth_date_and_other_texts_by_their_shape() -> None:
    texts = pa.array(
        ["0101901234", "010190-1234", "101901234", "01019A-123ø", None, "", "0000000000", "x" * 40], pa.string()
    )
    numbers = cpr_number.read_numbers(texts)
    assert masking.mask_cpr(texts, numbers).to_pylist() == [
        "010190-xxxx",
        "010190-xxxx",
        "#########",
        "#####A-###a",
        None,
        "",
        "000000-xxxx",
        "a" * 32 + "…",
    ]
    assert masking.mask_cpr(texts.slice(2, 2), numbers[2:4]).to_pylist() == ["#########", "#####A-###a"]
    assert masking.mask_cpr(texts[:0], numbers[:0]).to_pylist() == []


def test_a_shape_holds_no_character_of_the_text() -> None:
    for sign in ASSIGNED:
        assert masking.shape(sign) in ("#", "a", "A", "?") or sign in "-./ "
    assert masking.shape("Åse 12-٣٤.½/²\n") == "Aaa ##-##.#/#?"


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("k_0101901234_2026-11-22.csv", "k_##########_2026-11-22.csv"),
        ("010190-1234.csv", "######-####.csv"),
        ("010190_1234.csv", "######_####.csv"),
        ("010190 1234.csv.gz", "###### ####.csv.gz"),
        ("020390 - 1230.csv", "###### - ####.csv"),
        ("02.03.90-1230.csv", "##.##.##-####.csv"),
        ("2026-11-22-01.csv", "2026-11-22-01.csv"),
        ("20261122-0101.csv", "20261122-0101.csv"),
        ("kontakt-20261122120000.parquet", "kontakt-20261122120000.parquet"),
        ("9999901234.csv", "9999901234.csv"),
        ("K163_2026-11-22.csv", "K163_2026-11-22.csv"),
        ("010190\u200b1234.csv", "######\\u200b####.csv"),
        ("\x010190-1234.csv", "\\x######-####.csv"),
        ("a\n\x1b[31m\u202eæ\udce6\U000e0001.csv", "a\\n\\x1b[31m\\u202eæ\\xe6\\U000e0001.csv"),
    ],
)
def test_file_names_keep_their_dates(name: str, masked: str) -> None:
    assert masking.tell_file_name(name) == masked


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+4520123456", "+45••••••56"),
        ("2012345", "#######"),
        ("30993456789", "•••••••••89"),
        ("20123456789", "###########"),
        ("+45 20\u200b1234 56", "+45 ••[ZWSP]•••• 56"),
        ("+45 0101901234", "+## ##########"),
        ("0101901234", "##########"),
        ("Tlf. 20123456", "Aaa. ########"),
        ("jens..hansen@gmail.com", "aaaa..aaaaaa@gmail.com"),
        ("jens@GMAIL.com ", "aaaa@AAAAA.aaa "),
        ("jens@minby12.dk", "aaaa@aaaaa##.aa"),
        ("a@x.dk; b@gmail.com", "a@a.aa; a@aaaaa.aaa"),
        ("a\u00a0b\u202e\0\x01\U000110bd", "a[NBSP]a[RLO][NUL][U+0001][?]"),
        ("<b>test</b>", "<a>aaaa</a>"),
        ("–😀", "??"),
        ("", ""),
    ],
)
def test_values_in_html(value: str, shown: str) -> None:
    assert masking.display_value(value) == shown


def test_no_single_letter_or_digit_is_shown() -> None:
    for sign in ASSIGNED:
        shown = masking.display_value(sign)
        if sign.isalpha():
            assert shown in ("a", "A")
        if unicodedata.category(sign).startswith("N"):
            assert shown == "#"
        assert re.fullmatch(r"[ -~]|\[[A-Z]+\]|\[U\+[0-9A-F]{4}\]|\[\?\]", shown)


hostile = st.one_of(
    texts_with_digits(),
    st.lists(st.sampled_from([*"+019aø@.< ", "\u200b", "\U000110bd", "gmail.com", "٣"]), max_size=90).map("".join),
)


@settings(max_examples=200, deadline=None)
@given(hostile)
def test_what_html_shows_is_short_and_never_five_digits_in_a_row(value: str) -> None:
    shown = masking.display_value(value)
    assert len(shown) <= 60
    assert not re.search(r"\d{5}", shown)
    assert sum(sign.isdigit() for sign in re.sub(r"\[U\+....\]", "", shown)) <= 4


@pytest.mark.parametrize("length", [59, 60, 61, 200])
def test_values_in_html_are_cut_only_when_they_are_longer_than_sixty(length: int) -> None:
    assert masking.display_value("x" * length) == ("a" * length if length <= 60 else "a" * 59 + "…")
    with_domain = masking.display_value("x" * (length - len("@gmail.com")) + "@gmail.com")
    assert len(with_domain) == min(length, 60)
    assert with_domain.endswith("@gmail.com")


def test_tokens_are_keyed_and_the_same_for_the_same_text() -> None:
    first = masking.tokens(["0101901234", "0101901235", "0101901234"], b"key")
    assert first[0] == first[2] != first[1]
    assert first[0] == hmac.new(b"key", b"0101901234", hashlib.sha256).hexdigest()[:32]
    assert masking.tokens(["0101901234"], b"other") != first[:1]


def test_numbers_of_a_million_are_masked_in_order() -> None:
    numbers = np.arange(101_010_000, 101_020_000) % 11 * 101_010_000
    texts = cpr_number.to_texts(numbers)
    assert masking.mask_cpr(texts, numbers).to_pylist() == [f"{text[:6]}-xxxx" for text in texts.to_pylist()]
