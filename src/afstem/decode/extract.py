"""What every reader of a format shares: an extract's header, its batches, why it may be unreadable."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from afstem.errors import Unreadable
from afstem.schema import MAX_RECORD_NO, NAMED_COLUMNS, NEEDED_COLUMNS, record_schema

REASONS = (
    "empty",  # no bytes at all, packed or unpacked
    "gzip",  # truncated, corrupt, or followed by something that is not gzip
    "too-large",  # unpacks to more than any real extract
    "line-too-long",
    "header-too-long",
    "header-encoding",  # the header line cannot be decoded in the declared encoding
    "header-columns",  # the header line breaks the quoting of RFC 4180
    "header-missing-column",
    "header-column-twice",
    "too-many-columns",
    "parquet",  # not a Parquet file, or a broken one
    "parquet-personnummer-type",  # personnummer is not text, so its leading zeros are gone
    "parquet-column-type",  # another named column has a type that SPEC 2.3 does not take
)
"""Every reason an `Unreadable` of this package carries."""

MAX_COLUMNS = 500
"""RE2 repeats a pattern at most 1,000 times; no real extract comes near, a hostile one may."""


@dataclass(frozen=True)
class Header:
    """The columns of an extract in the order submitted.

    `names` are the raw texts, untrimmed; `columns` the record table's column of each: a name of
    `NAMED_COLUMNS`, or ``extra.<n>`` where n counts the extra columns from 0.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def extra_count(self) -> int:
        """How many columns SPEC 2.3 does not name."""
        return sum(column not in NAMED_COLUMNS for column in self.columns)


def build_header(names: Sequence[str]) -> Header:
    """Find the named columns among those submitted (SPEC 2.3: trimmed, without regard to case).

    Raises `Unreadable` when there are too many, a needed one is missing or a named one stands twice. Extra
    columns may repeat or be unnamed.
    """
    if len(names) > MAX_COLUMNS:
        raise Unreadable("too-many-columns")
    columns: list[str] = []
    extra = 0
    for name in names:
        plain = name.strip().casefold()
        if plain in NAMED_COLUMNS:
            columns.append(plain)
        else:
            columns.append(f"extra.{extra}")
            extra += 1
    times = Counter(columns)
    if any(times[name] > 1 for name in NAMED_COLUMNS):
        raise Unreadable("header-column-twice")
    if any(times[name] == 0 for name in NEEDED_COLUMNS):
        raise Unreadable("header-missing-column")
    return Header(tuple(names), tuple(columns))


class ExtractReader(ABC):
    """One extract, read once, as batches of numbered records with nothing dropped.

    `physical_records` is known after `batches` is exhausted: how many records the file holds, counted without
    the parser that built the table. A difference is a bug of ours and rises; no record is lost in silence.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self.physical_records: int | None = None
        self._schema = record_schema(header.extra_count)
        self._begun = False

    def batches(self) -> Iterator[pa.Table]:
        """Yield tables of `record_schema`, at least one row each, rising in ``record_no``.

        Raises `Unreadable`, also half-way: then nothing already yielded counts.
        """
        if self._begun:
            raise RuntimeError("an extract is read once; open it again")
        self._begun = True
        records = 0
        counted = 0
        for batch, physical in self._counted_batches():
            if batch.num_rows and batch["record_no"][-1].as_py() > MAX_RECORD_NO:
                raise Unreadable("too-large")
            records += batch.num_rows
            counted += physical
            if batch.num_rows:
                yield batch
        if records != counted:
            raise AssertionError(f"{counted} records in the file, {records} were read")
        self.physical_records = counted

    @abstractmethod
    def _counted_batches(self) -> Iterator[tuple[pa.Table, int]]:
        """Yield each batch with the independent count of its records; a batch may be empty."""


def build_batch(schema: pa.Schema, columns: dict[str, pa.Array | pa.ChunkedArray], rows: int) -> pa.Table:
    """Put a batch's columns in the order of the schema; those the extract lacks are all null."""
    return pa.table(
        [columns[field.name] if field.name in columns else pa.nulls(rows, field.type) for field in schema],
        schema=schema,
    )


def join_batches(schema: pa.Schema, parts: Sequence[pa.Table]) -> pa.Table:
    """Put the parts of one batch back in the order of ``record_no``."""
    filled = [part for part in parts if part.num_rows]
    if not filled:
        return schema.empty_table()
    if len(filled) == 1:
        return filled[0]
    return pa.concat_tables(filled).combine_chunks().sort_by("record_no")
