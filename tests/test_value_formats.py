"""What holds for the values of every contact type: no library is asked about one that is too long for all of them."""

import email_validator
import phonenumbers
import pyarrow as pa
import pytest
from email_validator import EmailNotValidError
from email_validator.rfc_constants import EMAIL_MAX_LENGTH
from phonenumbers import NumberParseException

from afstem.schema import ContactType
from afstem.value_formats import LONGEST_VALUE, VALUE_FORMATS

MEGABYTE = {
    "letters": "x" * 1_000_000,
    "digits": "1" * 1_000_000,
    "digits of another script": "\u0661" * 500_000,
    "at-signs": "@" * 1_000_000,
    # Of these email-validator makes the composed form, in the square of their number: minutes.
    "accents": "a" + "\u0301\u0316" * 250_000 + "@example.dk",
    "an address that ends well": "a" * 1_000_000 + "@example.dk",
    "nothing to see": "a@b" + "\u00ad" * 500_000 + ".dk",
    "brackets": "<" * 1_000_000,
}


@pytest.mark.parametrize("value", MEGABYTE.values(), ids=MEGABYTE.keys())
@pytest.mark.parametrize("contact_type", ContactType)
def test_a_megabyte_is_too_long_at_once_and_its_neighbours_are_as_ever(contact_type: ContactType, value: str) -> None:
    good = {ContactType.MOBILE: "+4520123456", ContactType.LANDLINE: "+4533123456", ContactType.EMAIL: "a@example.com"}
    taken = VALUE_FORMATS[contact_type]
    values = pa.array([good[contact_type], value, None, good[contact_type]])
    assert taken.normalise(values).to_pylist() == [good[contact_type], None, None, good[contact_type]]
    assert taken.reason(value) == "too-long"


def test_nothing_that_is_too_long_for_afstem_is_acceptable_to_a_library() -> None:
    """The bound is of the libraries' own: right at it they refuse for length alone."""
    assert EMAIL_MAX_LENGTH <= LONGEST_VALUE
    assert 4 * phonenumbers.phonenumberutil._MAX_INPUT_STRING_LENGTH <= LONGEST_VALUE
    for local in ("a" * EMAIL_MAX_LENGTH, "e\u0301" * LONGEST_VALUE):  # counted as it is submitted, not as it is stored
        with pytest.raises(EmailNotValidError, match="too long"):
            email_validator.validate_email(f"{local}@example.com", check_deliverability=False)
    for digits in ("20123456", "\U0001d7ce"):
        with pytest.raises(NumberParseException, match="too long"):
            phonenumbers.parse(digits.rjust(LONGEST_VALUE // 4 + 1), "DK")
