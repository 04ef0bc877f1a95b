"""An Arrow string column as bytes in NumPy, and fixed-width bytes back as an Arrow string column.

The knowledge rooms (CPR numbers, phone numbers, times, masking) decide plain spellings on the bytes of a whole
column at once; this is the only place that knows how Arrow lays out a string column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Octets = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TextBytes:
    """The UTF-8 bytes of a column: text ``i`` is ``octets[starts[i] : starts[i] + lengths[i]]``; null is empty."""

    octets: Octets
    starts: Ints
    lengths: Ints

    def windows(self, at: Ints, width: int) -> Octets:
        """The ``width`` bytes from each position in ``at``, one row each; they must lie within ``octets``."""
        if len(at) == 0:
            return np.empty((0, width), np.uint8)
        # As one item of so many bytes each: NumPy then copies a row at a time instead of a byte.
        every = np.ndarray(
            (len(self.octets) - width + 1,), f"V{width}", np.ascontiguousarray(self.octets), strides=(1,)
        )
        return every[at].view(np.uint8).reshape(len(at), width)

    def last_windows(self, rows: Ints, width: int) -> Octets:
        """The last ``width`` bytes of each text in ``rows``, which must be so long."""
        return self.windows(self.starts[rows] + self.lengths[rows] - width, width)

    def sums(self, weights: Ints) -> Ints:
        """For each text the sum of ``weights[byte]`` over its bytes; ``weights`` has 256 entries."""
        # The zero at the end lets an empty last text start within the array, as reduceat demands.
        weighed = np.append(weights[self.octets], 0)
        if len(self.starts) == 0:
            return np.empty(0, np.int64)
        totals: Ints = np.add.reduceat(weighed, self.starts)
        # Of an empty segment reduceat gives its first element instead of nothing.
        totals[self.lengths == 0] = 0
        return totals


def bytes_of(texts: pa.StringArray) -> TextBytes:
    """The bytes of a column, without copying them (a column with nulls is copied once)."""
    if texts.null_count:
        texts = texts.fill_null("")
    if len(texts) == 0:
        return TextBytes(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
    _, offsets_buffer, octets_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    octets = np.frombuffer(octets_buffer, np.uint8)[first:last] if last else np.empty(0, np.uint8)
    starts = offsets[:-1].astype(np.int64) - first
    return TextBytes(octets, starts, np.diff(offsets).astype(np.int64))


def texts_of(octets: Octets, lengths: Ints, present: Bools | None = None) -> pa.StringArray:
    """The column whose texts stand one after another in ``octets``, null where not ``present``.

    ``octets`` must be UTF-8; they are not checked.
    """
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    validity = None
    if present is not None:
        validity = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    return pa.StringArray.from_buffers(
        len(lengths), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(octets)), validity
    )


def fixed_width_texts(rows: Octets, present: Bools) -> pa.StringArray:
    """A column with the rows of ``rows`` where ``present`` is true, in order, and null elsewhere."""
    return texts_of(rows.reshape(-1), np.where(present, rows.shape[1], 0), present)


def assembled(length: int, parts: Sequence[tuple[Bools, pa.StringArray]]) -> pa.StringArray:
    """A column of so many texts: those of each part, in order, where its mask is true; null where no mask is.

    One `take` over all parts, for Arrow's `replace_with_mask` takes twice as long on texts.
    """
    place = np.zeros(length, np.int32)
    filled = 1
    for mask, texts in parts:
        place[mask] = np.arange(filled, filled + len(texts), dtype=np.int32)
        filled += len(texts)
    return pa.concat_arrays([pa.nulls(1, pa.string()), *(texts for _, texts in parts)]).take(pa.array(place))


def are_eight_digits(words: npt.NDArray[np.uint64]) -> Bools:
    """Which integers are eight ASCII digits in memory; all eight are looked at at once."""
    upper = np.uint64(0xF0F0_F0F0_F0F0_F0F0)
    # Adding 6 carries into the upper half of a byte just where the lower half is above 9. (From a byte of 0xFA on it
    # carries into the next byte, but then this byte is no digit by its upper half.)
    beyond_nine = (words + np.uint64(0x0606_0606_0606_0606)) & upper
    digits: Bools = ((words & upper) | (beyond_nine >> np.uint64(4))) == np.uint64(0x3333_3333_3333_3333)
    return digits
