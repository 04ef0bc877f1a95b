"""Columns of text made from columns of numbers, without a loop over the numbers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

DIGIT = "#"


def spell(numbers: Ints, width: int, templates: Sequence[str], chosen: Ints | None = None) -> pa.StringArray:
    """Each number as ``width`` digits (zeros in front), set into one of the templates where they say ``#``.

    ``chosen`` gives the template of each number by position; without it all take the first. Templates are ASCII
    and hold exactly ``width`` signs ``#``.
    """
    if chosen is None:
        return _spelt_alike(numbers, width, templates[0])
    rows = [np.flatnonzero(chosen == position) for position in range(len(templates))]
    parts = [_spelt_alike(numbers[row], width, template) for row, template in zip(rows, templates, strict=True)]
    back = np.argsort(np.concatenate(rows), kind="stable")
    return pa.concat_arrays(parts).take(pa.array(back))


def replaced(column: pa.Array, at: Ints, values: pa.Array) -> pa.Array:
    """The column with other values at some of its positions."""
    source = np.arange(len(column))
    source[at] = len(column) + np.arange(len(at))
    return pa.concat_arrays([column, values]).take(pa.array(source))


def content_of(lines: pa.BinaryArray) -> memoryview:
    """The bytes of all the lines, one after the other."""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(lines.buffers()[2])[offsets[0] : offsets[-1]]


def _spelt_alike(numbers: Ints, width: int, template: str) -> pa.StringArray:
    text = np.empty((len(numbers), len(template)), dtype=np.uint8)
    text[:] = np.frombuffer(template.encode("ascii"), dtype=np.uint8)
    places = [position for position, character in enumerate(template) if character == DIGIT]
    rest = numbers
    for place in reversed(places):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + ord("0")
    if len(places) != width:
        raise ValueError(f"the template holds {len(places)} digits, not {width}")
    ends = np.arange(len(numbers) + 1, dtype=np.int32) * len(template)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(text))
