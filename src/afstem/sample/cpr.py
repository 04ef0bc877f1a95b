"""CPR numbers that are valid and yet cannot have been issued.

Until 2007 every number met modulus 11; since then the CPR office has issued numbers that do not, but only for
people born on 1 January (DOMAIN.md 6). So a number that fails modulus 11, with a real date that is not a
1 January, belongs to nobody, while every rule of this service must take it for a CPR number.
"""

import numpy as np

from afstem.sample.text_columns import Ints

WEIGHTS = np.array([4, 3, 2, 7, 6, 5, 4, 3, 2, 1])

_DAYS = np.arange(np.datetime64("1937-01-01"), np.datetime64("2009-01-01"))
_BIRTH_DATES = _DAYS[_DAYS.astype("M8[Y]").astype("M8[D]") != _DAYS]
_SLOTS = 2000
"""Pairs of neighbouring serials that a birth date has within four of the values of its seventh digit."""
_STEP = 32_452_843
"""A prime, so that stepping by it through all the places meets every place before it comes back."""


def synthetic_numbers(ordinals: Ints, seed: int) -> Ints:
    """One number for each ordinal, different for different ordinals; with one seed always the same.

    Ordinals count from 0 to some 50 million. The birth dates run from 2 January 1937 to the end of 2008.
    """
    places = (ordinals * _STEP + seed * 7_919) % (len(_BIRTH_DATES) * _SLOTS)
    born = _BIRTH_DATES[places // _SLOTS]
    year = born.astype("M8[Y]").astype(np.int64) + 1970
    month = born.astype("M8[M]").astype(np.int64) % 12 + 1
    day = (born - born.astype("M8[M]")).astype(np.int64) + 1
    slot = places % _SLOTS
    # Seventh digit 0-3 is the 1900s, 4-7 with these years the 2000s (DOMAIN.md 6). The slot decides the sex as well.
    serial = np.where(year < 2000, 0, 4000) + 2 * slot + slot // 7 % 2
    numbers = ((day * 100 + month) * 100 + year % 100) * 10_000 + serial
    # The last digit weighs 1, so of the two serials of a slot at most one meets modulus 11: take the other.
    return np.where(meets_modulus_11(numbers), numbers + 1 - 2 * (numbers % 2), numbers)


def meets_modulus_11(numbers: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether the weighted sum of the ten digits is a multiple of 11."""
    total = np.zeros(len(numbers), dtype=np.int64)
    rest = numbers
    for weight in WEIGHTS[::-1]:
        rest, digit = np.divmod(rest, 10)
        total += weight * digit
    return total % 11 == 0
