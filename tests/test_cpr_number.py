"""CPR numbers read as columns, against one text read slowly by DOMAIN 6."""

import datetime
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cpr_texts

from afstem import cpr_number
from afstem.schema import NO_CPR


def slow_number(text: str) -> int:
    """One text as DOMAIN 6 reads it, by the calendar of the standard library."""
    if not re.fullmatch(r"[0-9]{6}-?[0-9]{4}", text):
        return NO_CPR
    digits = text.replace("-", "")
    if digits == "0000000000":
        return 0
    day, month, yy, seventh = int(digits[:2]), int(digits[2:4]), int(digits[4:6]), int(digits[6])
    if seventh <= 3:
        century = 1900
    elif seventh in (4, 9):
        century = 2000 if yy <= 36 else 1900
    else:
        century = 2000 if yy <= 57 else 1800
    try:
        datetime.date(century + yy, month, day)
    except ValueError:
        return NO_CPR
    return int(digits)


def read(texts: list[str | None]) -> list[int]:
    return cpr_number.read_numbers(pa.array(texts, pa.string())).tolist()


def numbers_of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0101011234", 101011234),
        ("010101-1234", 101011234),
        ("0000000000", 0),
        ("000000-0000", 0),
        ("0000000001", NO_CPR),
        ("2902000001", NO_CPR),  # 1900 was no leap year
        ("2902004001", 2902004001),  # 2000 was
        ("2902005001", 2902005001),
        ("3112999999", 3112999999),
        ("3102010001", NO_CPR),
        ("6101010001", NO_CPR),  # a replacement number
        ("0113010001", NO_CPR),
        ("01010-11234", NO_CPR),
        ("010101_1234", NO_CPR),
        ("010101--234", NO_CPR),
        ("٠١٠١٠١١٢٣٤", NO_CPR),
        ("01010112345", NO_CPR),
        ("", NO_CPR),
        (None, NO_CPR),
    ],
)
def test_texts_are_read_as_the_contract_says(text: str | None, number: int) -> None:
    assert read([text]) == [number]


def test_every_day_and_century_agrees_with_the_calendar() -> None:
    texts = [f"{day:02}{month:02}{yy:02}{seventh}001"
             for day in (0, 1, 28, 29, 30, 31, 32, 61, 99)
             for month in (*range(14), 99)
             for yy in range(100)
             for seventh in range(10)]  # fmt: skip
    assert read(texts) == [slow_number(text) for text in texts]


@st.composite
def cpr_like_texts(draw: st.DrawFn) -> str:
    day, month, rest = draw(st.integers(0, 99)), draw(st.integers(0, 14)), draw(st.integers(0, 999_999))
    text = f"{draw(st.sampled_from([day, day % 32]))}".zfill(2) + f"{month:02}{rest:06}"
    if draw(st.booleans()):
        text = f"{text[:6]}{draw(st.sampled_from('- –/_'))}{text[6:]}"
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, len(text) - 1))
        text = text[:place] + draw(st.sampled_from(["", "A", "é", "٣", "\0", "-", "🙂", "00"])) + text[place + 1 :]
    return text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | cpr_like_texts(), max_size=30), st.integers(0, 3))
def test_columns_agree_with_single_texts(texts: list[str | None], skipped: int) -> None:
    column = pa.array(texts, pa.string()).slice(skipped)
    expected = [slow_number(text or "") for text in texts[skipped:]]
    assert cpr_number.read_numbers(column).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(cpr_texts.map(str.strip), max_size=30))
def test_what_actors_send_is_read_as_the_contract_says(texts: list[str]) -> None:
    assert read(texts) == [slow_number(text) for text in texts]


@settings(max_examples=200, deadline=None)
@given(cpr_like_texts())
def test_a_text_that_is_no_number_has_a_known_reason(text: str) -> None:
    if slow_number(text) == NO_CPR:
        assert cpr_number.reason(text) in cpr_number.REASONS


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("", "too-short"),
        ("01010112", "too-short"),
        ("101011234", "lost-leading-zero"),
        ("10101-1234", "lost-leading-zero"),
        ("991011234", "too-short"),
        ("01010112345", "too-long"),
        ("010101-123A", "letters"),
        ("ukendt", "letters"),
        ("٠١٠١٠١١٢٣٤", "other-digits"),
        ("010101 1234", "other-characters"),
        ("0101-011234", "misplaced-hyphen"),
        ("-0101011234", "misplaced-hyphen"),
        ("6101011234", "replacement-number"),
        ("910101-1234", "replacement-number"),
        ("3002011234", "no-such-date"),
        ("2902000001", "no-such-date"),
        ("9999999999", "no-such-date"),
    ],
)
def test_reasons(text: str, slug: str) -> None:
    assert slow_number(text) == NO_CPR
    assert cpr_number.reason(text) == slug


def test_modulus_11_is_reckoned_with_the_weights_of_the_cpr_office() -> None:
    weights = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
    numbers = np.arange(101_010_000, 101_020_000)
    expected = [
        sum(weight * int(digit) for weight, digit in zip(weights, f"{number:010}", strict=True)) % 11 != 0
        for number in numbers.tolist()
    ]
    assert cpr_number.fails_modulus_11(numbers).tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert not cpr_number.fails_modulus_11(numbers_of(NO_CPR)).any()


def test_numbers_are_written_with_their_leading_zeros() -> None:
    assert cpr_number.to_texts(numbers_of(0, 101011234, NO_CPR, 3112999999)).to_pylist() == [
        "0000000000",
        "0101011234",
        None,
        "3112999999",
    ]
    assert cpr_number.to_texts(numbers_of()).to_pylist() == []
