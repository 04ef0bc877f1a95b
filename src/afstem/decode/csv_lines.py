"""CSV of SPEC 2.3: a physical line is a record, RFC 4180 quoting, strict.

pyarrow.csv is fast but loses records in silence when a quote is left open (TRAPS.md), so it never sees a line
that has not been proved well-formed by itself. What it would read otherwise than SPEC goes to `split_line`;
what is not well-formed is a fault of its line alone. A receipt that comes back is read as what was submitted.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from afstem.decode import blocks
from afstem.decode.extract import ExtractReader, Header, build_batch, build_header, join_batches
from afstem.decode.lines import (
    CODECS,
    Mask,
    Numbers,
    blank,
    count_filled,
    decode_block,
    join_lines,
    line_texts,
    match,
    select,
    split_lines,
)
from afstem.errors import Unreadable
from afstem.schema import is_receipt
from afstem.spreadsheet_cells import as_submitted


def split_line(line: str, separator: str) -> list[str] | None:
    """The fields of one line without its ending; None when it breaks RFC 4180."""
    if '"' not in line:
        return line.split(separator)
    fields: list[str] = []
    at = 0
    while True:
        if line.startswith('"', at):
            end = line.find('"', at + 1)
            while end >= 0 and line.startswith('"', end + 1):
                end = line.find('"', end + 2)
            if end < 0:
                return None
            fields.append(line[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            end = line.find(separator, at)
            field = line[at:] if end < 0 else line[at:end]
            if '"' in field:
                return None
            fields.append(field)
            at += len(field)
        if at == len(line):
            return fields
        if not line.startswith(separator, at):
            return None
        at += 1


class CsvReader(ExtractReader):
    """A CSV extract; `packed` says that it is gzipped."""

    def __init__(self, path: Path, encoding: str, batch_bytes: int, *, packed: bool) -> None:
        self._path = path
        self._packed = packed
        self._batch_bytes = batch_bytes
        self._codec = CODECS[encoding]
        self._drop_bom = self._codec == "utf-8"
        separator, header = self._read_header()
        super().__init__(header)
        self._separator = separator
        fields = len(header.names)
        # The first takes only lines that pyarrow.csv reads as SPEC does: a CR inside a line ends it there.
        self._plain = _record_pattern(separator, fields, r"\r\n")
        self._well_formed = _record_pattern(separator, fields, r"\n")

    def _read_header(self) -> tuple[str, Header]:
        raw = blocks.read_first_line(self._path, self._packed, self._drop_bom)
        try:
            line = raw.decode(self._codec)
        except UnicodeDecodeError:
            raise Unreadable("header-encoding") from None
        if line.endswith("\n"):
            line = line[:-1].removesuffix("\r")
        separator = ";" if ";" in line else ","
        names = split_line(line, separator)
        if names is None:
            raise Unreadable("header-columns")
        if is_receipt(names):
            names = as_submitted(pa.array(names)).to_pylist()
        return separator, build_header(names)

    def _counted_batches(self) -> Iterator[tuple[pa.Table, int]]:
        line_no = 0
        for whole in blocks.read_blocks(self._path, self._packed, self._drop_bom, self._batch_bytes):
            block = whole
            if line_no == 0:
                block = whole[whole.index(b"\n") + 1 :]
                line_no = 1
            if block:
                batch, physical, lines = self._read_block(block, line_no)
                line_no += lines
                yield batch, physical

    def _read_block(self, block: bytes, first_line_no: int) -> tuple[pa.Table, int, int]:
        text, undecodable = decode_block(block, self._codec)
        lines = split_lines(text)
        numbers = np.arange(first_line_no, first_line_no + len(lines), dtype=np.int64)
        plain = match(lines, self._plain)
        if undecodable is not None:
            plain &= ~undecodable
        parts = [self._read_plain(select(lines, plain), numbers[plain])]
        if not plain.all():
            odd = ~plain
            odd_lines = select(lines, odd)
            spoilt = np.zeros(len(odd_lines), np.bool_) if undecodable is None else undecodable[odd]
            well_formed = match(odd_lines, self._well_formed) & ~spoilt
            parts.append(self._read_exactly(select(odd_lines, well_formed), numbers[odd][well_formed]))
            fault = ~well_formed & ~(blank(odd_lines) & ~spoilt)
            raw_lines = select(select(split_lines(block), odd), fault)
            parts.append(self._read_faults(raw_lines, spoilt[fault], numbers[odd][fault]))
        batch = join_batches(self._schema, parts)
        if is_receipt(self.header.names):
            batch = self._restore(batch)
        return batch, count_filled(text), len(lines)

    def _read_plain(self, lines: pa.BinaryArray, numbers: Numbers) -> pa.Table:
        if not len(lines):
            return self._schema.empty_table()
        content = join_lines(lines)
        if content.slice(0, len(blocks.BOM)).to_pybytes() == blocks.BOM:
            # pyarrow.csv drops one wherever its input begins; inside an extract it is a character.
            content = pa.py_buffer(blocks.BOM + content.to_pybytes())
        places = [f"c{place}" for place in range(len(self.header.columns))]
        table = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=places, block_size=content.size + 1),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._separator,
                quote_char='"',
                double_quote=True,
                escape_char=False,
                newlines_in_values=False,
                ignore_empty_lines=False,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                check_utf8=False,  # `decode_block` did
                column_types=dict.fromkeys(places, pa.string()),
                null_values=[],
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        )
        if table.num_rows != len(lines):
            raise AssertionError(f"pyarrow.csv read {table.num_rows} records from {len(lines)} lines")
        columns = dict(zip(self.header.columns, table.columns, strict=True))
        return build_batch(self._schema, {**columns, "record_no": pa.array(numbers)}, len(lines))

    def _read_exactly(self, lines: pa.BinaryArray, numbers: Numbers) -> pa.Table:
        """Well-formed lines that pyarrow.csv would read otherwise: those with a CR inside."""
        rows = []
        for line in lines.cast(pa.string()).to_pylist():
            fields = split_line(line[:-1].removesuffix("\r"), self._separator)
            if fields is None or len(fields) != len(self.header.columns):
                raise AssertionError("a line proved well-formed cannot be split")
            rows.append(fields)
        columns = {
            column: pa.array([fields[place] for fields in rows], pa.string())
            for place, column in enumerate(self.header.columns)
        }
        return build_batch(self._schema, {**columns, "record_no": pa.array(numbers)}, len(rows))

    def _restore(self, batch: pa.Table) -> pa.Table:
        """The records of a receipt as they were submitted."""
        for column in self.header.columns:
            place = batch.schema.get_field_index(column)
            submitted = as_submitted(batch.column(place).combine_chunks())
            batch = batch.set_column(place, self._schema.field(place), submitted)
        return batch

    def _read_faults(self, lines: pa.BinaryArray, undecodable: Mask, numbers: Numbers) -> pa.Table:
        columns = {
            "record_no": pa.array(numbers),
            "fault": pc.if_else(pa.array(undecodable), "encoding", "columns"),
            "line": line_texts(lines, self._codec),
        }
        return build_batch(self._schema, columns, len(lines))


def _record_pattern(separator: str, fields: int, excluded: str) -> str:
    """RE2 over bytes: so many RFC 4180 fields, none with an `excluded` character, then LF or CR LF."""
    field = rf'(?:"(?:[^"{excluded}]|"")*"|[^"{separator}{excluded}]*)'
    return rf"\A{field}(?:{separator}{field}){{{fields - 1}}}\r?\n\z"
