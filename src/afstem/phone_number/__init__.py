"""Phone numbers: which values a contact type accepts, and the form in which they are stored (SPEC 4.5).

The truth is `library_verdict`: parse for Denmark, is the number valid, what type is it, and a value with a
letter, a control character or an extension is refused whatever the library says. `normalise_mobile` and
`normalise_landline` must agree with it on every value. They decide plainly written values as columns, on their
digits alone, and give the rest to the library, once for each distinct value.

Plainly written: digits, with an optional plus sign before them, and between them blanks, no-break spaces, dots,
dashes, slashes and parentheses. The library takes all of these for punctuation that carries no meaning, so the
verdict depends on the digits and on the plus sign alone.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from afstem.phone_number.numbering_plan import (
    DANISH_CODE,
    DANISH_LENGTH,
    INTERNATIONAL_PREFIX,
    LONGEST_VALUE,
    Verdict,
    danish_types,
    international_verdict,
)
from afstem.schema import ContactType
from afstem.text_bytes import (
    Bools,
    Ints,
    Octets,
    TextBytes,
    are_eight_digits,
    assembled,
    bytes_of,
    fixed_width_texts,
    texts_of,
)

ACCEPTED_TYPES = {
    ContactType.MOBILE: frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}),
    ContactType.LANDLINE: frozenset(
        {
            PhoneNumberType.FIXED_LINE,
            PhoneNumberType.FIXED_LINE_OR_MOBILE,
            PhoneNumberType.MOBILE,
            PhoneNumberType.VOIP,
            PhoneNumberType.PERSONAL_NUMBER,
            PhoneNumberType.UAN,
        }
    ),
}
"""The types of number that each contact type takes (SPEC 4.5)."""

_SLUG_OF_TYPE = {
    PhoneNumberType.FIXED_LINE: "landline-number",
    PhoneNumberType.TOLL_FREE: "toll-free-number",
    PhoneNumberType.PREMIUM_RATE: "premium-number",
    PhoneNumberType.SHARED_COST: "shared-cost-number",
    PhoneNumberType.VOIP: "voip-number",
    PhoneNumberType.PERSONAL_NUMBER: "personal-number",
    PhoneNumberType.PAGER: "pager-number",
    PhoneNumberType.UAN: "company-number",
    PhoneNumberType.VOICEMAIL: "voicemail-number",
}
_SLUG_OF_PARSE_ERROR = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown-country",
    NumberParseException.NOT_A_NUMBER: "not-a-number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too-short",
    NumberParseException.TOO_SHORT_NSN: "too-short",
    NumberParseException.TOO_LONG: "too-long",
}
_SLUG_OF_LENGTH = {
    ValidationResult.TOO_SHORT: "too-short",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too-short",
    ValidationResult.TOO_LONG: "too-long",
    ValidationResult.INVALID_LENGTH: "wrong-length",
}
REASONS = (
    "email-address",
    "letters",
    "control-character",
    "extension",
    "not-a-number",
    "unknown-country",
    "too-short",
    "too-long",
    "wrong-length",
    "not-in-use",
    *_SLUG_OF_TYPE.values(),
)
"""Every slug that `reason` can give."""

_DANISH_PREFIX = f"+{DANISH_CODE}".encode()
_PLACE = "d"
_EIGHT = _PLACE * DANISH_LENGTH
_PAIRS = " ".join([_PLACE * 2] * (DANISH_LENGTH // 2))
_SIMPLE_SPELLINGS = (
    _EIGHT,
    f"+{DANISH_CODE}{_EIGHT}",
    f"{INTERNATIONAL_PREFIX}{DANISH_CODE}{_EIGHT}",
    _PAIRS,
    f"+{DANISH_CODE} {_PAIRS}",
)
"""How nearly all numbers are spelt; ``d`` stands for a digit."""

# What each byte of a value counts for; one sum a value then tells all four counts (a value has at most
# LONGEST_VALUE bytes when they are looked at, so no count runs into the next).
_DIGIT, _PLUS, _REFUSED, _ODD = 1, 1 << 16, 1 << 32, 1 << 48
_COUNT = 0xFFFF
_ASCII_PUNCTUATION = " -./()"
_OTHER_PUNCTUATION = r"[\x{00A0}\x{00AD}\x{200B}\x{2010}-\x{2015}\x{2060}\x{2212}\x{3000}]"
"""Blanks and dashes outside ASCII that the library knows as punctuation; none is a letter or a digit."""


EightDigits = npt.NDArray[np.uint64]
"""Danish national numbers: the eight ASCII digits of each as they lie in memory, in one integer."""

_WITHOUT_PUNCTUATION = str.maketrans("", "", _ASCII_PUNCTUATION)
_PLAIN_DANISH = re.compile(rf"(?:\+{DANISH_CODE}|00{DANISH_CODE}|(?!00|{DANISH_CODE}[0-9]{{7}}))([0-9]{{3,17}})")
"""A number that is plainly meant as Danish, without punctuation; the group is the national number."""


def normalise_mobile(values: pa.StringArray, asked: list[str] | None = None) -> pa.StringArray:
    """The E.164 form of each value (trimmed before) that is acceptable as a mobile number, else null.

    Values that the library had to judge are appended to ``asked``.
    """
    return _normalise(values, ContactType.MOBILE, asked)


def normalise_landline(values: pa.StringArray, asked: list[str] | None = None) -> pa.StringArray:
    """The E.164 form of each value (trimmed before) that is acceptable as a landline number, else null.

    Values that the library had to judge are appended to ``asked``.
    """
    return _normalise(values, ContactType.LANDLINE, asked)


def library_verdict(value: str) -> Verdict | None:
    """The E.164 form and the `PhoneNumberType` of a valid number, None for any other value: SPEC 4.5 to the letter."""
    if any(character.isalpha() or unicodedata.category(character) == "Cc" for character in value):
        return None
    number = _parsed(value)
    if isinstance(number, int) or number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164), phonenumbers.number_type(number)


@lru_cache(maxsize=10_000)
def _parsed(value: str) -> PhoneNumber | int:
    """What the library reads, or the kind of error why it does not.

    Remembered, for of a value that is refused the reason is asked next.
    """
    try:
        return phonenumbers.parse(value, "DK")
    except NumberParseException as error:
        return error.error_type


def reason(value: str, contact_type: ContactType) -> str:
    """Why a (trimmed) value is not acceptable for a contact type, as one of `REASONS`."""
    if "@" in value:
        return "email-address"
    if any(map(str.isalpha, value)):
        return "letters"
    if not value.isprintable() and any(unicodedata.category(character) == "Cc" for character in value):
        return "control-character"
    if len(value) > LONGEST_VALUE:
        return "too-long"
    found = _PLAIN_DANISH.fullmatch(value.translate(_WITHOUT_PUNCTUATION))
    types = danish_types()
    if found is None or types is None:
        return _library_reason(value, contact_type)
    national = found[1]
    if len(national) != DANISH_LENGTH:
        return "too-short" if len(national) < DANISH_LENGTH else "too-long"
    number_type = int(types[int(national[: len(str(len(types))) - 1])])
    return _slug_of_type(number_type, contact_type) or "not-in-use"


def _library_reason(value: str, contact_type: ContactType) -> str:
    """Why the library, asked in full, does not take a value without letters and control characters."""
    number = _parsed(value)
    if isinstance(number, int):
        return _SLUG_OF_PARSE_ERROR[number]
    if number.extension:
        return "extension"
    slug = _slug_of_type(phonenumbers.number_type(number), contact_type)
    return slug or _SLUG_OF_LENGTH.get(phonenumbers.is_possible_number_with_reason(number), "not-in-use")


def _slug_of_type(number_type: int, contact_type: ContactType) -> str | None:
    """The slug of a type of number that the contact type does not take; None for a number that is not valid."""
    if number_type in ACCEPTED_TYPES[contact_type]:
        raise ValueError("the value is acceptable")
    return _SLUG_OF_TYPE.get(number_type)


# --- columns --------------------------------------------------------------------------------------------------------


def _normalise(values: pa.StringArray, contact_type: ContactType, asked: list[str] | None) -> pa.StringArray:
    accepted = ACCEPTED_TYPES[contact_type]

    def ask(texts: pa.StringArray) -> pa.StringArray:
        return _judged(texts, library_verdict, accepted, asked)

    types = danish_types()
    if types is None:
        # Every value is read by the plan of Denmark, so nothing can be decided if that plan is not understood.
        return ask(values)
    simple, numbers = _simply_danish(bytes_of(values))
    acceptable = _of_types(numbers, types, accepted)
    parts = [(_scattered(acceptable, simple), _danish_forms(numbers[acceptable]))]
    if not simple.all():
        odd = values.filter(pa.array(~simple))
        overlong = pc.fill_null(pc.greater(pc.binary_length(odd), LONGEST_VALUE), False)
        plain = _decide_plain(_plainly_spelled(odd, overlong), types, accepted)
        undecided = plain.undecided | overlong.to_numpy(zero_copy_only=False)
        parts += [
            (_scattered(plain.danish, ~simple), plain.forms),
            (_scattered(plain.international, ~simple), _judged(plain.digits, international_verdict, accepted)),
            (_scattered(undecided, ~simple), ask(odd.filter(pa.array(undecided)))),
        ]
    return assembled(len(values), parts)


def _judged(
    texts: pa.StringArray,
    judge: Callable[[str], Verdict | None],
    accepted: frozenset[int],
    asked: list[str] | None = None,
) -> pa.StringArray:
    """The E.164 form of each text that is of an accepted type, else null; every distinct text is judged once."""
    distinct = texts.dictionary_encode()
    questions = [text for text in distinct.dictionary.to_pylist() if text is not None]
    if asked is not None:
        asked += questions
    verdicts = map(judge, questions)
    forms = [verdict[0] if verdict and verdict[1] in accepted else None for verdict in verdicts]
    return pa.array(forms, pa.string()).take(distinct.indices)


def _simply_danish(column: TextBytes) -> tuple[Bools, EightDigits]:
    """Which values are spelt in one of `_SIMPLE_SPELLINGS`, and their digits.

    Nearly all are. Nothing has to be searched in them, so they are taken out before anything else is looked at.
    """
    simple = np.zeros(len(column.lengths), np.bool_)
    numbers = np.zeros(len(column.lengths), np.uint64)
    for spelling in _SIMPLE_SPELLINGS:
        # Spellings of the same length differ in their other signs, so none undoes what another found.
        rows = np.flatnonzero(~simple & (column.lengths == len(spelling)))
        texts = column.windows(column.starts[rows], len(spelling))
        places = [at for at, sign in enumerate(spelling) if sign == _PLACE]
        joined = places[-1] - places[0] == DANISH_LENGTH - 1
        digits = texts[:, slice(places[0], None) if joined else places]
        numbers[rows] = _in_one(digits)
        fits = are_eight_digits(numbers[rows])
        for at, sign in enumerate(spelling):
            if sign != _PLACE:
                fits &= texts[:, at] == ord(sign)
        if spelling.startswith(_PLACE):
            # Two zeros announce a calling code, and the six digits after them may be a number of a small country.
            fits &= (digits[:, 0] != ord("0")) | (digits[:, 1] != ord("0"))
        simple[rows] = fits
    return simple, numbers[simple]


def _in_one(rows: Octets) -> EightDigits:
    """Rows of eight digits, each in one integer."""
    return np.ascontiguousarray(rows).view(np.uint64).reshape(-1)


def _of_types(numbers: EightDigits, types: Octets, accepted: frozenset[int]) -> Bools:
    """Which Danish numbers are of an accepted type, by the table over their leading digits."""
    leading = np.zeros(len(numbers), np.int64)
    for digits in numbers.view(np.uint8).reshape(-1, DANISH_LENGTH).T[: len(str(len(types))) - 1]:
        leading = leading * 10 + (digits - np.uint8(ord("0")))
    of_types: Bools = np.isin(types, list(accepted))[leading]
    return of_types


def _danish_forms(numbers: EightDigits) -> pa.StringArray:
    """The E.164 forms of Danish numbers."""
    forms = np.empty(len(numbers), [("prefix", f"V{len(_DANISH_PREFIX)}"), ("number", np.uint64)])
    forms["prefix"] = np.void(_DANISH_PREFIX)
    forms["number"] = numbers
    rows = forms.view(np.uint8).reshape(len(numbers), forms.itemsize)
    return fixed_width_texts(rows, np.ones(len(numbers), np.bool_))


def _scattered(chosen: Bools, among: Bools) -> Bools:
    """The mask ``among`` without those of its rows that are not ``chosen``."""
    scattered = among.copy()
    scattered[among] = chosen
    return scattered


def _plainly_spelled(values: pa.StringArray, overlong: pa.BooleanArray) -> pa.StringArray:
    """The values with no-break spaces and dashes turned into blanks, and nothing in place of the overlong.

    For `_decide_plain` only: a value that holds anything else that is odd must go to the library as it is, for
    in an extension a dash and a blank do not mean the same.
    """
    if pc.any(overlong).as_py():
        values = pc.if_else(overlong, pa.scalar("", pa.string()), values)
    strange = pc.fill_null(pc.invert(pc.string_is_ascii(values)), False)
    if not pc.any(strange).as_py():
        return values
    replaced = pc.replace_substring_regex(values.filter(strange), _OTHER_PUNCTUATION, " ")
    return pc.replace_with_mask(values, strange, replaced)


@lru_cache(maxsize=1)
def _weights() -> Ints:
    weights = np.full(256, _ODD, np.int64)
    for octet in range(128):
        character = chr(octet)
        if character.isdigit():
            weights[octet] = _DIGIT
        elif character in _ASCII_PUNCTUATION:
            weights[octet] = 0
        elif character == "+":
            weights[octet] = _PLUS
        elif character.isalpha() or unicodedata.category(character) == "Cc":
            weights[octet] = _REFUSED
    return weights


@dataclass(frozen=True)
class _Plain:
    """What the digits of plainly written values tell.

    ``forms`` are the E.164 forms of the acceptable Danish numbers, which stand where ``danish`` is true; ``digits``
    are the international numbers (after the plus sign) of the values where ``international`` is true; ``undecided``
    are the other values that are not decided here. All others are refused.
    """

    danish: Bools
    forms: pa.StringArray
    international: Bools
    digits: pa.StringArray
    undecided: Bools


def _decide_plain(values: pa.StringArray, types: Octets, accepted: frozenset[int]) -> _Plain:
    """Decide what the bytes alone can tell of values of at most `LONGEST_VALUE` bytes."""
    column = bytes_of(values)
    totals = column.sums(_weights())
    count, plus = totals & _COUNT, (totals // _PLUS) & _COUNT
    plain = (totals < _REFUSED) & ((plus == 0) | ((plus == 1) & _starts_with_plus(column)))
    # A letter or a control character refuses a value, whatever else stands in it.
    undecided = ~plain & ((totals // _REFUSED) & _COUNT == 0)

    digits = column.octets[(column.octets >= ord("0")) & (column.octets <= ord("9"))]
    ends = np.cumsum(count)
    starts = ends - count
    # Looking for four leading digits must not run over the end of the last value.
    padded = np.append(digits, np.zeros(4, np.uint8))
    prefixed = (count >= 2) & (padded[starts] == ord("0")) & (padded[starts + 1] == ord("0"))
    international = plain & (prefixed | (plus == 1))
    code_at = starts + 2 * prefixed
    danish_code = (ends - code_at > 2) & (padded[code_at] == ord("4")) & (padded[code_at + 1] == ord("5"))
    # Without a plus sign or prefix the library takes a leading 45 for the calling code only if the number is
    # too long without it.
    danish = plain & np.where(
        danish_code & (international | (count > DANISH_LENGTH)),
        ends - code_at == len(DANISH_CODE) + DANISH_LENGTH,
        ~international & (count == DANISH_LENGTH),
    )
    numbers = _in_one(TextBytes(digits, starts, count).last_windows(np.flatnonzero(danish), DANISH_LENGTH))
    acceptable = _of_types(numbers, types, accepted)
    foreign = international & ~danish_code
    return _Plain(
        danish=_scattered(acceptable, danish),
        forms=_danish_forms(numbers[acceptable]),
        international=foreign,
        digits=texts_of(digits, count).filter(pa.array(foreign)),
        undecided=undecided,
    )


def _starts_with_plus(column: TextBytes) -> Bools:
    """Whether a plus sign stands first in each value, or right after a parenthesis that stands first."""
    padded = np.append(column.octets, np.zeros(2, np.uint8))
    first, second = padded[column.starts], padded[column.starts + 1]
    stands_first: Bools = (first == ord("+")) | ((first == ord("(")) & (second == ord("+")))
    return stands_first
