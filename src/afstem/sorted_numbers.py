"""Look up numbers in a sorted array: the join of a batch with what the store knows.

Both ways are cheaper than a hash join on texts, and a key that stands twice cannot multiply records. `contains`
searches: right for keys that are asked for once. `Places` is built once and then answers in constant time: right for
every citizen of the country, where a search of six million keys misses the cache at most of its 23 steps (measured:
1 microsecond a number, against 0.02).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_STRIP_BITS = 16
"""Numbers with the same bits above these share a strip; strips without any key take no memory."""
_WORD_BITS = 6
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
    """Where each number stands among keys: one bit a possible number, and for each 64 of them how many keys precede.

    ``strips`` gives the strip of a number's upper bits, 0 (which is empty) where no key has them, also at its end for
    numbers beyond all keys. CPR numbers leave most of their range empty, so 50 MB hold the bits for any country.
    """

    strips: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint64]
    before: npt.NDArray[np.int32]

    @classmethod
    def of(cls, keys: Ints) -> "Places":
        """The places of keys that are sorted ascending, unique and not negative."""
        upper = keys >> _STRIP_BITS
        beyond = int(upper[-1]) + 1 if len(keys) else 0
        present = upper[_first_of_each(upper)]
        strips = np.zeros(beyond + 1, np.int64)
        strips[present] = np.arange(1, len(present) + 1) << _STRIP_BITS
        words = (len(present) + 1) << (_STRIP_BITS - _WORD_BITS)
        bits, before = np.zeros(words, np.uint64), np.zeros(words, np.int32)
        if len(keys):
            word, bit = _word_and_bit(strips[upper], keys)
            first = _first_of_each(word)
            bits[word[first]] = np.bitwise_or.reduceat(bit, first)
            before[word[first]] = first
        return cls(strips, bits, before)

    def find(self, numbers: Ints) -> npt.NDArray[np.int32]:
        """The place of each number among the keys, -1 where it is none of them."""
        # Without its sign a negative number is beyond all keys too.
        upper = np.minimum(numbers.view(np.uint64) >> np.uint64(_STRIP_BITS), np.uint64(len(self.strips) - 1))
        word, bit = _word_and_bit(self.strips[upper.view(np.int64)], numbers)
        held = self.bits[word]
        place = self.before[word] + np.bitwise_count(held & (bit - np.uint64(1)))
        return np.where(held & bit, place, np.int32(_ABSENT))


def _word_and_bit(strip: Ints, numbers: Ints) -> tuple[Ints, npt.NDArray[np.uint64]]:
    """Which 64 bits tell of each number, given where the bits of its strip begin, and which of them does."""
    at = strip + (numbers & ((1 << _STRIP_BITS) - 1))
    return at >> _WORD_BITS, np.uint64(1) << (at & ((1 << _WORD_BITS) - 1)).view(np.uint64)


def _first_of_each(ascending: Ints) -> Ints:
    """Where each value of an ascending array stands first."""
    return np.flatnonzero(np.diff(ascending, prepend=_ABSENT))
