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

MAX_HEADER_BYTES = 2**20
PIECE_BYTES = 2**18
"""Read and judged in such pieces, whatever the size of a block, so that no verdict hangs on it."""

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


def read_blocks(path: Path, packed: bool, drop_bom: bool, batch_bytes: int) -> Iterator[bytes]:
    """Yield blocks of whole lines, each at least `batch_bytes` but the last, each ending in LF.

    A last line without LF gets one. If that line ends in CR it gets CR LF, because a CR without LF is a
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
            yield b"".join(held)
            held = [piece[end:]]
            size = len(piece) - end
        else:
            held.append(piece)
            size += len(piece)
    if size:
        last = b"".join(held)
        if not last.endswith(b"\n"):
            last += b"\r\n" if last.endswith(b"\r") else b"\n"
        yield last


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
        yield from _unpack(pieces) if packed else pieces


def _unpack(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack every member of a gzip file; zlib checks each one's checksum and length."""
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
            if unpacked > MAX_UNPACKED_BYTES:
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
        if unpacked > MAX_UNPACKED_BYTES:
            raise Unreadable("too-large")
        if content:
            yield content
        elif not member.eof:
            raise Unreadable("gzip")
        if member.eof:
            member = None
