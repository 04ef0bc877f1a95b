"""Periods of validity: two columns of days since 1970, the last day included (SPEC 2.6)."""

from datetime import date

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.int32]

OPEN_END = np.iinfo(np.int32).max
"""``valid_to`` of a period without an end."""

_EPOCH = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def includes(valid_from: Days, valid_to: Days, as_of: date) -> npt.NDArray[np.bool_]:
    """Which periods include the as-of date."""
    day = day_number(as_of)
    return (valid_from <= day) & (day <= valid_to)


def ended_before(valid_to: Days, as_of: date) -> npt.NDArray[np.bool_]:
    """Which periods were over before the as-of date."""
    return valid_to < day_number(as_of)
