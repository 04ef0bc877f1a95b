"""A receipt opened in a real spreadsheet computes nothing; saved there and sent again, it says what was submitted."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest
from report_example import Example, ExampleActor, ExampleExtract, Refusal
from spreadsheet import MISSING, Spreadsheet, find_spreadsheet

from afstem.decode import open_extract

pytestmark = pytest.mark.soak

NUMBERS = ["0101901234", "+4520123456", "_x0041_", "  blanks  "]
"""What a spreadsheet changes when it reads CSV, which no CSV can prevent, but not in the cells of a workbook."""

FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=DDE("soffice";"a.ods";"b")',
    '=HYPERLINK("http://127.0.0.1:9/";"x")',
    "=SUM(1;1)",
    "=SUM(1,1)",
    "'=1+1",
    "''=1+1",
    " =1+1",
    "\t=1+1",
    "＝1+1",
    "+1+1",
    "-1+1",
    "@SUM(1;1)",
    "x,=1+1",
    "x;=1+1",
    "x\t=1+1",
    ",=1+1,=2+2",
    '",=1+1',
    '";=1+1',
    '"\t=1+1',
    "{=1+1}",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "=1+1@example.com",
]
NAMES = ("=1+1", "personnummer", "kontaktdatatype", "kontaktdata", "reference", "x,=1+1")
SEPARATORS = [";", ",", "\t", ";,\t"]


def receipt_of(folder: Path, texts: list[str]) -> Path:
    """A receipt with each text in every submitted column, beside a faulty line that begins so, too."""
    columns = ("extra.0", "personnummer", "kontaktdatatype", "kontaktdata", "reference", "extra.1")
    refused = [
        Refusal(place, dict.fromkeys(columns, text), [(9156, "too-short")], line=text)
        for place, text in enumerate(texts, 1)
    ]
    extract = ExampleExtract("k", "=1+1.csv", "ab" * 32, names=NAMES, rejected=refused)
    run = Example([ExampleActor("k", "K")], [extract]).write(folder)
    return run / "receipts" / "k" / "rejected.csv"


@pytest.fixture
def spreadsheet(tmp_path: Path) -> Spreadsheet:
    path = find_spreadsheet()
    if path is None:
        pytest.fail(MISSING, pytrace=False)
    return Spreadsheet(path, tmp_path)


@pytest.mark.parametrize("separators", SEPARATORS)
def test_nothing_is_computed(spreadsheet: Spreadsheet, tmp_path: Path, separators: str) -> None:
    assert spreadsheet.formulas(receipt_of(tmp_path, [*FORMULAS, "\r=1+1", "x\r=1+1"]), separators) == []


@pytest.mark.parametrize("separators", SEPARATORS)
def test_control_plain_cells_are_computed(spreadsheet: Spreadsheet, tmp_path: Path, separators: str) -> None:
    path = tmp_path / "plain.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([NAMES, *([text] * 6 for text in FORMULAS)])
    assert len(spreadsheet.formulas(path, separators)) > 10


def test_opened_saved_and_sent_again_it_says_what_was_submitted(spreadsheet: Spreadsheet, tmp_path: Path) -> None:
    path = receipt_of(tmp_path, FORMULAS)
    saved = spreadsheet.saved(path, ";")
    assert saved.read_bytes() != path.read_bytes()  # it was written anew
    assert_says_what_was_submitted(saved, FORMULAS)


def test_the_workbook_saved_as_csv_and_sent_says_what_was_submitted(spreadsheet: Spreadsheet, tmp_path: Path) -> None:
    path = receipt_of(tmp_path, [*NUMBERS, *FORMULAS]).with_name("rejected.xlsx")
    assert spreadsheet.formulas(path) == []
    assert_says_what_was_submitted(spreadsheet.saved(path), [*NUMBERS, *FORMULAS])


def assert_says_what_was_submitted(saved: Path, submitted: list[str]) -> None:
    reader = open_extract(saved, saved.name, "utf-8")
    records = pa.concat_tables(reader.batches())
    assert reader.header.names[: len(NAMES)] == NAMES
    for column in ("extra.0", "personnummer", "kontaktdatatype", "kontaktdata", "reference", "extra.1"):
        assert records[column].to_pylist() == submitted
