"""How an extract is written: its format, columns and spellings. Clean records in bulk, odd ones singly."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afstem.sample.text_columns import Ints, spell
from afstem.schema import NAMED_COLUMNS

CODECS = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}
"""Python's names of the encodings of SPEC 2.2."""

DEPARTMENTS = ("Ydelse", "Østbyen", "Café Åløkke", "Team A; morgen", "Team B, aften", 'Hold "Nord"', "")
"""What stands in an extract's own column ``afdeling``: letters beyond ASCII, separators and quotation marks."""

TIME_SPELLINGS = {
    "local": "####-##-##T##:##:##",
    "blank": "####-##-## ##:##:##",
    "offset": "####-##-##T##:##:##+01:00",
    "utc": "####-##-##T##:##:##Z",
    "basic": "########T######",
}


@dataclass(frozen=True)
class Draft:
    """One record before it is written; None is null, or nothing at all."""

    personnummer: str | None
    kontaktdatatype: str | None
    kontaktdata: str | None
    registreret: str | None
    reference: str | None


@dataclass(frozen=True)
class Layout:
    """What all the extracts of one delivery look like.

    ``columns`` are the names as they stand in the file; those that SPEC 2.3 does not name hold departments.
    ``typed`` is Parquet with integers for ``kontaktdatatype`` and timestamps for ``registreret``, JSON Lines with
    integers for ``kontaktdatatype``.
    """

    suffix: Literal[".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"] = ".csv"
    encoding: Literal["utf-8", "windows-1252", "iso-8859-1"] = "utf-8"
    columns: tuple[str, ...] = NAMED_COLUMNS
    separator: str = ";"
    newline: str = "\n"
    quote_all: bool = False
    byte_order_mark: bool = False
    typed: bool = False
    time: str = "local"
    cpr: tuple[str, ...] = ("##########",)
    phone: tuple[str, ...] = ("########",)

    @property
    def format(self) -> str:
        return self.suffix.split(".")[1]

    @property
    def fields(self) -> tuple[str, ...]:
        """What each column is in lower case, in the file's order."""
        return tuple(name.strip().casefold() for name in self.columns)

    def holds_any_text(self, field: str) -> bool:
        """Whether the extract has this column, and it takes whatever is written into it."""
        return field in self.fields and not (self.typed and field in ("kontaktdatatype", "registreret"))


# --- clean records, a column at a time ------------------------------------------------------------------------------


def time_texts(seconds: Ints, layout: Layout) -> pa.StringArray:
    """Local times, in seconds since 1970, as the layout spells them."""
    moments = seconds.astype("M8[s]")
    days = moments.astype("M8[D]")
    months = moments.astype("M8[M]")
    year = months.astype("M8[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1
    day = (days - months).astype(np.int64) + 1
    clock = seconds % 86_400
    joined = (year * 100 + month) * 100 + day
    joined = ((joined * 100 + clock // 3600) * 100 + clock // 60 % 60) * 100 + clock % 60
    return spell(joined, 14, [TIME_SPELLINGS[layout.time]])


def header_line(layout: Layout) -> bytes:
    names = [f'"{name}"' if layout.quote_all else name for name in layout.columns]
    mark = b"\xef\xbb\xbf" if layout.byte_order_mark else b""
    return mark + (layout.separator.join(names) + layout.newline).encode(CODECS[layout.encoding])


def csv_lines(columns: dict[str, pa.Array], layout: Layout) -> pa.BinaryArray:
    """The lines of records whose named columns hold nothing that must be quoted; the others are quoted already."""
    quote = b'"' if layout.quote_all else b""
    parts: list[pa.Array | bytes] = []
    for position, field in enumerate(layout.fields):
        text = columns[field].cast(pa.binary()).fill_null(b"")
        own_quotes = field in NAMED_COLUMNS
        before = (layout.separator.encode() if position else b"") + (quote if own_quotes else b"")
        parts += [before, text, quote if own_quotes else b""]
    return _joined([*parts, layout.newline.encode()])


def department_cells(layout: Layout) -> pa.BinaryArray:
    """`DEPARTMENTS` as they are written into CSV."""
    return pa.array([_csv_field(text, layout).encode(CODECS[layout.encoding]) for text in DEPARTMENTS], pa.binary())


def json_lines(columns: dict[str, pa.Array], starts: Ints, layout: Layout) -> pa.BinaryArray:
    """One message for each citizen: ``starts`` says at which record each message begins, and where the last ends."""
    quote = b"" if layout.typed else b'"'
    value = _joined([b'"', columns["kontaktdata"].cast(pa.binary()), b'"']).fill_null(b"null")
    code = columns["kontaktdatatype"].cast(pa.binary())
    element = _joined([b'{"kontaktdatatype": ' + quote, code, quote + b', "kontaktdata": ', value, b"}"])
    elements = pc.binary_join(
        pa.ListArray.from_arrays(pa.array(starts, pa.int32()), element), pa.scalar(b", ", pa.binary())
    )
    first = pa.array(starts[:-1])
    parts: list[pa.Array | bytes] = [b"{"]
    for field in layout.fields:
        if field in ("personnummer", "registreret", "reference"):
            parts += [f'"{field}": "'.encode(), columns[field].cast(pa.binary()).take(first), b'", ']
    return _joined([*parts, b'"kontaktinformationer": [', elements, b"]}" + layout.newline.encode()])


def _joined(parts: Sequence[pa.Array | bytes]) -> pa.BinaryArray:
    cells = [
        pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts if not _is_nothing(part)
    ]
    return pc.binary_join_element_wise(*cells, pa.scalar(b"", pa.binary()))


def _is_nothing(part: pa.Array | bytes) -> bool:
    return isinstance(part, bytes) and not part


# --- odd records, one at a time -------------------------------------------------------------------------------------


def line_of(draft: Draft, layout: Layout) -> str:
    """One record as a line without its ending."""
    return csv_line(draft, layout) if layout.format == "csv" else json_line(draft, layout)


def csv_line(draft: Draft, layout: Layout) -> str:
    cells = [getattr(draft, field) or "" if field in NAMED_COLUMNS else DEPARTMENTS[0] for field in layout.fields]
    return layout.separator.join(_csv_field(cell, layout) for cell in cells)


def json_line(draft: Draft, layout: Layout) -> str:
    about = {
        field: getattr(draft, field) for field in ("personnummer", "registreret", "reference") if field in layout.fields
    }
    element = {"kontaktdatatype": draft.kontaktdatatype, "kontaktdata": draft.kontaktdata}
    return json.dumps({**about, "kontaktinformationer": [element]}, ensure_ascii=False)


def encoded(line: str, layout: Layout) -> bytes:
    """The line as it stands in the file. An undecodable byte is a lone surrogate in the text (PEP 383)."""
    return (line + layout.newline).encode(CODECS[layout.encoding], "surrogateescape")


def _csv_field(text: str, layout: Layout) -> str:
    if layout.quote_all or '"' in text or layout.separator in text:
        return '"' + text.replace('"', '""') + '"'
    return text
