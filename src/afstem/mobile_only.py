"""Which stored numbers can be nothing but mobile numbers (notice N1)."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from phonenumbers import PhoneNumberType

from afstem.phone_number.numbering_plan import DANISH_CODE, DANISH_LENGTH, danish_types, international_verdict
from afstem.text_bytes import Bools, bytes_of

_PREFIX = f"+{DANISH_CODE}".encode()
_WORD = 8
_PREFIX_BITS = 8 * len(_PREFIX)


def are_mobile_only(forms: pa.StringArray) -> Bools:
    """Which numbers (E.164, none null) the library types as MOBILE, and not as a fixed line as well."""
    column = bytes_of(forms)
    mobile_only = np.zeros(len(forms), np.bool_)
    types = danish_types()
    digits = 0 if types is None else len(str(len(types))) - 1
    rows = np.flatnonzero(column.lengths == len(_PREFIX) + DANISH_LENGTH)
    if types is None or len(_PREFIX) + digits > _WORD:
        rows = rows[:0]
    words = column.windows(column.starts[rows], _WORD).view("<u8").reshape(-1)
    danish = (words & np.uint64((1 << _PREFIX_BITS) - 1)) == np.uint64(int.from_bytes(_PREFIX, "little"))
    rows = rows[danish]
    if types is not None:
        mobile_only[rows] = (types == PhoneNumberType.MOBILE)[_leading(words[danish], digits)]
    others = np.ones(len(forms), np.bool_)
    others[rows] = False
    if others.any():
        distinct = forms.filter(pa.array(others)).dictionary_encode()
        verdicts = np.array([_is_mobile_only(form) for form in distinct.dictionary.to_pylist()], np.bool_)
        mobile_only[others] = verdicts[distinct.indices.to_numpy()]
    return mobile_only


def _leading(words: npt.NDArray[np.uint64], digits: int) -> npt.NDArray[np.uint64]:
    """The number that so many digits behind the prefix are; eight characters become one integer in three steps, as
    pairs of digits, then of two of these, then of two of those."""
    # What comes first stands lowest: the digits move to the top, and below them are zeros, as before any number.
    number = (words >> np.uint64(_PREFIX_BITS)) << np.uint64(8 * (_WORD - digits))
    for mask, multiplier, shift in _STEPS:
        number = ((number & np.uint64(mask)) * np.uint64(multiplier)) >> np.uint64(shift)
    return number


_STEPS = (
    (0x0F0F_0F0F_0F0F_0F0F, 10 * 2**8 + 1, 8),
    (0x00FF_00FF_00FF_00FF, 100 * 2**16 + 1, 16),
    (0x0000_FFFF_0000_FFFF, 10_000 * 2**32 + 1, 32),
)


@lru_cache(maxsize=10_000)
def _is_mobile_only(form: str) -> bool:
    verdict = international_verdict(form.removeprefix("+"))
    return verdict is not None and verdict[1] == PhoneNumberType.MOBILE
