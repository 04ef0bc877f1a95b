"""Which values too many citizens have in common (notice N3): a switchboard, a caseworker's own number, a placeholder.

Counted are pairs of value and citizen, each once: the same number as mobile and as landline, or from three actors, is
one citizen's.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from afstem.text_keys import NO_TEXT, Keys

Ints = npt.NDArray[np.int64]

MOST_CITIZENS = 10
"""More than so many citizens with one value are too many (SPEC 4.6)."""

_MOST_BUCKETS = 1 << 22


class Crowds:
    """Finds values that many rows have, by their keys (`text_keys`) alone: only those are counted exactly.

    First every key is counted, into one of many buckets; then each is asked whether its bucket is full. No more than a
    part of them need be in memory at a time.
    """

    def __init__(self, rows: int) -> None:
        """``rows``: about how many there will be."""
        buckets = _power_of_two(rows)
        self._shift = np.uint64(64 - buckets.bit_length() + 1)
        self._rows = np.zeros(buckets, np.int64)

    def count(self, keys: Keys) -> None:
        self._rows += np.bincount(self._bucket(keys), minlength=len(self._rows))

    def suspects(self, keys: Keys) -> Ints:
        """Where a value may be one that too many have."""
        if not (full := self._rows > MOST_CITIZENS).any():
            return np.empty(0, np.int64)
        return np.flatnonzero(full[self._bucket(keys)] & (keys != NO_TEXT))

    def _bucket(self, keys: Keys) -> Ints:
        return (keys >> self._shift).view(np.int64)


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
