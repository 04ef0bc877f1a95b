"""JSON Lines of SPEC 2.3: one message of the service a line, each element of its list a record.

A line that an RE2 shape proves to be plainly a message (no escapes, no unknown fields, no braces inside
strings) is read in columns by pyarrow.json; every other line is read by `message.read_message`, whose answer
is the truth. The shape is narrow on purpose: it may refuse a good line, never take a bad one.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from afstem.decode import blocks
from afstem.decode.extract import ExtractReader, Header, build_batch, join_batches
from afstem.decode.lines import (
    Mask,
    Numbers,
    blank,
    decode_block,
    join_lines,
    line_texts,
    match,
    select,
    split_lines,
)
from afstem.decode.message import LIST_FIELD, MAX_REPEAT, MESSAGE_FIELDS, Submitted, read_message
from afstem.schema import NAMED_COLUMNS

_SPACE = r"[ \t\r]*"
_TEXT = r'(?:"[^"\\{}\x00-\x1f]*"|null)'
_INTEGER = r"(?:0|[1-9][0-9]{0,17}|null)"  # fits 64 bits


def _object_pattern(members: dict[str, str], needed: str | None = None) -> str:
    """RE2 for an object with these members, at most once each, in any order; only `needed` must be there."""
    return rf"\{{{_SPACE}{_members_pattern(members, needed, '')}\}}"


def _members_pattern(members: dict[str, str], needed: str | None, comma: str) -> str:
    ways = [
        rf'{comma}"{name}"{_SPACE}:{_SPACE}{member}{_SPACE}'
        + _members_pattern({other: members[other] for other in members if other != name}, needed, f",{_SPACE}")
        for name, member in members.items()
    ]
    if needed not in members:
        ways.append("")
    return f"(?:{'|'.join(ways)})"


def _message_pattern(kontaktdatatype: str) -> str:
    element = _object_pattern({"kontaktdatatype": kontaktdatatype, "kontaktdata": _TEXT})
    elements = rf"\[{_SPACE}(?:{element}{_SPACE}(?:,{_SPACE}{element}{_SPACE})*)?\]"
    message = _object_pattern({**dict.fromkeys(MESSAGE_FIELDS, _TEXT), LIST_FIELD: elements}, LIST_FIELD)
    return rf"\A{_SPACE}{message}{_SPACE}\n\z"


def _message_schema(kontaktdatatype: pa.DataType) -> pa.Schema:
    element = pa.struct({"kontaktdatatype": kontaktdatatype, "kontaktdata": pa.string()})
    return pa.schema({**dict.fromkeys(MESSAGE_FIELDS, pa.string()), LIST_FIELD: pa.list_(element)})


# Two shapes, because pyarrow.json wants one type of each field.
_PLAIN_SHAPES = (
    (_message_pattern(_TEXT), _message_schema(pa.string())),
    (_message_pattern(_INTEGER), _message_schema(pa.int64())),
)


class JsonLinesReader(ExtractReader):
    """A JSON Lines extract, always UTF-8; `packed` says that it is gzipped."""

    def __init__(self, path: Path, _encoding: str, batch_bytes: int, *, packed: bool) -> None:
        super().__init__(Header(NAMED_COLUMNS, NAMED_COLUMNS))
        self._path = path
        self._packed = packed
        self._batch_bytes = batch_bytes
        blocks.refuse_empty(path, packed)

    def _counted_batches(self) -> Iterator[tuple[pa.Table, int]]:
        next_no = 1
        # A line is a record of its own, or has as many as braces at most.
        read = blocks.read_blocks(self._path, self._packed, True, self._batch_bytes, record_signs=(b"\n", b"{"))
        for block in read:
            batch, physical = self._read_block(block, next_no)
            next_no += physical
            yield batch, physical

    def _read_block(self, block: bytes, next_no: int) -> tuple[pa.Table, int]:
        _, undecodable = decode_block(block, "utf-8")
        lines = split_lines(block)
        spoilt = np.zeros(len(lines), np.bool_) if undecodable is None else undecodable
        left = ~spoilt
        # How many elements a plain line has, counted without a parser: its strings hold no brace.
        counts = np.asarray(pc.count_substring(lines, "{")).astype(np.int64) - 1
        left &= counts <= MAX_REPEAT
        shaped: list[tuple[Mask, pa.Schema]] = []
        for pattern, message_schema in _PLAIN_SHAPES:
            plain = left.copy()
            plain[left] = match(select(lines, left), pattern)
            left &= ~plain
            shaped.append((plain, message_schema))
        odd = ~np.logical_or.reduce([plain for plain, _ in shaped])
        odd[odd] = ~blank(select(lines, odd))
        messages = _read_odd(select(lines, odd), spoilt[odd])
        filled = odd | np.logical_or.reduce([plain for plain, _ in shaped])
        counts[~filled] = 0
        counts[odd] = [len(records) for records in messages]
        starts = next_no + np.cumsum(counts) - counts
        parts = [
            self._read_plain(select(lines, plain), counts[plain], starts[plain], message_schema)
            for plain, message_schema in shaped
        ]
        parts.append(self._build_odd(select(lines, odd), messages, starts[odd]))
        return join_batches(self._schema, parts), int(counts.sum())

    def _read_plain(
        self, lines: pa.BinaryArray, counts: Numbers, starts: Numbers, message_schema: pa.Schema
    ) -> pa.Table:
        if not counts.sum():
            return self._schema.empty_table()
        content = join_lines(lines)
        table = pyarrow.json.read_json(
            pa.BufferReader(content),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=content.size + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=message_schema, newlines_in_values=False, unexpected_field_behavior="error"
            ),
        ).combine_chunks()
        lists = table.column(LIST_FIELD).combine_chunks()
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
        if not np.array_equal(lengths, counts):
            raise AssertionError(f"pyarrow.json read {lengths.sum()} records, {counts.sum()} were written")
        elements = pc.list_flatten(lists)
        columns = {
            "kontaktdatatype": pc.struct_field(elements, "kontaktdatatype").cast(pa.string()),
            "kontaktdata": pc.struct_field(elements, "kontaktdata"),
        }
        message_of = np.repeat(np.arange(len(counts)), counts)
        for name in MESSAGE_FIELDS:
            texts = table.column(name)
            columns[name] = texts if (counts == 1).all() else texts.take(pa.array(message_of))
        columns["record_no"] = pa.array(_number_records(starts, counts))
        return build_batch(self._schema, columns, len(elements))

    def _build_odd(self, lines: pa.BinaryArray, messages: list[list[Submitted]], starts: Numbers) -> pa.Table:
        counts = np.fromiter(map(len, messages), np.int64, len(messages))
        records = [record for message in messages for record in message]
        columns = {
            name: pa.array([getattr(record, name) for record in records], pa.string())
            for name in ("fault", *NAMED_COLUMNS)
        }
        columns["record_no"] = pa.array(_number_records(starts, counts))
        if columns["fault"].null_count < len(records):
            message_of = pa.array(np.repeat(np.arange(len(counts)), counts))
            texts = line_texts(lines, "utf-8").take(message_of)
            columns["line"] = pc.if_else(columns["fault"].is_valid(), texts, None)
        return build_batch(self._schema, columns, len(records))


def _read_odd(lines: pa.BinaryArray, undecodable: Mask) -> list[list[Submitted]]:
    return [
        [Submitted("encoding")] if spoilt else read_message(line.decode())
        for line, spoilt in zip(lines.to_pylist(), undecodable.tolist(), strict=True)
    ]


def _number_records(starts: Numbers, counts: Numbers) -> Numbers:
    """Record numbers of messages that begin at `starts` and have so many records each."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())
