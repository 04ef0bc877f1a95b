"""CPR numbers: what is one, how it is read, and why a text is none.

A CPR number (personnummer) is ten digits, DDMMYYSSSS: a birth date and a serial whose first digit tells, with
the year, the century. The CPR office issues them. Modulus 11 held for all of them until 2007 and is no rule
since: numbers without it are fully valid (cpr.dk, "Personnumre uden kontrolciffer"; DOMAIN 6), so it is never a
reason here. ``0000000000`` is the official number for "unknown" and reads as 0.

In columns a number is an int64 (0 to 3112999999), `schema.NO_CPR` where a text is none.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from afstem.schema import NO_CPR
from afstem.text_bytes import Bools, Ints, Octets, bytes_of, fixed_width_texts

REASONS = (
    "letters",
    "other-digits",
    "other-characters",
    "lost-leading-zero",
    "too-short",
    "too-long",
    "misplaced-hyphen",
    "replacement-number",
    "no-such-date",
)
"""Every slug that `reason` can give."""

_DIGITS = 10
_HYPHEN_AT = 6
_AROUND_HYPHEN = [place for place in range(_DIGITS + 1) if place != _HYPHEN_AT]
_WEIGHTS_MODULUS_11 = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_NEVER, _ALWAYS, _IN_LEAP_YEARS = 0, 1, 2


@lru_cache(maxsize=1)
def _day_table() -> npt.NDArray[np.uint8]:
    """For each DDMM (0 to 9999) whether such a day exists: never, always, or in leap years only."""
    table = np.full(10_000, _NEVER, np.uint8)
    for month, days in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1):
        table[[day * 100 + month for day in range(1, days + 1)]] = _ALWAYS
    table[29_02] = _IN_LEAP_YEARS
    return table


@lru_cache(maxsize=1)
def _leap_table() -> Bools:
    """For each YY and seventh digit (YY * 10 + digit) whether the year they mean is a leap year (DOMAIN 6)."""
    table = np.zeros(1_000, np.bool_)
    for yy in range(100):
        for seventh in range(10):
            if seventh <= 3:
                century = 1900
            elif seventh in (4, 9):
                century = 2000 if yy <= 36 else 1900
            else:
                century = 2000 if yy <= 57 else 1800
            year = century + yy
            table[yy * 10 + seventh] = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return table


def read_numbers(texts: pa.StringArray) -> Ints:
    """The CPR number of each text (trimmed before), `NO_CPR` where it is none (SPEC 4.2, code 1001).

    A text is ten ASCII digits, or ``DDMMYY-XXXX``, whose first six are a calendar date in the century that the
    seventh tells (DOMAIN 6), or ten zeros.
    """
    column = bytes_of(texts)
    numbers = np.full(len(texts), NO_CPR, np.int64)
    plain = np.flatnonzero(column.lengths == _DIGITS)
    numbers[plain] = _numbers_of(column.windows(column.starts[plain], _DIGITS).T)
    longer = np.flatnonzero(column.lengths == _DIGITS + 1)
    characters = column.windows(column.starts[longer], _DIGITS + 1).T
    hyphened = characters[_HYPHEN_AT] == ord("-")
    numbers[longer] = np.where(hyphened, _numbers_of(characters[_AROUND_HYPHEN]), NO_CPR)
    return numbers


def _numbers_of(characters: Octets) -> Ints:
    """The numbers of texts of ten bytes each, one column a text."""
    digits = np.subtract(characters, ord("0"), dtype=np.uint8, order="C")
    readable = (digits <= 9).all(axis=0)
    # Pairs of digits still fit a byte, and in bytes the processor reckons many at a time.
    pairs = digits[::2] * np.uint8(10) + digits[1::2]
    pairs[:, ~readable] = 0
    day_month = pairs[0] * np.int64(100) + pairs[1]
    number = day_month
    for pair in pairs[2:]:
        number = number * 100 + pair
    exists = _day_table()[day_month]
    a_date = exists == _ALWAYS
    leap_days = np.flatnonzero(exists == _IN_LEAP_YEARS)
    a_date[leap_days] = _leap_table()[number[leap_days] % 1_000_000 // 1_000]
    return np.where(readable & (a_date | (number == 0)), number, NO_CPR)


def reason(text: str) -> str:
    """Why a (trimmed) text is no CPR number, as one of `REASONS`; for texts that `read_numbers` refuses."""
    digits = text
    if not (text.isascii() and text.isdigit()):
        if any(map(str.isalpha, text)):
            return "letters"
        if any(character.isdigit() and not character.isascii() for character in text):
            return "other-digits"
        digits = "".join(filter(str.isdigit, text))
        if len(digits) + text.count("-") < len(text):
            return "other-characters"
    if len(digits) == _DIGITS - 1 and "-" not in text[:5] and _is_number("0" + digits):
        return "lost-leading-zero"
    if len(digits) != _DIGITS:
        return "too-short" if len(digits) < _DIGITS else "too-long"
    if text not in (digits, f"{digits[:_HYPHEN_AT]}-{digits[_HYPHEN_AT:]}"):
        return "misplaced-hyphen"
    # The CPR office recommends replacement numbers whose day is raised by 60 (DOMAIN 6).
    if digits[0] >= "6" and _is_number(f"{int(digits[0]) - 6}{digits[1:]}"):
        return "replacement-number"
    return "no-such-date"


def _is_number(digits: str) -> bool:
    """Whether ten digits are a CPR number, by the tables that `read_numbers` uses; for a single text."""
    exists = _day_table()[int(digits[:4])]
    leap = bool(_leap_table()[int(digits[4:7])])
    return digits == "0" * _DIGITS or bool(exists == _ALWAYS or (exists == _IN_LEAP_YEARS and leap))


def fails_modulus_11(numbers: Ints) -> Bools:
    """Where a CPR number does not meet modulus 11 (notice N4); false where there is no number."""
    rest = np.maximum(numbers, 0)
    total = np.zeros(len(numbers), np.int64)
    for weight in reversed(_WEIGHTS_MODULUS_11):
        rest, digit = np.divmod(rest, 10)
        total += weight * digit
    fails: Bools = (numbers >= 0) & (total % 11 != 0)
    return fails


def to_texts(numbers: Ints) -> pa.StringArray:
    """The ten digits of each number, null where there is none."""
    present = numbers >= 0
    return fixed_width_texts(digit_rows(numbers[present], _DIGITS), present)


def digit_rows(numbers: Ints, width: int) -> Octets:
    """The last ``width`` decimal digits of each number (at least 0) as ASCII, one row a number."""
    rows = np.empty((len(numbers), width), np.uint8)
    rest = numbers
    for column in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        rows[:, column] = digit + ord("0")
    return rows
