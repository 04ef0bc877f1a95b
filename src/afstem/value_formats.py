"""What each contact type takes as its value: the form it is stored in, and why a value has none (SPEC 4.5)."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from afstem import email_address, phone_number
from afstem.schema import ContactType

LONGEST_VALUE = 1_000
"""No value of more bytes is acceptable: an address has at most 254 bytes as it is submitted (email-validator's
``validate_email_length``), a phone number 250 characters (phonenumbers' ``_MAX_INPUT_STRING_LENGTH``) of at most four
bytes. So no library is asked about a longer one: of a megabyte of combining accents email-validator says so after some
minutes, for Unicode's composed form takes time in the square of their number."""


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


VALUE_FORMATS = {
    ContactType.MOBILE: _of_bounded_length(
        phone_number.normalise_mobile, lambda value: phone_number.reason(value, ContactType.MOBILE)
    ),
    ContactType.LANDLINE: _of_bounded_length(
        phone_number.normalise_landline, lambda value: phone_number.reason(value, ContactType.LANDLINE)
    ),
    ContactType.EMAIL: _of_bounded_length(email_address.normalise, email_address.reason),
}
