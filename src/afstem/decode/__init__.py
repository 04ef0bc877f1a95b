"""Extracts to record tables: raw, numbered, nothing dropped, nothing guessed (SPEC 2.3).

`open_extract` picks the reader by the file's ending. A new file format is a reader and a row of `FORMATS`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from afstem.decode.blocks import MAX_UNPACKED_BYTES
from afstem.decode.csv_lines import CsvReader
from afstem.decode.extract import REASONS, ExtractReader, Header
from afstem.decode.json_lines import JsonLinesReader
from afstem.decode.lines import CODECS
from afstem.decode.parquet_rows import ParquetReader

__all__ = ["FORMATS", "MAX_UNPACKED_BYTES", "REASONS", "ExtractReader", "Header", "is_extract_name", "open_extract"]

DEFAULT_BATCH_BYTES = 8 * 2**20
MAX_BATCH_BYTES = 256 * 2**20
"""Arrow's string columns count their bytes in 32 bits, and a line in UTF-8 can take three times its bytes."""

FORMATS: dict[str, Callable[[Path, str, int], ExtractReader]] = {
    ".csv": partial(CsvReader, packed=False),
    ".csv.gz": partial(CsvReader, packed=True),
    ".jsonl": partial(JsonLinesReader, packed=False),
    ".jsonl.gz": partial(JsonLinesReader, packed=True),
    ".parquet": ParquetReader,
}
"""Ending of the file name -> what opens it with a path, an encoding and the bytes of a batch."""


def is_extract_name(name: str) -> bool:
    """Whether a file of a source folder, its name without the folder, is an extract (SPEC 2.3)."""
    return name.endswith(tuple(FORMATS)) and not name.startswith(".") and not name.endswith((".part", ".tmp"))


def open_extract(path: Path, file_name: str, encoding: str, batch_bytes: int = DEFAULT_BATCH_BYTES) -> ExtractReader:
    """Open the file at `path`, which the actor called `file_name`, and read its header.

    `encoding` is one of SPEC 2.2 and matters for CSV only. `batch_bytes` bounds memory and changes nothing
    in what is read. Raises `Unreadable` with a reason of `REASONS`.
    """
    if not 1 <= batch_bytes <= MAX_BATCH_BYTES:
        raise ValueError(f"batch_bytes must be 1 to {MAX_BATCH_BYTES}")
    if encoding not in CODECS:
        raise ValueError("encoding must be one of " + ", ".join(CODECS))
    for ending, opener in FORMATS.items():
        if file_name.endswith(ending):
            return opener(path, encoding, batch_bytes)
    raise ValueError("not the name of an extract")
