"""Bytes of a plain or gzipped file of lines, in blocks that end at a line's end.

Memory is bounded by the block, the output of gzip is bounded in all, and a line is bounded in length, so no
file makes the reader grow (TRAPS.md: a gzip of 1 MB can be 1 GB).
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

from afstem.errors import Unreadable

MAX_LINE_BYTES = 16 * 2**20
MAX_UNPACKED_BYTES = 8 * 2**30
"""About forty times what a CSV of every citizen with three contact types takes."""

MAX_GROWTH = 100
"""How many times its packed size a file may unpack to. A CPR number takes two bytes however it is packed, and a line of
nothing but a removal some sixty; deflate can do a thousand (TRAPS.md)."""

FREE_UNPACKED_BYTES = 32 * 2**20

MAX_HEADER_BYTES = 2**20
PIECE_BYTES = 2**18
"""Read and judged in such pieces, whatever the size of a block, so that no verdict hangs on it."""

MAX_RECORDS_AT_ONCE = 2**18
"""In a block. Whole lines of a byte or two take fifty times their size in columns of records."""

BOM = b"\xef\xbb\xbf"


def read_first_line(path: Path, packed: bool, drop_bom: bool) -> bytes:
    """The first line and its ending, if any; raises `Unreadable` for an empty file or a huge header."""
    held = bytearray()
    for piece in _read_content(path, packed, drop_bom):
        end = piece.find(b"\n")
        held += piece if end < 0 else piece[: end + 1]
        if len(held) > MAX_HEADER_BYTES:
            raise Unreadable("header-too-long")
        if end >= 0:
            break
    return bytes(held)


def refuse_empty(path: Path, packed: bool) -> None:
    """Raise `Unreadable` when the file has no byte, or unpacks to none."""
    next(_read_content(path, packed, drop_bom=False))


def read_blocks(
    path: Path, packed: bool, drop_bom: bool, batch_bytes: int, record_signs: tuple[bytes, ...] = (b"\n",)
) -> Iterator[bytes]:
    """Yield blocks of whole lines, about `batch_bytes` each or one line, each ending in LF.

    A block in which `record_signs` stand more than `MAX_RECORDS_AT_ONCE` times is cut; it has no more records than
    signs. A last line without LF gets one. If that line ends in CR it gets CR LF, because a CR without LF is a
    character of the line and must not become part of its ending.
    """
    held: list[bytes] = []
    size = 0
    open_line = 0
    for piece in _read_content(path, packed, drop_bom):
        end = piece.rfind(b"\n") + 1
        if open_line + (piece.find(b"\n") if end else len(piece)) > MAX_LINE_BYTES:
            raise Unreadable("line-too-long")
        open_line = len(piece) - end if end else open_line + len(piece)
        if end and size + end >= batch_bytes:
            held.append(piece[:end])
            yield from _cut(b"".join(held), record_signs)
            held = [piece[end:]]
            size = len(piece) - end
        else:
            held.append(piece)
            size += len(piece)
    if size:
        last = b"".join(held)
        if not last.endswith(b"\n"):
            last += b"\r\n" if last.endswith(b"\r") else b"\n"
        yield from _cut(last, record_signs)


def _cut(block: bytes, record_signs: tuple[bytes, ...]) -> Iterator[bytes]:
    if sum(map(block.count, record_signs)) > MAX_RECORDS_AT_ONCE:
        half = len(block) // 2
        middle = (block.rfind(b"\n", 0, half) + 1) or (block.index(b"\n", half) + 1)
        if middle < len(block):
            yield from _cut(block[:middle], record_signs)
            yield from _cut(block[middle:], record_signs)
            return
    yield block


def _read_content(path: Path, packed: bool, drop_bom: bool) -> Iterator[bytes]:
    """The pieces of the file without the byte order mark; raises `Unreadable` when it has no byte."""
    start = b""
    started = False
    for piece in _read_pieces(path, packed):
        if started:
            yield piece
            continue
        start += piece
        if len(start) >= len(BOM):  # gzip may give as little as one byte at a time
            started = True
            yield start[len(BOM) :] if drop_bom and start.startswith(BOM) else start
    if not start:
        raise Unreadable("empty")
    if not started:
        yield start


def _read_pieces(path: Path, packed: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(PIECE_BYTES), b"")
        limit = min(MAX_UNPACKED_BYTES, max(FREE_UNPACKED_BYTES, MAX_GROWTH * path.stat().st_size))
        yield from _unpack(pieces, limit) if packed else pieces


def _unpack(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Unpack every member of a gzip file, so many bytes at most; zlib checks each one's checksum and length."""
    member = None
    unpacked = 0
    for piece in pieces:
        rest = piece
        while rest:
            member = member or zlib.decompressobj(wbits=31)
            try:
                content = member.decompress(rest, PIECE_BYTES)
            except zlib.error:
                raise Unreadable("gzip") from None
            unpacked += len(content)
            if unpacked > limit:
                raise Unreadable("too-large")
            if content:
                yield content
            if member.eof:
                rest, member = member.unused_data, None
            else:
                rest = member.unconsumed_tail
    while member is not None:
        # All input is in, yet zlib may still hold output that did not fit the last piece.
        try:
            content = member.decompress(b"", PIECE_BYTES)
        except zlib.error:
            raise Unreadable("gzip") from None
        unpacked += len(content)
        if unpacked > limit:
            raise Unreadable("too-large")
        if content:
            yield content
        elif not member.eof:
            raise Unreadable("gzip")
        if member.eof:
            member = None
