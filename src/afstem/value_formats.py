"""What each contact type takes as its value: the form it is stored in, and why a value has none (SPEC 4.5).

The knowledge of one kind of value (`phone_number`, `email_address`) tells why its library refuses it. Some of these
reasons hide a mistake that people make again and again; told by its own name it can be mended at once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from afstem import email_address, phone_number
from afstem.masking import mask_cpr_like
from afstem.schema import ContactType

LONGEST_VALUE = 1_000
"""No value of more bytes is acceptable: an address has at most 254 bytes as it is submitted (email-validator's
``validate_email_length``), a phone number 250 characters (phonenumbers' ``_MAX_INPUT_STRING_LENGTH``) of at most four
bytes. So no library is asked about a longer one: of a megabyte of combining accents email-validator says so after some
minutes, for Unicode's composed form takes time in the square of their number."""
FINER_PHONE_REASONS = ("cpr-number", "several-numbers", "country-code-twice", "country-code-without-plus")
FINER_EMAIL_REASONS = ("comma-for-dot", "dot-at-the-end")

_NEIGHBOURS = "298|299|31|33|34|354|358|370|371|372|380|39|40|44|46|47|48|49"
"""Calling codes of the countries that most foreign numbers in Danish registers are from."""

_WITHOUT_PUNCTUATION = re.compile(r"[ \u00a0./()\-]+")
_TWICE = re.compile(r"(?:\+|00)?45(?:\+|00)?45([2-9][0-9]{7})")
_FOREIGN = re.compile(rf"({_NEIGHBOURS})[1-9][0-9]{{6,10}}")
_BETWEEN_NUMBERS = re.compile(r"[/,;|&]")
_PHONE_LENGTH = 8
_CPR_DIGITS = 10


@dataclass(frozen=True)
class ValueFormat:
    """What a contact type takes as its value."""

    normalise: Callable[[pa.StringArray], pa.StringArray]
    """The form in which a value is stored, null where it is not acceptable (SPEC 4.5)."""
    reason: Callable[[str], str]
    """Why one value is not acceptable, as a slug."""


def _of_bounded_length(
    normalise: Callable[[pa.StringArray], pa.StringArray], reason: Callable[[str], str]
) -> ValueFormat:
    """The format of a library that is never asked about a value longer than `LONGEST_VALUE`."""

    def normalise_bounded(values: pa.StringArray) -> pa.StringArray:
        too_long = pc.greater(pc.binary_length(values), LONGEST_VALUE)
        return normalise(pc.if_else(too_long, "", values) if pc.any(too_long).as_py() else values)

    def reason_bounded(value: str) -> str:
        return "too-long" if len(value) > LONGEST_VALUE else reason(value)

    return ValueFormat(normalise_bounded, reason_bounded)


def with_country_code_once(value: str) -> str | None:
    """A Danish number before which 45 stands twice, written once; None for any other text."""
    found = _TWICE.fullmatch(_WITHOUT_PUNCTUATION.sub("", value))
    return f"+45{found[1]}" if found else None


def with_plus(value: str) -> str | None:
    """What is long enough for a foreign number and begins as one, with a plus sign; None for any other text."""
    digits = _WITHOUT_PUNCTUATION.sub("", value)
    return f"+{digits}" if len(digits) > _PHONE_LENGTH + 1 and _FOREIGN.fullmatch(digits) else None


def _reason_of_phone(contact_type: ContactType) -> Callable[[str], str]:
    def reason(value: str) -> str:
        slug = phone_number.reason(value, contact_type)
        if slug not in ("too-long", "wrong-length", "not-in-use", "unknown-country"):
            return slug
        parts = _BETWEEN_NUMBERS.split(value)
        if len(parts) > 1 and all(sum(map(str.isdigit, part)) >= _PHONE_LENGTH for part in parts):
            return "several-numbers"
        if with_country_code_once(value):
            return "country-code-twice"
        if sum(map(str.isdigit, value)) == _CPR_DIGITS and mask_cpr_like(value) != value:
            return "cpr-number"
        return "country-code-without-plus" if with_plus(value) else slug

    return reason


def _reason_of_email(value: str) -> str:
    slug = email_address.reason(value)
    if slug == "misplaced-dot" and value.endswith("."):
        return "dot-at-the-end"
    if slug == "characters-in-domain" and "," in value.rpartition("@")[2].rstrip(","):
        return "comma-for-dot"
    return slug


VALUE_FORMATS = {
    ContactType.MOBILE: _of_bounded_length(phone_number.normalise_mobile, _reason_of_phone(ContactType.MOBILE)),
    ContactType.LANDLINE: _of_bounded_length(phone_number.normalise_landline, _reason_of_phone(ContactType.LANDLINE)),
    ContactType.EMAIL: _of_bounded_length(email_address.normalise, _reason_of_email),
}
