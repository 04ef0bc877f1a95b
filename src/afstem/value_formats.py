"""What each contact type takes as its value: the form it is stored in, and why a value has none (SPEC 4.5)."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from afstem import email_address, phone_number
from afstem.schema import ContactType


@dataclass(frozen=True)
class ValueFormat:
    """What a contact type takes as its value."""

    normalise: Callable[[pa.StringArray], pa.StringArray]
    """The form in which a value is stored, null where it is not acceptable (SPEC 4.5)."""
    reason: Callable[[str], str]
    """Why one value is not acceptable, as a slug."""


VALUE_FORMATS = {
    ContactType.MOBILE: ValueFormat(
        phone_number.normalise_mobile, lambda value: phone_number.reason(value, ContactType.MOBILE)
    ),
    ContactType.LANDLINE: ValueFormat(
        phone_number.normalise_landline, lambda value: phone_number.reason(value, ContactType.LANDLINE)
    ),
    ContactType.EMAIL: ValueFormat(email_address.normalise, email_address.reason),
}
