"""Mutants: valid extracts of every format with some bytes changed, the same for the same number.

A mutant must be read or refused within the limits. One that is read must be read as the reference reads it, one record
at a time and with nothing of the program (`reference.read_extract`).
"""

import gzip
import io
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from test_decode_against_the_reference import by_the_program, by_the_reference

from afstem.sample.cpr import synthetic_numbers

ROWS = 40
VALUES = ["26123456", "+4533112233", "borger@example.dk", "", None, "bø@æ.dk", "😀", 'a;"b"', " 2 "]


def columns() -> dict[str, list[Any]]:
    """Records of every kind: values, removals, nulls, letters of two and four bytes, separators and quotes."""
    numbers = synthetic_numbers(np.arange(8), 1)
    return {
        "personnummer": [f"{numbers[row % 8]:010}" for row in range(ROWS)],
        "kontaktdatatype": [str(row % 4) for row in range(ROWS)],
        "kontaktdata": [VALUES[row % len(VALUES)] for row in range(ROWS)],
        "reference": [None if row % 5 else f"r{row}" for row in range(ROWS)],
    }


def csv_extract() -> bytes:
    rows = [list(columns()), *zip(*columns().values(), strict=True)]
    fields = [[(cell or "").replace('"', '""') for cell in row] for row in rows]
    return "".join(";".join(f'"{cell}"' if ";" in cell else cell for cell in row) + "\r\n" for row in fields).encode()


def json_extract() -> bytes:
    elements = ("kontaktdatatype", "kontaktdata")
    lines = [
        {name: cell for name, cell in row.items() if name not in elements}
        | {"kontaktinformationer": [{name: row[name] for name in elements}] * (place % 3)}
        for place, row in enumerate(pa.table(columns()).to_pylist())
    ]
    return "".join(json.dumps(line, ensure_ascii=place % 2 == 0) + "\n" for place, line in enumerate(lines)).encode()


def parquet_extract(**options: Any) -> bytes:
    sink = io.BytesIO()
    extras = {
        "tal": pa.array(range(ROWS)),
        "liste": pa.array([[1, 2]] * ROWS),
        "tid": pa.array([0] * ROWS, pa.date32()),
    }
    pq.write_table(pa.table(columns() | extras), sink, row_group_size=15, **options)
    return sink.getvalue()


DELTA = {"personnummer": "DELTA_BYTE_ARRAY", "kontaktdata": "DELTA_LENGTH_BYTE_ARRAY", "tal": "DELTA_BINARY_PACKED"}

SEEDS: dict[str, Callable[[], bytes]] = {
    "csv.csv": csv_extract,
    "csv-packed.csv.gz": lambda: gzip.compress(csv_extract(), mtime=0),
    "json.jsonl": json_extract,
    "json-packed.jsonl.gz": lambda: gzip.compress(json_extract(), mtime=0),
    "plain.parquet": lambda: parquet_extract(compression="none", use_dictionary=False, store_schema=False),
    "dictionary.parquet": lambda: parquet_extract(compression="none", write_statistics=False),
    "checked.parquet": lambda: parquet_extract(compression="none", write_page_checksum=True),
    "delta.parquet": lambda: parquet_extract(compression="none", use_dictionary=False, column_encoding=DELTA),
    "pages.parquet": lambda: parquet_extract(compression="snappy", data_page_version="2.0", data_page_size=64),
    "zstd.parquet": lambda: parquet_extract(compression="zstd"),
    "gzip.parquet": lambda: parquet_extract(compression="gzip", write_page_index=True),
    "brotli.parquet": lambda: parquet_extract(compression="brotli"),
    "lz4.parquet": lambda: parquet_extract(compression="lz4"),
}
"""By file name. What is not packed is there because a changed byte of packed content seldom gets past the packing."""


@cache
def seed(name: str) -> bytes:
    return SEEDS[name]()


def mutant(name: str, number: int) -> bytes:
    """The extract of that name with one to four changes; in Parquet half of them in the footer."""
    dice = random.Random(f"{name} {number}")
    content = bytearray(seed(name))
    for _ in range(dice.choice((1, 1, 2, 4))):
        low = len(content) * 2 // 3 if name.endswith(".parquet") and dice.random() < 0.5 else 0
        at = dice.randrange(low, len(content))
        length = dice.choice((1, 2, 4, 8, 30))
        other = dice.randrange(len(content))
        change = dice.randrange(7)
        if change == 0:
            content[at] ^= 1 << dice.randrange(8)
        elif change == 1:
            content[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x3B, dice.randrange(256)))
        elif change == 2:
            content[at : at + length] = dice.choice((b"\xff", b"\0", b"\x80")) * length
        elif change == 3:
            del content[at : at + length]
        elif change == 4:
            content[at:at] = content[other : other + length]
        elif change == 5:
            content[at : at + length] = content[other : other + length]
        else:
            del content[at:]
        if not content:
            break
    return bytes(content)


def differs_from_the_reference(file: Path) -> bool:
    """In a worker: whether a file that both can read is read otherwise than one record at a time.

    Of text each must refuse what the other refuses. A broken Parquet file may be refused by one of them alone: the
    reference decodes it whole with the same library, and it knows no limits.
    """
    ours, theirs = by_the_program(file, "utf-8", 10_000), by_the_reference(file, "utf-8")
    if file.suffix == ".parquet" and (ours is None or theirs is None):
        return False
    return ours != theirs
