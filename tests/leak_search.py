"""Search anything that a run leaves behind for CPR numbers and contact values, however they are spelt or packed.

`Secrets.found_in` takes bytes of any kind and undoes what may have been done to a secret on its way there: character
sets, digits of other scripts, hyphens and blanks, the order of birth date and serial, HTML entities and tags, escapes
of JSON, URLs and mail, base64, hexadecimal, gzip, zlib, zip, zstd, Parquet, Arrow, SQLite, and each in another.
"""

import base64
import gzip
import hashlib
import html
import io
import quopri
import re
import sqlite3
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

DEEPEST = 4
"""So many wrappings within each other are undone."""

SHORTEST = 8
"""So many octets a phone number has, the shortest secret; fewer hold none, and nothing packed that does."""

_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_DIGIT_RUN = re.compile(r"[0-9](?:[^0-9A-Za-z]{0,3}[0-9]){7,}")
# Eight digits by themselves, perhaps in pairs: any eight of a longer run are some phone number too often.
_PHONE = re.compile(r"(?<![0-9])(?:(?:00|[+])?45[ \xa0-]{0,2})?([0-9](?:[ \xa0-]{0,2}[0-9]){7})(?![0-9])")
# What could be a run is found first, by its characters alone, which is ten times as quick.
_BASE64_PLACE = re.compile(rb"[A-Za-z0-9+/_\r\n-]{10,}")
_BASE64_RUN = re.compile(rb"(?:[A-Za-z0-9+/_-]\r?\n?){10,}")
_HEX_PLACE = re.compile(rb"[0-9A-Fa-f :\\x,]{16,}")
_HEX_RUN = re.compile(rb"(?:[0-9A-Fa-f]{2}[ :]?){8,}|(?:\\?0?x[0-9A-Fa-f]{2},? ?){8,}")
_PRINTABLE = bytes((*b"\0\t\n\r", *range(32, 127)))
_ESCAPE = re.compile(r"\\(?:u\{?|x|U0000)([0-9A-Fa-f]{2,4})\}?")


@dataclass(frozen=True)
class Secrets:
    """What must not be found: CPR numbers (ten digits), phone numbers (eight) and email addresses."""

    numbers: frozenset[str]
    phones: frozenset[str]
    emails: frozenset[str]
    _of_digits: dict[str, str] = field(default_factory=dict, init=False)
    _of_integers: dict[int, str] = field(default_factory=dict, init=False)
    _by_domain: dict[str, set[str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for number in self.numbers:
            birth, serial = number[:6], number[6:]
            turned = birth[4:] + birth[2:4] + birth[:2]
            for spelling in (number, turned + serial, number[::-1], serial + birth, number.lstrip("0")):
                if len(spelling) >= 9:
                    self._of_digits[spelling] = number
        for secret in self.numbers | self.phones:
            for order in ("little", "big"):
                self._of_integers[int.from_bytes(int(secret).to_bytes(8, order), "little")] = secret
        for email in self.emails:
            self._by_domain.setdefault(_after_at(email, email.index("@")), set()).add(email)

    def found_in(self, *contents: bytes) -> set[str]:
        """The secrets that stand in the contents, in the spelling in which they were given.

        What several of them hold, such as the versions of a database's page, is looked at once.
        """
        searched: dict[bytes, int] = {}
        return set().union(*(self._found_in(content, DEEPEST, searched) for content in contents))

    def _found_in(self, content: bytes, depth: int, searched: dict[bytes, int]) -> set[str]:
        """``searched``: the digests of what was searched before, and how deep; it need not be searched again."""
        digest = hashlib.blake2b(content, digest_size=16).digest()
        searched_before = searched.get(digest, -1)
        if searched_before >= depth:
            return set()
        searched[digest] = depth
        found = set()
        if searched_before < 0:
            found = self._as_integers(content)
            for text in _texts(content):
                found |= self._in_text(text)
        if depth:
            for inner in set(_unwrapped(content)) - {content}:
                found |= self._found_in(inner, depth - 1, searched)
        return found

    def _in_text(self, text: str) -> set[str]:
        if not text.isascii():
            for character in set(text):
                if character > "\x7f" and (plain := _plain(character)) != character:
                    text = text.replace(character, plain)
        # Whatever stands between the digits: quick, and seldom so.
        digits = text.encode("utf-8", "surrogatepass").translate(None, _NO_DIGITS).decode()
        found = set()
        if any(spelling in digits for spelling in (*self._of_digits, *self.phones)):
            runs = set(_DIGIT_RUN.findall(text))
            digits = re.sub("[^0-9x]+", "", "x".join(runs))
            found |= {number for spelling, number in self._of_digits.items() if spelling in digits}
            # A phone number is part of such a run, and what stands before and after a run is no digit.
            numbers = {re.sub("[^0-9]", "", match[1]) for run in runs for match in _PHONE.finditer(run)}
            found |= numbers & self.phones
        if "@" in text:
            small = text.lower()
            for at in (match.start() for match in re.finditer("@", small)):
                emails = self._by_domain.get(_after_at(small, at), ())
                found |= {email for email in emails if small.startswith(email, max(at - email.index("@"), 0))}
        return found

    def _as_integers(self, content: bytes) -> set[str]:
        """Eight bytes only: four happen to be those of some number too often."""
        if b"\0\0\0" not in content:
            return set()
        found: set[str] = set()
        for begin in range(min(8, len(content))):
            integers = np.frombuffer(content, "<u8", count=(len(content) - begin) // 8, offset=begin)
            # Ten digits fill five octets at most: of the others, few are left to be looked up.
            integers = integers[(integers < 10**10) | ((integers & 0xFFFFFF) == 0)]
            found |= {self._of_integers[one] for one in np.unique(integers).tolist() if one in self._of_integers}
        return found


def _after_at(text: str, at: int) -> str:
    return text[at + 1 : at + 5]


@cache
def _plain(character: str) -> str:
    """Digits of any script as those of ASCII, letters of any width as usual, and nothing of what is invisible."""
    if unicodedata.category(character) == "Cf":
        return ""
    digit = unicodedata.digit(character, None)
    return unicodedata.normalize("NFKC", character) if digit is None else str(digit)


def _texts(content: bytes) -> set[str]:
    text = content.decode("utf-8", "replace")
    texts = {text}
    if b"\0" in content:
        texts.add(content.replace(b"\0", b"").decode("utf-8", "replace"))  # UTF-16 and UTF-32 of what is ASCII
    if "&" in text:
        text = html.unescape(text)
        texts.add(text)
    if "<" in text:
        texts.add(re.sub("<[^>]*>", "", text))
    if "\\" in text:
        texts.add(_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text))
    return texts


def _unwrapped(content: bytes) -> Iterator[bytes]:
    """What may be packed in the content."""
    yield from _unpacked(content)
    if not _is_printable(content, 0.8):
        return
    # A blank before, so that what is no longer whole is not taken for a file.
    if b"%" in content:
        yield from _if_changed(content, b" " + unquote_to_bytes(content))
    if re.search(b"=[0-9A-F]{2}|=\r?\n", content):
        yield from _if_changed(content, b" " + quopri.decodestring(content))
    if b"&" in content:
        yield from _if_changed(content, b" " + html.unescape(content.decode("utf-8", "replace")).encode())
    for run in _runs(_BASE64_PLACE, _BASE64_RUN, content):
        joined = re.sub(rb"\s", b"", run).replace(b"-", b"+").replace(b"_", b"/")
        for begin in range(4):
            part = joined[begin:]
            part = part[: len(part) // 4 * 4 if len(part) % 4 == 1 else len(part)]
            yield from _if_told(base64.b64decode(part + b"=" * (-len(part) % 4)))
    for run in _runs(_HEX_PLACE, _HEX_RUN, content):
        digits = re.sub(rb"\\?0?x|[^0-9A-Fa-f]", b"", run)
        for begin in range(2):
            part = digits[begin:]
            yield from _if_told(bytes.fromhex(part[: len(part) // 2 * 2].decode()))


def _runs(place: re.Pattern[bytes], run: re.Pattern[bytes], content: bytes) -> set[bytes]:
    return set().union(*(run.findall(found) for found in set(place.findall(content))))


def _if_changed(before: bytes, after: bytes) -> Iterator[bytes]:
    if before != after[1:]:
        yield after


def _if_told(content: bytes) -> Iterator[bytes]:
    """What was decoded, if it could be something: a text or something packed, and not noise."""
    if len(content) < SHORTEST:
        return
    if _is_printable(content, 0.6) or content.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK", b"\x78")):
        yield content


def _is_printable(content: bytes, share: float) -> bool:
    sample = content[:2000]
    return len(sample) - len(sample.translate(None, _PRINTABLE)) >= share * len(sample)


def _unpacked(content: bytes) -> Iterator[bytes]:
    for place in _places(content, b"\x1f\x8b\x08"):
        with suppress(OSError, EOFError, zlib.error):
            yield gzip.decompress(content[place:]) if place == 0 else zlib.decompressobj(31).decompress(content[place:])
    for head in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        for place in _places(content, head):
            with suppress(zlib.error):
                if inner := zlib.decompressobj().decompress(content[place:]):
                    yield inner
    for place in _places(content, b"\x28\xb5\x2f\xfd"):
        yield _zstd(content[place:])
    if content.startswith(b"PK\x03\x04"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                yield name.encode()
                yield packed.read(name)
    if content.startswith(b"PAR1"):
        with suppress(OSError, pa.ArrowInvalid):  # what cannot be read is no file; its octets are searched all the same
            yield from _parquet(content)
    if content.startswith(b"ARROW1"):
        with suppress(pa.ArrowInvalid):
            yield from _values(pa.ipc.open_file(pa.BufferReader(content)).read_all())
    if content.startswith(b"SQLite format 3\0"):
        yield from _sqlite(content)


def _places(content: bytes, mark: bytes) -> Iterator[int]:
    place = content.find(mark)
    while place >= 0:
        yield place
        place = content.find(mark, place + 1)


def _zstd(content: bytes) -> bytes:
    """The first frame, whatever comes after it (RFC 8878, 3.1.1)."""
    with suppress(OSError, IndexError):
        descriptor = content[4]
        is_single_segment = descriptor >> 5 & 1
        place = 5 + (1 - is_single_segment) + (0, 1, 2, 4)[descriptor & 3]
        place += (is_single_segment, 2, 4, 8)[descriptor >> 6]
        is_last = False
        while not is_last:
            header = int.from_bytes(content[place : place + 3], "little")
            is_last, is_run_length = bool(header & 1), header >> 1 & 3 == 1
            place += 3 + (1 if is_run_length else header >> 3)
            if place > len(content):
                return b""
        frame = content[: place + 4 * (descriptor >> 2 & 1)]
        return pa.CompressedInputStream(pa.BufferReader(frame), "zstd").read()
    return b""


def _parquet(content: bytes) -> Iterator[bytes]:
    """Values, unused entries of dictionaries, statistics, names, key-value metadata."""
    file = pq.ParquetFile(pa.BufferReader(content))
    yield repr(file.schema_arrow.metadata).encode()
    yield str(file.schema).encode()
    for key, value in (file.metadata.metadata or {}).items():
        yield key + b" " + value
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            statistics = file.metadata.row_group(group).column(column).statistics
            if statistics is not None and statistics.has_min_max:
                yield f"{statistics.min}\n{statistics.max}".encode()
    texts = [
        name for name, kind in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True) if _is_text(kind)
    ]
    for options in ({}, {"read_dictionary": texts}):
        yield from _values(pq.read_table(pa.BufferReader(content), **options))


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


def _values(table: pa.Table) -> Iterator[bytes]:
    yield "\n".join(table.column_names).encode()
    for column in table.columns:
        for chunk in column.chunks:
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            # As octets, for not every text is UTF-8.
            yield _joined((values.cast(pa.binary()) if pa.types.is_string(values.type) else values).to_pylist())


def _joined(values: Iterable[Any]) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def _sqlite(content: bytes) -> Iterator[bytes]:
    """The rows of every table; what stands in free pages the search of the raw bytes finds."""
    with tempfile.NamedTemporaryFile(suffix=".db") as copy:
        copy.write(content[:18] + b"\1\1" + content[20:])  # its log is searched by itself
        copy.flush()
        with closing(sqlite3.connect(f"file:{copy.name}?mode=ro&immutable=1", uri=True)) as database:
            database.text_factory = bytes
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield table
                with suppress(sqlite3.DatabaseError):  # tables of an extension that is not here
                    for row in database.execute(f'SELECT * FROM "{table.decode()}"'):
                        yield _joined(row)


def files_under(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Each file below the folders, its name and content; of folders and what is no file the name."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            yield str(path), path.read_bytes() if path.is_file() and not path.is_symlink() else b""


POISONED = {"MALLOC_PERTURB_": "65", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""An environment in which all memory that a process is given is full of `POISON`."""

POISON = b"\xbe" * 12
"""Bytes of memory that nobody has written to: in a file, they could have been anybody's."""


def has_poison(content: bytes, depth: int = DEEPEST) -> bool:
    """Whether memory that was never written to stands in the content, or in what is packed in it."""
    return POISON in content or (depth > 0 and any(has_poison(inner, depth - 1) for inner in _unpacked(content)))


def secrets_of(workspace: Path) -> Secrets:
    """Every CPR number of a workspace, and every contact value that is or was in its store.

    Not the values that are refused for what they are: those the rejections may show (SPEC 6).
    """
    citizens = (workspace / "reference" / "citizens.csv").read_text().splitlines()[1:]
    with closing(sqlite3.connect(workspace / "var" / "afstem.db")) as store:
        stored = {
            value for (value,) in store.execute("SELECT value FROM contacts UNION SELECT before FROM contact_history")
        }
    refused = ""
    for table in workspace.glob("reports/*/rejections"):
        rejections = ds.dataset(table, partitioning="hive").to_table()
        refused += "\n".join(re.sub(r"[\s-]", "", value).lower() for value in rejections["value"].to_pylist() if value)
    shown = {value for value in stored if value and value.removeprefix("+45").lower() in refused}
    values = stored - shown - {None}
    return Secrets(
        frozenset(line.partition(";")[0] for line in citizens),
        frozenset(value.removeprefix("+45") for value in values if re.fullmatch(r"\+45\d{8}", value)),
        frozenset(value.lower() for value in values if "@" in value),
    )
