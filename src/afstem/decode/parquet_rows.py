"""Parquet of SPEC 2.3: the columns of CSV with types; every cell becomes text.

A Parquet file of 500 bytes may be legal and hold gigabytes (TRAPS.md), so it is judged by its footer, by the
longest value of each dictionary, and by what has been read so far, and is read few rows at a time. A long cell is the
trouble of its record alone (SPEC 2.3), as long as the file does not hold more of them than it weighs.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.decode import parquet_dictionaries
from afstem.decode.blocks import MAX_LINE_BYTES, MAX_UNPACKED_BYTES
from afstem.decode.extract import MAX_COLUMNS, ExtractReader, build_batch, build_header
from afstem.decode.lines import MAX_LINE_TEXT, Mask, ill_formed_utf8
from afstem.errors import Unreadable

MAX_ROWS = 100_000_000
"""Each citizen's three contact types, five times over."""

MAX_ROWS_PER_BYTE = 10
FREE_ROWS = 10_000
"""A citizen's number alone takes more than a byte; only rows without content are packed tighter than this."""

MAX_ROW_GROUPS = 10_000
MAX_CELL_BYTES = MAX_LINE_BYTES
LONG_CELL_BYTES = 2**18
FREE_LONG_BYTES = 2**26
"""So much may the long cells of a file take beyond its size: a dictionary repeats one over any number of rows."""

ROWS_AT_A_TIME = 1024
"""So many at `LONG_CELL_BYTES` are a quarter of a GiB a column; more rows of shorter cells, fewer of longer."""


class ParquetReader(ExtractReader):
    """A Parquet extract; ``record_no`` is the row's number from 1."""

    def __init__(self, path: Path, _encoding: str, batch_bytes: int) -> None:
        self._path = path
        self._batch_bytes = batch_bytes
        if path.stat().st_size == 0:
            raise Unreadable("empty")
        with _broken_is_unreadable(), pq.ParquetFile(path) as file:
            metadata = file.metadata
            if metadata.num_columns > MAX_COLUMNS:
                raise Unreadable("too-many-columns")
            fields = list(file.schema_arrow)
            self._rows = metadata.num_rows
            _refuse_too_large(metadata, path.stat().st_size)
        super().__init__(build_header([field.name for field in fields]))
        self._readers = [
            _reader_of(column, field.type) for column, field in zip(self.header.columns, fields, strict=True)
        ]
        self._texts = [field.name for field in fields if _is_text(field.type)]
        self._long_bytes = 0

    def _counted_batches(self) -> Iterator[tuple[pa.Table, int]]:
        rows = 0
        text_bytes = 0
        for table in self._read_tables():
            batch = self._build_batch(table, rows + 1)
            rows += table.num_rows
            text_bytes += batch.nbytes
            if text_bytes > MAX_UNPACKED_BYTES or self._long_bytes > FREE_LONG_BYTES + self._path.stat().st_size:
                raise Unreadable("too-large")
            yield batch, table.num_rows
        if rows != self._rows:
            raise Unreadable("parquet")  # its footer and its pages disagree

    def _read_tables(self) -> Iterator[pa.Table]:
        held: list[pa.RecordBatch] = []
        size = 0
        with ExitStack() as opened:
            with _broken_is_unreadable():
                file = opened.enter_context(pq.ParquetFile(self._path, page_checksum_verification=True))
                preview = opened.enter_context(
                    pq.ParquetFile(self._path, read_dictionary=self._texts, page_checksum_verification=True)
                )
            raw = opened.enter_context(self._path.open("rb"))
            for group in range(file.metadata.num_row_groups):
                rows_at_a_time = ROWS_AT_A_TIME
                with _broken_is_unreadable():
                    doubtful = _doubtful_dictionaries(raw, file.metadata.row_group(group))
                    if not doubtful:
                        rows_at_a_time *= LONG_CELL_BYTES // parquet_dictionaries.SHORT_BYTES
                    else:
                        longest = _longest_in_dictionaries(preview, group, [x for x in self._texts if x in doubtful])
                        if longest > LONG_CELL_BYTES:
                            rows_at_a_time = FREE_LONG_BYTES // longest
                batches = file.iter_batches(rows_at_a_time, row_groups=[group], use_threads=False)
                while True:
                    with _broken_is_unreadable():
                        batch = next(batches, None)
                    if batch is None:
                        break
                    held.append(_without_dictionaries(batch))
                    size += held[-1].nbytes
                    if size >= self._batch_bytes:
                        yield pa.Table.from_batches(held).combine_chunks()
                        held, size = [], 0
        if held:
            yield pa.Table.from_batches(held).combine_chunks()

    def _build_batch(self, table: pa.Table, first_no: int) -> pa.Table:
        rows = table.num_rows
        texts: list[pa.Array] = []
        broken = np.zeros(rows, np.bool_)
        for read, column in zip(self._readers, table.columns, strict=True):
            plain = _plain_cells(column.combine_chunks())
            self._long_bytes += _bytes_in_long_cells(plain)
            cells = read(plain)
            spoilt = _spoilt(cells)
            if spoilt is not None:
                broken |= spoilt
            texts.append(cells)
        columns: dict[str, pa.Array] = {"record_no": pa.array(np.arange(first_no, first_no + rows))}
        if broken.any():
            columns["line"] = _row_texts(texts, broken)
            columns["fault"] = pc.if_else(pa.array(broken), "encoding", None)
            texts = [_without(cells, broken) for cells in texts]
        columns.update(zip(self.header.columns, texts, strict=True))
        return build_batch(self._schema, columns, rows)


@contextmanager
def _broken_is_unreadable() -> Iterator[None]:
    """What a broken Parquet file makes Arrow raise becomes `Unreadable`; a failing disk stays what it is."""
    try:
        yield
    except pa.ArrowMemoryError:  # it is also an ArrowException
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable("parquet") from None


def _refuse_too_large(metadata: pq.FileMetaData, file_bytes: int) -> None:
    rows = metadata.num_rows
    if rows > min(MAX_ROWS, FREE_ROWS + MAX_ROWS_PER_BYTE * file_bytes) or metadata.num_row_groups > MAX_ROW_GROUPS:
        raise Unreadable("too-large")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > MAX_UNPACKED_BYTES:
        raise Unreadable("too-large")
    # A list column may hold more values than there are rows.
    for place in range(metadata.num_columns):
        if sum(group.column(place).num_values for group in groups) > MAX_ROWS:
            raise Unreadable("too-large")


def _doubtful_dictionaries(file: BinaryIO, group: pq.RowGroupMetaData) -> set[str]:
    """The columns of texts or bytes whose dictionaries are not proved to hold short values only."""
    texts = [chunk for chunk in map(group.column, range(group.num_columns)) if chunk.physical_type == "BYTE_ARRAY"]
    return {chunk.path_in_schema for chunk in texts if not parquet_dictionaries.are_short(file, chunk)}


def _longest_in_dictionaries(preview: pq.ParquetFile, group: int, columns: list[str]) -> int:
    """Bytes of the longest value in the dictionaries of some columns of a row group, before it is repeated over rows.

    Of others no more is read: Arrow cannot give a column in the encodings DELTA as a dictionary.
    """
    for batch in preview.iter_batches(1, row_groups=[group], columns=columns, use_threads=False):
        return max(
            (
                _longest_cell(pc.binary_length(column.dictionary))
                for column in batch.columns
                if pa.types.is_dictionary(column.type) and _is_text(column.type)
            ),
            default=0,
        )
    return 0


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(kind) for is_kind in texts)


def _reader_of(column: str, kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    """What turns a column of that type into strings; `Unreadable` for a type SPEC 2.3 does not take."""
    if _is_text(kind):
        return _read_texts
    if pa.types.is_null(kind):
        return _read_scalars
    extra = column.startswith("extra.")
    if (column == "kontaktdatatype" or extra) and pa.types.is_integer(kind):
        return _read_scalars
    if column == "registreret" or extra:
        if pa.types.is_timestamp(kind):
            return _read_timestamps
        if pa.types.is_date(kind):
            return _read_scalars
    if extra:
        scalar = pa.types.is_boolean(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)
        return _read_scalars if scalar or pa.types.is_decimal(kind) else _read_nothing
    raise Unreadable("parquet-personnummer-type" if column == "personnummer" else "parquet-column-type")


def _read_texts(cells: pa.Array) -> pa.Array:
    return cells  # `_plain_cells` made strings of them


def _read_scalars(cells: pa.Array) -> pa.Array:
    return cells.cast(pa.string())


def _read_timestamps(cells: pa.Array) -> pa.Array:
    """ISO 8601, with offset when the column has a zone (it then holds instants, whatever the zone).

    Nanoseconds are cut off after the microseconds. A time outside the calendar becomes no time.
    """
    wall = cells.view(pa.int64()).view(pa.timestamp(cells.type.unit)).cast(pa.string())
    if cells.type.unit == "ns":
        wall = pc.utf8_slice_codeunits(wall, 0, len("2000-01-01 00:00:00.000000"))
    iso = pc.replace_substring(wall, " ", "T", max_replacements=1)
    return iso if cells.type.tz is None else pc.binary_join_element_wise(iso, "+00:00", "")


def _read_nothing(cells: pa.Array) -> pa.Array:
    """An extra column of a kind without a text (bytes, lists, structures): nothing to give back."""
    return pa.nulls(len(cells), pa.string())


def _without_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the columns that Arrow gives as dictionaries, because their writer had them so, as plain ones."""
    if not any(map(pa.types.is_dictionary, batch.schema.types)):
        return batch
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.record_batch(columns, names=batch.schema.names)


def _plain_cells(cells: pa.Array) -> pa.Array:
    if _is_text(cells.type):
        return cells.cast(pa.binary()).view(pa.string())
    return cells


def _longest_cell(lengths: pa.Array) -> int:
    """The greatest of the lengths of texts; `Unreadable` for one that no line of text could have."""
    longest: int = pc.max(lengths).as_py() or 0
    if longest > MAX_CELL_BYTES:
        raise Unreadable("line-too-long")
    return longest


def _bytes_in_long_cells(cells: pa.Array) -> int:
    if not _is_text(cells.type):
        return 0
    lengths = pc.binary_length(cells)
    if _longest_cell(lengths) <= LONG_CELL_BYTES:
        return 0
    total: int = pc.sum(lengths.filter(pc.greater(lengths, LONG_CELL_BYTES))).as_py()
    return total


def _spoilt(cells: pa.Array) -> Mask | None:
    """Which cells are no UTF-8; None when all are (Arrow believes a Parquet file until asked)."""
    try:
        cells.validate(full=True)
    except pa.ArrowInvalid:
        return ill_formed_utf8(cells.view(pa.binary()))
    return None


def _without(cells: pa.Array, broken: Mask) -> pa.Array:
    return pc.if_else(pa.array(broken), pa.scalar(None, pa.string()), cells)


def _row_texts(texts: list[pa.Array], broken: Mask) -> pa.Array:
    """The broken rows as lines a person may read, cells apart by ``;``; null for the others."""
    numbers = np.flatnonzero(broken)
    columns = [cells.view(pa.binary()).take(pa.array(numbers)).to_pylist() for cells in texts]
    lines = [
        b";".join(cell or b"" for cell in row).decode(errors="backslashreplace")[:MAX_LINE_TEXT]
        for row in zip(*columns, strict=True)
    ]
    place = np.full(len(broken), -1)
    place[numbers] = np.arange(len(numbers))
    return pa.array(lines, pa.string()).take(pa.array(place, mask=place < 0))
