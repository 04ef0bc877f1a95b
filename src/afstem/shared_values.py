"""Which values too many citizens have in common (notice N3): a switchboard, a caseworker's own number, a placeholder.

Counted are pairs of value and citizen, each once: the same number as mobile and as landline, or from three actors, is
one citizen's.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from afstem.text_keys import NO_TEXT, Keys

Ints = npt.NDArray[np.int64]

MOST_CITIZENS = 10
"""More than so many citizens with one value are too many (SPEC 4.6)."""

_MOST_BUCKETS = 1 << 22


def suspects(parts: Sequence[Keys]) -> list[Ints]:
    """Where, in each part, a value may be one that too many have: its key lies in a bucket with many rows.

    Few buckets have, so that what must be counted exactly is little.
    """
    buckets = _power_of_two(sum(map(len, parts)))
    shift = np.uint64(64 - buckets.bit_length() + 1)
    rows = np.zeros(buckets, np.int64)
    for keys in parts:
        rows += np.bincount((keys >> shift).view(np.int64), minlength=buckets)
    full = rows > MOST_CITIZENS
    if not full.any():
        return [np.empty(0, np.int64) for _ in parts]
    return [np.flatnonzero(full[(keys >> shift).view(np.int64)] & (keys != NO_TEXT)) for keys in parts]


def citizens_with_value(values: pa.StringArray, citizens: Ints) -> Ints:
    """How many citizens have the value of each (value, citizen) row, in which pairs may repeat; 0 where they are not
    too many, and for null."""
    value = values.dictionary_encode()
    given = np.flatnonzero(value.is_valid().to_numpy(zero_copy_only=False))
    place = value.indices.fill_null(0).to_numpy()[given]
    order = np.lexsort((citizens[given], place))
    value_of, citizen_of = place[order], citizens[given][order]
    anew = (np.diff(value_of, prepend=-1) != 0) | (np.diff(citizen_of, prepend=-1) != 0)
    counts = np.bincount(value_of[anew], minlength=len(value.dictionary))
    counts[counts <= MOST_CITIZENS] = 0
    of_rows = np.zeros(len(values), np.int64)
    of_rows[given] = counts[place]
    return of_rows


def _power_of_two(rows: int) -> int:
    """Half as many buckets as rows, about: few are full by chance, and all are near at hand."""
    return min(_MOST_BUCKETS, 1 << max(2, rows.bit_length() - 1))
