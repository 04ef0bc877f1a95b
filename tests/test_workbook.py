"""Workbooks: another program reads just the texts that were written, in cells that stay text."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape
from openpyxl.worksheet.worksheet import Worksheet

from afstem.report import workbook
from afstem.report.workbook import LONGEST_CELL, MOST_ROWS, Workbook

TOO_LONG = "[for lang]"
HOSTILE = [
    "0101901234",
    "+4520123456",
    "=1+1",
    "'=1+1",
    "1",
    "2026-11-23",
    "TRUE",
    "",
    " ",
    "  foran og bagved  ",
    "a\tb",
    "a\rb",
    "\r\n",
    "\x00\x01\x1f\x7f\x85",
    "\ufffe\uffff\ufdd0",
    "＝1",
    "<t>&amp;]]></t>",
    "_x0041_",
    "_x0041_x0042_x005F_",
    "__x0041_",
    "_x004",
    "_x0041\x00",
    "_xyz",
    "_X0041_",
    "\U0001f4a9\u202e\u200b",
    "x" * LONGEST_CELL,
]


def written(batches: Sequence[Sequence[Sequence[str]]], header: Sequence[str]) -> bytes:
    """The workbook of these batches, each a list of columns."""
    stream = io.BytesIO()
    with Workbook(stream, "Ark", header, TOO_LONG) as book:
        for columns in batches:
            book.write([pa.array(column, pa.string()) for column in columns])
    return stream.getvalue()


def sheets(content: bytes) -> list[Worksheet]:
    # Not in its read-only mode, which knows neither panes nor widths.
    return load_workbook(io.BytesIO(content)).worksheets


def rows(sheet: Worksheet) -> Iterator[list[str]]:
    for row in sheet.iter_rows():
        assert all(cell.data_type in "sn" and cell.number_format == "@" for cell in row)
        yield [unescape(cell.value or "") for cell in row]


@pytest.mark.parametrize("header", [["a"], ["b", "a", "=1+1", "_x000D_"]])
def test_every_text_is_read_back_as_text(header: list[str]) -> None:
    columns = [HOSTILE[place:] + HOSTILE[:place] for place in range(len(header))]
    (sheet,) = sheets(written([columns, columns], header))
    assert list(rows(sheet)) == [header, *map(list, zip(*columns, strict=True)), *map(list, zip(*columns, strict=True))]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(*[st.text(st.characters(codec="utf-8") | st.sampled_from("_x0041F5&<\r\n"), max_size=12)] * 2),
            min_size=1,
            max_size=4,
        ),
        max_size=3,
    )
)
def test_whatever_is_written_is_read_back(batches: list[list[tuple[str, str]]]) -> None:
    (sheet,) = sheets(written([list(zip(*batch, strict=True)) for batch in batches], ["a", "b"]))
    assert list(rows(sheet)) == [["a", "b"], *([*row] for batch in batches for row in batch)]


def test_slices_are_written_as_they_are() -> None:
    stream = io.BytesIO()
    column = pa.array(["a", "<b>", "c", "d"])
    with Workbook(stream, "Ark", ["x"], TOO_LONG) as book:
        book.write([column.slice(1, 2)])
    assert list(rows(sheets(stream.getvalue())[0])) == [["x"], ["<b>"], ["c"]]


def test_a_text_that_no_cell_can_hold_is_told() -> None:
    long = ["x" * (LONGEST_CELL + 1), "😀" * (LONGEST_CELL // 2 + 1), "😀" * (LONGEST_CELL // 2), "æ" * LONGEST_CELL]
    (sheet,) = sheets(written([[long]], ["a"]))
    assert [row[0] for row in rows(sheet)] == ["a", TOO_LONG, TOO_LONG, *long[2:]]


def test_it_is_made_to_be_edited() -> None:
    (sheet,) = sheets(written([[["0101901234"], ["x" * 100]]], ["personnummer", "note"]))
    assert sheet.title == "Ark"
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:B2"
    assert sheet["A1"].font.b
    assert not sheet["A2"].font.b
    assert [sheet.column_dimensions[letter].width for letter in "AB"] == [16, 40]
    assert all(sheet.column_dimensions[letter].number_format == "@" for letter in "AB")  # what is typed below, too


def test_a_workbook_without_rows_has_its_header() -> None:
    (sheet,) = sheets(written([], ["a", "b"]))
    assert list(rows(sheet)) == [["a", "b"]]
    assert sheet.auto_filter.ref == "A1:B1"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
def test_more_rows_than_a_sheet_holds_go_to_further_sheets(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    assert MOST_ROWS == 2**20 - 1
    monkeypatch.setattr(workbook, "MOST_ROWS", 3)
    texts = [str(number) for number in range(10)]
    batches = [[texts[begin : begin + size]] for begin in range(0, 10, size)]
    found = sheets(written(batches, ["n"]))
    assert [sheet.title for sheet in found] == ["Ark", "Ark 2", "Ark 3", "Ark 4"]
    assert [list(rows(sheet)) for sheet in found] == [
        [["n"], *([text] for text in texts[begin : begin + 3])] for begin in (0, 3, 6, 9)
    ]


def test_a_sheet_ends_before_its_part_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_MOST_BYTES", 1_000)
    found = sheets(written([[["x" * 500]]] * 4, ["n"]))
    assert len(found) > 1
    assert sum(len(list(rows(sheet))) - 1 for sheet in found) == 4


def test_large_batches_are_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written([[["\x00" * 100] * 50]], ["n"])
    monkeypatch.setattr(workbook, "_BYTES_AT_ONCE", 1_000)
    parts = written([[["\x00" * 100] * 50]], ["n"])
    assert [list(rows(sheet)) for sheet in sheets(parts)] == [list(rows(sheet)) for sheet in sheets(whole)]


def test_the_same_cells_give_the_same_bytes() -> None:
    content = written([[HOSTILE]], ["a"])
    assert content == written([[HOSTILE]], ["a"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {part.date_time for part in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_column_names_go_on_after_z() -> None:
    assert [workbook._letters(place) for place in (1, 26, 27, 52, 53, 702, 703, 16_384)] == [
        "A", "Z", "AA", "AZ", "BA", "ZZ", "AAA", "XFD",
    ]  # fmt: skip


def test_what_goes_wrong_is_what_is_told(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, content: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), Workbook(Full(), "Ark", ["a"], TOO_LONG) as book:
        book.write([pa.array(["x" * 100])])
    with pytest.raises(KeyError), Workbook(io.BytesIO(), "Ark", ["a"], TOO_LONG) as book:  # noqa: PT012
        book.write([pa.array(["x"])])
        raise KeyError
