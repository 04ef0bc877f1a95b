"""Look up numbers in a sorted array: the join of a batch with what the store knows.

Both ways are cheaper than a hash join on texts, and a key that stands twice cannot multiply records. `contains`
searches: right for keys that are asked for once. `Places` is built once and then searches one byte in a few: right for
every citizen of the country, where a search of six million keys misses the cache at most of its 23 steps (measured:
1 microsecond a number, against 0.06).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_BUCKET_BITS = 8
"""Numbers with the same bits above these share a bucket; within it one byte tells them apart."""
_STRIP_BITS = 20
"""Numbers with the same bits above these share a strip of buckets; strips without any key take no memory."""
_ABSENT = -1


def contains(keys: Ints, numbers: Ints) -> npt.NDArray[np.bool_]:
    """Which of ``numbers``, in any order, stand in ``keys``, which are sorted ascending and may repeat."""
    if not len(keys):
        return np.zeros(len(numbers), np.bool_)
    place = np.minimum(np.searchsorted(keys, numbers), len(keys) - 1)
    found: npt.NDArray[np.bool_] = keys[place] == numbers
    return found


@dataclass(frozen=True)
class Places:
    """Where each number stands among keys: for each bucket of 256 possible numbers how many keys precede it, and the
    last byte of every key, among which a binary search takes these ``steps``.

    ``strips`` gives the first bucket of the strip of a number's upper bits, 0 (where all are empty) if no key has them,
    also at its end for numbers beyond all keys. CPR numbers leave most of their range empty: 12 MB for six million.
    """

    strips: npt.NDArray[np.int64]
    before: npt.NDArray[np.int32]
    last_byte: npt.NDArray[np.uint8]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, keys: Ints) -> "Places":
        """The places of keys that are sorted ascending, unique and not negative."""
        upper = keys >> _STRIP_BITS
        present = np.flatnonzero(np.bincount(upper))
        strips = np.zeros(int(upper[-1]) + 2 if len(keys) else 1, np.int64)
        strips[present] = np.arange(1, len(present) + 1) << (_STRIP_BITS - _BUCKET_BITS)
        buckets = (len(present) + 1) << (_STRIP_BITS - _BUCKET_BITS)
        held = np.bincount(_bucket(strips[upper], keys), minlength=buckets)
        before = np.zeros(buckets + 1, np.int32)
        np.cumsum(held, out=before[1:])
        steps = tuple(1 << power for power in reversed(range(int(held.max()).bit_length())))
        # A step may look beyond the last key.
        last_byte = np.concatenate([keys.astype(np.uint8), np.zeros(1 << _BUCKET_BITS, np.uint8)])
        return cls(strips, before, last_byte, steps)

    def find(self, numbers: Ints) -> npt.NDArray[np.int32]:
        """The place of each number among the keys, -1 where it is none of them."""
        # Without its sign a negative number is beyond all keys too.
        upper = np.minimum(numbers.view(np.uint64) >> np.uint64(_STRIP_BITS), np.uint64(len(self.strips) - 1))
        bucket = _bucket(self.strips[upper.view(np.int64)], numbers)
        place, end = self.before[bucket], self.before[bucket + 1]
        wanted = numbers.astype(np.uint8)
        for step in self.steps:
            further = place + step
            place = np.where((further <= end) & (self.last_byte[further - 1] < wanted), further, place)
        found = (place < end) & (self.last_byte[place] == wanted)
        return np.where(found, place, np.int32(_ABSENT))


def _bucket(strip: Ints, numbers: Ints) -> Ints:
    """Which bucket each number belongs to, given the first one of its strip."""
    return strip + ((numbers >> _BUCKET_BITS) & ((1 << (_STRIP_BITS - _BUCKET_BITS)) - 1))
