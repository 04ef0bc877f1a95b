"""What a value must be, one value at a time, asked of the libraries directly: the checks that every baseline makes.

They are SPEC 4.2 and 4.5 as anybody would write them down. No baseline may know more tricks than this page.
"""

import re
import unicodedata
from datetime import date

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberFormat, PhoneNumberType

MOBILE, LANDLINE, EMAIL = "1", "2", "3"
"""The shipped codelist."""

_TEN_DIGITS = re.compile("[0-9]{10}")
_UNKNOWN_CITIZEN = "0000000000"
_KINDS = {
    MOBILE: {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE},
    LANDLINE: {
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.MOBILE,
        PhoneNumberType.VOIP,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.UAN,
    },
}


def cpr_number(text: str) -> str | None:
    """The ten digits of a trimmed text, or None if it is no CPR number."""
    digits = text[:6] + text[7:] if len(text) == 11 and text[6] == "-" else text
    if not _TEN_DIGITS.fullmatch(digits):
        return None
    if digits == _UNKNOWN_CITIZEN:
        return digits
    year, seventh = int(digits[4:6]), int(digits[6])
    if seventh <= 3:
        century = 1900
    elif seventh in (4, 9):
        century = 2000 if year <= 36 else 1900
    else:
        century = 2000 if year <= 57 else 1800
    try:
        date(century + year, int(digits[2:4]), int(digits[:2]))
    except ValueError:
        return None
    return digits


def normalised(contact_type: str, value: str) -> str | None:
    """A trimmed value as it is stored, or None if it is not acceptable for this identifier of the codelist."""
    return email_address(value) if contact_type == EMAIL else phone_number(contact_type, value)


def phone_number(contact_type: str, value: str) -> str | None:
    found = phone_number_and_kind(contact_type, value)
    return found and found[0]


def phone_number_and_kind(contact_type: str, value: str) -> tuple[str, int] | None:
    if any(character.isalpha() or unicodedata.category(character) == "Cc" for character in value):
        return None
    try:
        number = phonenumbers.parse(value, "DK")
    except phonenumbers.NumberParseException:
        return None
    if number.extension is not None or not phonenumbers.is_valid_number(number):
        return None
    kind = phonenumbers.number_type(number)
    if kind not in _KINDS[contact_type]:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164), kind


def email_address(value: str) -> str | None:
    try:
        return validate_email(value, check_deliverability=False).normalized
    except EmailNotValidError:
        return None
