"""The catalogue of hostile files: small, or quickly written, and more than a reader without limits can take.

Each is written as the extract of an actor and must be refused, or read, within seconds and a gibibyte.
"""

import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afstem.schema import NEEDED_COLUMNS

MIB = 2**20
HEADER = b"personnummer;kontaktdatatype;kontaktdata\n"
EMPTY_MESSAGE = b'{"kontaktinformationer":[' + b"{}," * 60 + b"{}]}\n"
ENCRYPTED = Path(__file__).parent / "parquet_testing" / "encrypt_columns_plaintext_footer.parquet.encrypted"
"""From apache/parquet-testing (Apache License 2.0, which stands beside it)."""


@dataclass(frozen=True)
class Hostile:
    """``verdict`` is ``read`` or the reason of the 1014; ``slow`` is one that takes seconds to make or to refuse."""

    name: str
    verdict: str
    content: Callable[[], bytes]
    slow: bool = False


def packed(*parts: tuple[bytes, int]) -> bytes:
    """Each part so many times, as members of one gzip file: a gigabyte of it is made in no time."""
    return b"".join(gzip.compress(part, 9, mtime=0) * times for part, times in parts)


def lines(line: bytes, size: int = 16 * MIB) -> bytes:
    return line * (size // len(line))


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    """A Parquet extract with these columns besides the needed ones."""
    rows = max(map(len, columns.values()))
    sink = io.BytesIO()
    needed = {name: ["1"] * rows for name in NEEDED_COLUMNS}
    pq.write_table(pa.table(needed | columns), sink, **{"compression": "zstd", "store_schema": False, **options})
    return sink.getvalue()


def repeated(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0, 1] + [2] * rows, pa.int32()), ["a", "b", value])


def with_rows_claimed(content: bytes, rows: int, claimed: int, times: int) -> bytes:
    """A Parquet file whose footer says another number of rows, in the first ``times`` of its places."""
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8]
    # In Thrift's compact protocol: a field of 64 bits that follows its neighbour, then the number, zigzag.
    changed = re.sub(re.escape(b"\x16" + varint(2 * rows)), b"\x16" + varint(2 * claimed), footer, count=times)
    assert changed != footer
    return content[: -8 - length] + changed + len(changed).to_bytes(4, "little") + content[-4:]


def varint(number: int) -> bytes:
    octets = []
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


CATALOGUE = (
    # A gibibyte of nothing, of records, of blank lines, in a megabyte or two.
    Hostile("zeros.csv.gz", "header-too-long", lambda: packed((b"\0" * 16 * MIB, 64))),
    Hostile("zeros.jsonl.gz", "line-too-long", lambda: packed((b"\0" * 16 * MIB, 64))),
    Hostile("records.csv.gz", "too-large", lambda: packed((HEADER, 1), (lines(b"1;1;1\n"), 3)), slow=True),
    Hostile("garbage.csv.gz", "too-large", lambda: packed((HEADER, 1), (lines(b"a\n"), 3)), slow=True),
    Hostile(
        "elements.jsonl.gz",
        "too-large",
        lambda: packed((lines(EMPTY_MESSAGE), 3)),
        slow=True,
    ),
    Hostile("members.csv.gz", "read", lambda: packed((HEADER, 1), (b"", 50_000))),
    Hostile("twice.csv.gz", "header-too-long", lambda: packed((packed((lines(b"1;1;1\n"), 60)), 1))),
    # Plain text.
    Hostile("columns.csv", "header-too-long", lambda: b";".join(b"c%d" % n for n in range(10**6)) + b"\n"),
    Hostile("field.csv", "line-too-long", lambda: HEADER + b"1;1;" + b"x" * (100 * MIB) + b"\n"),
    Hostile("quotes.csv", "read", lambda: HEADER + (b'1;1;"' + b'""' * (2 * MIB) + b'"\n') * 3),
    Hostile("garbage.csv", "read", lambda: HEADER + lines(b"a\n", MIB)),
    Hostile("newlines.csv", "read", lambda: HEADER + b"1;1;2\r1;1;3\r\n\n\r\r\n1;1;\x0b\x0c\x85\n" * 1000),
    Hostile("empties.jsonl", "read", lambda: b'{"kontaktinformationer":[' + b"{}," * (5 * MIB) + b"{}]}\n"),
    Hostile("deep.jsonl", "read", lambda: b"[" * (15 * MIB) + b"\n"),
    Hostile("deep-objects.jsonl", "read", lambda: b'{"kontaktinformationer":' * (MIB // 2) + b"\n"),
    Hostile(
        "digits.jsonl", "read", lambda: b'{"kontaktinformationer":[{"kontaktdatatype":%s}]}\n' % (b"9" * (15 * MIB))
    ),
    # Parquet: more than it looks, or otherwise.
    Hostile("nulls.parquet", "too-large", lambda: parquet({"x": pa.nulls(2 * 10**6)})),
    Hostile(
        "long.parquet",
        "too-large",
        lambda: parquet({"x": repeated("x" * MIB, 5000)}, dictionary_pagesize_limit=2 * MIB),
    ),
    Hostile("wide.parquet", "too-costly", lambda: parquet({f"x{n}": repeated("x" * 60_000, 9000) for n in range(60)})),
    Hostile("cell.parquet", "line-too-long", lambda: parquet({"x": ["x" * (64 * MIB)]}, use_dictionary=False)),
    Hostile(
        "cells.parquet", "too-costly", lambda: parquet({"x": ["x" * 10**6] * 1000}, use_dictionary=False), slow=True
    ),
    Hostile("claims.parquet", "too-large", lambda: with_rows_claimed(parquet({"x": ["1"] * 777}), 777, 2**40, 1)),
    Hostile("claims-all.parquet", "too-large", lambda: with_rows_claimed(parquet({"x": ["1"] * 777}), 777, 2**40, 99)),
    Hostile("more-rows.parquet", "parquet", lambda: with_rows_claimed(parquet({"x": ["1"] * 777}), 777, 778, 1)),
    Hostile("fewer-rows.parquet", "parquet", lambda: with_rows_claimed(parquet({"x": ["1"] * 777}), 777, 776, 1)),
    Hostile("nested.parquet", "read", lambda: parquet({"x": [[[[1] * 1000] * 100] * 10] * 3})),
    Hostile("groups.parquet", "too-large", lambda: parquet({"x": ["1"] * 10_001}, row_group_size=1), slow=True),
    Hostile("encrypted.parquet", "breaks-reader", ENCRYPTED.read_bytes),
)
