"""How long the values of a Parquet dictionary are, told from the bytes of its page.

Arrow gives the values of a dictionary only after hashing each of them, which takes longer than reading the rows of a
row group with many distinct values. Here the usual page is proved to hold short values only; whatever is out of the
ordinary is not understood, and then Arrow must be asked.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHORT_BYTES = 2**16
"""A value of fewer bytes is short: its length has two zeros at the end."""

LONGEST_HEADER = 64
"""In bytes, of a page; that of a dictionary has six numbers."""

LARGEST_PAGE = 16 * 2**20
"""Packed or not; programs begin a new kind of page after 1 MiB."""

_DICTIONARY_PAGE = 2
_DATA_PAGES = (b"\x15\x00", b"\x15\x06")
"""How the header of a page of data begins, of version 1 and 2; what follows may be longer than `LONGEST_HEADER`."""

_CODECS = {"UNCOMPRESSED": None, "SNAPPY": "snappy", "GZIP": "gzip", "ZSTD": "zstd"}
_LENGTH_BYTES = 4


def are_short(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> bool:
    """Whether the values of the column chunk's dictionary are proved to be shorter than 64 KiB, or it has none."""
    if chunk.data_page_offset <= 0:
        return False
    # As Arrow does: a dictionary is what stands before the first data page.
    starts = (chunk.dictionary_page_offset or 0, chunk.data_page_offset)
    start = min(at for at in starts if at > 0)
    file.seek(start)
    header = file.read(LONGEST_HEADER)
    if header.startswith(_DATA_PAGES):
        return True
    if chunk.compression not in _CODECS:
        return False
    try:
        octets = iter(header)
        fields = _read_structure(octets)
        if fields[1] != _DICTIONARY_PAGE:
            return True
        unpacked_bytes, packed_bytes, values = fields[2], fields[3], fields[7][1]
    except (LookupError, TypeError, ValueError):
        return False
    if not (0 <= packed_bytes <= LARGEST_PAGE and 0 <= unpacked_bytes <= LARGEST_PAGE):
        return False
    file.seek(start + len(header) - len(list(octets)))
    page = file.read(packed_bytes)
    codec = _CODECS[chunk.compression]
    try:
        content = page if codec is None else pa.decompress(page, unpacked_bytes, codec, asbytes=True)
    except (OSError, ValueError, pa.ArrowException):
        return False
    return _are_short_values(content, values)


def _are_short_values(content: bytes, count: int) -> bool:
    """Whether the content is so many values, each of less than 64 KiB, and can be proved so at a glance.

    A value follows its length in four bytes, the lowest first. So two zeros in a row end a length, if no value holds
    any; each length leads right to the next then, and the last to the end.
    """
    octets = np.frombuffer(content, np.uint8)
    if not count or len(octets) < _LENGTH_BYTES:
        return not len(octets)
    zero = octets == 0
    places = np.flatnonzero(zero[2:-1] & zero[3:])
    # Of a length below 256 the byte before looks like one as well: the last of neighbours is the length.
    places = places[np.diff(places, append=len(octets)) != 1]
    ends = places + _LENGTH_BYTES + octets[places] + (octets[places + 1].astype(np.int64) << 8)
    return len(places) == count and np.array_equal(np.append(0, ends), np.append(places, len(octets)))


def _read_structure(octets: Iterator[int]) -> dict[int, Any]:
    """A structure in Thrift's compact protocol, by field number; `ValueError` for what no page header has."""
    fields: dict[int, Any] = {}
    number = 0
    while head := next(octets, 0):
        step, kind = head >> 4, head & 0x0F
        number = number + step if step else _read_integer(octets)
        if kind in (1, 2):
            fields[number] = kind == 1
        elif kind in (4, 5, 6):
            fields[number] = _read_integer(octets)
        elif kind == 12:
            fields[number] = _read_structure(octets)
        else:
            raise ValueError("a kind of field that page headers do not have")
    return fields


def _read_integer(octets: Iterator[int]) -> int:
    zigzag = shift = 0
    for octet in octets:
        zigzag |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return (zigzag >> 1) ^ -(zigzag & 1)
    raise ValueError("cut short")
