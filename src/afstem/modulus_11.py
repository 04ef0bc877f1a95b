"""Modulus 11 by tables: as `cpr_number.fails_modulus_11`, in a sixth of the time, for a whole night's records."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

_WEIGHTS = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_HALF = 5


def fail_modulus_11(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which CPR numbers (none missing) do not meet modulus 11, which is no error since 2007 (DOMAIN 6)."""
    digits = numbers.astype(np.uint32)
    upper = digits // np.uint32(10**_HALF)
    lower = digits - upper * np.uint32(10**_HALF)
    upper_rest, lower_rest, is_multiple = _tables()
    return ~is_multiple[upper_rest[upper] + lower_rest[lower]]


@lru_cache(maxsize=1)
def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The rest of the first five digits and of the last five, weighted, and which sums of two rests are multiples."""
    digits = np.arange(10**_HALF)[:, np.newaxis] // 10 ** np.arange(_HALF - 1, -1, -1) % 10
    upper, lower = ((digits * weights).sum(axis=1) % 11 for weights in (_WEIGHTS[:_HALF], _WEIGHTS[_HALF:]))
    return upper.astype(np.uint8), lower.astype(np.uint8), np.arange(22) % 11 == 0
