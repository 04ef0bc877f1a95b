"""A workbook (``.xlsx``) whose every cell is text, written from Arrow columns a batch at a time.

A spreadsheet takes the cells of a CSV file for numbers and dates; these it leaves alone: a CPR number keeps its leading
zero, a phone number its plus, and no text is run as a formula, also after it was edited, for the columns are formatted
as text. Libraries that write workbooks make an object of every cell, which takes ten times as long.

What XML cannot hold is written as a spreadsheet itself would (``_x0001_``: ECMA-376 part 1, 22.9.2.19) and so is what
only looks like that, so every text is read back as it was. The same cells give the same bytes.
"""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from html import escape
from typing import IO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afstem.text_bytes import bytes_of

MOST_ROWS = 1_048_575
"""Rows of a sheet under its header; what is more goes to further sheets."""

MOST_COLUMNS = 16_384

LONGEST_CELL = 32_767
"""In UTF-16 code units. A spreadsheet that finds a longer one calls the whole workbook damaged."""

_MOST_BYTES = 3 << 29
"""Of a sheet: from 2 GiB a part of a ZIP archive needs an extension that spreadsheets complain about."""

_BYTES_AT_ONCE = 16 << 20
"""Arrow counts the bytes of a string column in 32 bits, and XML may take many where a cell took few."""

_WIDTHS = (8, 60)
"""The narrowest and the widest column, in characters."""

_NARROWED = 40
"""How wide a column of long texts becomes, unless its header needs more."""

_PLAIN = np.ones(256, np.bool_)
_PLAIN[[*range(9), *range(10, 32), *b"&<>_", 0xEF]] = False
"""The bytes that stand as they are; U+FFFE and U+FFFF, which XML cannot hold, begin with 0xEF."""

_NOT_IN_XML = [chr(code) for code in (*range(9), *range(10, 32), 0xFFFE, 0xFFFF)]
"""A carriage return and a line feed could stand there, but the first would be read back as the second."""

_HEADER, _TEXT = 2, 1  # their places among the formats of `_STYLES`

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

_STYLES = (
    f'<styleSheet xmlns="{_MAIN}">'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


class Workbook:
    """Rows under one header, on as many sheets as they need; the workbook is whole once the context is left.

    A text that is too long for a cell is replaced by ``too_long``.
    """

    def __init__(self, stream: IO[bytes], title: str, header: Sequence[str], too_long: str) -> None:
        self._archive = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._title, self._too_long = title, too_long
        self._header = [_cells(pa.array([name]), too_long) for name in header]
        self._widths = [min(max(len(name) + 4, _WIDTHS[0]), _WIDTHS[1]) for name in header]
        self._rows: list[int] = []
        self._bytes = 0
        self._sheet: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with ExitStack() as files:  # or an archive that could not be written complains of an open part instead
            files.callback(self._archive.close)
            files.callback(lambda: self._sheet and self._sheet.close())
            if kind is None:
                self._finish()

    def write(self, columns: Sequence[pa.StringArray]) -> None:
        """Append rows, without nulls."""
        rows = len(columns[0])
        if rows > 1 and sum(column.nbytes for column in columns) > _BYTES_AT_ONCE:
            self.write([column.slice(0, rows // 2) for column in columns])
            self.write([column.slice(rows // 2) for column in columns])
            return
        if self._sheet is None:
            self._fit(columns)
            sheet = self._begin()
        elif self._bytes > _MOST_BYTES or self._rows[-1] == MOST_ROWS:
            self._end(self._sheet)
            sheet = self._begin()
        else:
            sheet = self._sheet
        fitting = min(rows, MOST_ROWS - self._rows[-1])
        cells = [_cells(column.slice(0, fitting), self._too_long) for column in columns]
        self._bytes += sheet.write(_rows_of(cells, _TEXT))
        self._rows[-1] += fitting
        if fitting < rows:
            self.write([column.slice(fitting) for column in columns])

    def _fit(self, columns: Sequence[pa.StringArray]) -> None:
        """Make the columns as wide as the first rows ask for."""
        for place, column in enumerate(columns):
            longest = pc.max(pc.utf8_length(column)).as_py() or 0
            self._widths[place] = max(self._widths[place], min(longest + 2, _NARROWED))

    def _begin(self) -> IO[bytes]:
        self._rows.append(0)
        self._bytes = 0
        self._sheet = sheet = self._open(f"xl/worksheets/sheet{len(self._rows)}.xml")
        columns = "".join(
            f'<col min="{place}" max="{place}" width="{width}" style="{_TEXT}" customWidth="1"/>'
            for place, width in enumerate(self._widths, 1)
        )
        sheet.write(
            f'{_DECLARATION}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
            '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
            f"<cols>{columns}</cols><sheetData>".encode()
        )
        sheet.write(_rows_of(self._header, _HEADER))
        return sheet

    def _end(self, sheet: IO[bytes]) -> None:
        cells = f"A1:{_letters(len(self._header))}{self._rows[-1] + 1}"
        sheet.write(
            f'</sheetData><autoFilter ref="{cells}"/><ignoredErrors><ignoredError sqref="{cells}" '
            'numberStoredAsText="1"/></ignoredErrors></worksheet>'.encode()
        )
        sheet.close()

    def _finish(self) -> None:
        self._end(self._sheet or self._begin())
        sheets = range(1, len(self._rows) + 1)
        parts = [("/xl/workbook.xml", "sheet.main"), ("/xl/styles.xml", "styles")]
        parts += [(f"/xl/worksheets/sheet{place}.xml", "worksheet") for place in sheets]
        overrides = "".join(f'<Override PartName="{name}" ContentType="{_KIND}.{kind}+xml"/>' for name, kind in parts)
        self._put(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f"{overrides}</Types>",
        )
        self._put("_rels/.rels", _relations([("officeDocument", "xl/workbook.xml")]))
        self._put("xl/styles.xml", _STYLES)
        self._put(
            "xl/_rels/workbook.xml.rels",
            _relations(
                [*(("worksheet", f"worksheets/sheet{place}.xml") for place in sheets), ("styles", "styles.xml")]
            ),
        )
        names = [self._title, *(f"{self._title} {place}" for place in sheets[1:])]
        last = _letters(len(self._header))
        self._put(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
            + "".join(
                f'<sheet name="{escape(name)}" sheetId="{place}" r:id="rId{place}"/>'
                for place, name in zip(sheets, names, strict=True)
            )
            + "</sheets><definedNames>"
            + "".join(
                f'<definedName name="_xlnm._FilterDatabase" localSheetId="{place - 1}" hidden="1">'
                f"'{escape(name)}'!$A$1:${last}${rows + 1}</definedName>"
                for place, name, rows in zip(sheets, names, self._rows, strict=True)
            )
            + "</definedNames></workbook>",
        )

    def _put(self, name: str, content: str) -> None:
        with self._open(name) as part:
            part.write(f"{_DECLARATION}{content}".encode())

    def _open(self, name: str) -> IO[bytes]:
        part = zipfile.ZipInfo(name)  # without a time: of 1980
        part.compress_type = zipfile.ZIP_DEFLATED
        part.create_system = 3
        return self._archive.open(part, "w")


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    return (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="rId{place}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
            for place, (kind, target) in enumerate(targets, 1)
        )
        + "</Relationships>"
    )


def _letters(column: int) -> str:
    """The name of a column, from 1: A to Z, AA and on."""
    rest, letter = divmod(column - 1, 26)
    return (_letters(rest) if rest else "") + chr(ord("A") + letter)


def _rows_of(cells: Sequence[pa.StringArray], style: int) -> memoryview:
    """The rows as XML. An empty cell is an empty text: without one some spreadsheets save the line too short."""
    begin, end = f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">', "</t></is></c>"
    first = pc.binary_join_element_wise(f"<row>{begin}", cells[0], "")
    if len(cells) == 1:
        rows = pc.binary_join_element_wise(first, f"{end}</row>", "")
    else:
        last = pc.binary_join_element_wise(cells[-1], f"{end}</row>", "")
        rows = pc.binary_join_element_wise(first, *cells[1:-1], last, f"{end}{begin}")
    return bytes_of(rows).octets.data


def _cells(texts: pa.StringArray, too_long: str) -> pa.StringArray:
    """The texts as the content of an XML element, from which a spreadsheet reads just these texts."""
    told = bytes_of(texts)
    if (told.lengths > LONGEST_CELL).any():
        long = [len(text.encode("utf-16-le")) // 2 > LONGEST_CELL for text in texts.to_pylist()]
        texts = pc.if_else(pa.array(long), too_long, texts)
        told = bytes_of(texts)
    if _PLAIN[told.octets].all():
        return texts  # nearly every column of every batch
    content = told.octets.tobytes()
    for written, instead in _instead():
        if written.encode() in content:
            texts = pc.replace_substring(texts, written, instead)
    return texts


def _instead() -> Iterator[tuple[str, str]]:
    # The underscore first, which what follows writes.
    yield "_x", "_x005F_x"
    yield from (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
    for character in _NOT_IN_XML:
        yield character, f"_x{ord(character):04X}_"
