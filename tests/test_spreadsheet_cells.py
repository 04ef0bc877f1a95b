"""No text of a receipt begins like a formula, and every one comes back as it was submitted."""

import csv
from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import Example, ExampleActor, ExampleExtract, Refusal

from afstem.decode import open_extract
from afstem.schema import RECEIPT_COLUMNS, is_receipt
from afstem.spreadsheet_cells import as_submitted, harmless

SIGNS = ["=", "+", "-", "@", "＝", "＋", "'", '"', " ", "\u00a0", "\u200b", "\0", "\t", "\r", ",", ";", "1", "a"]


@pytest.mark.parametrize(
    ("submitted", "written"),
    [
        ("=1+1", "'=1+1"),
        ("=cmd|' /C calc'!A0@example.com", "'=cmd|' /C calc'!A0@example.com"),
        ("@SUM(1;1)", "'@SUM(1;1)"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("＝1+1", "'＝1+1"),
        ("＠SUM(1)", "'＠SUM(1)"),
        (" =1+1", "' =1+1"),
        ("\u200b\u00a0=1+1", "'\u200b\u00a0=1+1"),
        ('"=1+1', "'\"=1+1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\t=1", "'\t'=1"),
        ("x,=1+1", "x,'=1+1"),
        ("x;-1+1;+1;\t@x", "x;'-1+1;+1;\t'@x"),
        # The apostrophe of an actor's own stays beside ours.
        ("'=1+1", "''=1+1"),
        ("''=1+1", "'''=1+1"),
        ("'+4520123456", "'+4520123456"),
        ("'20123456", "'20123456"),
        # Numbers and plain texts stand as they were submitted.
        ("+4520123456", "+4520123456"),
        ("+45 20 12 34 56", "+45 20 12 34 56"),
        ("+45\u00a020123456, +4520123456", "+45\u00a020123456, +4520123456"),
        ("-5", "-5"),
        ("-", "-"),
        ("a@example.com", "a@example.com"),
        ("2026-11-22T10:00:00+01:00", "2026-11-22T10:00:00+01:00"),
        ("010190-1234", "010190-1234"),
        ("", ""),
        (None, None),
    ],
)
def test_cells_as_they_are_written(submitted: str | None, written: str | None) -> None:
    assert harmless(pa.array([submitted], pa.string())).to_pylist() == [written]
    assert as_submitted(pa.array([written], pa.string())).to_pylist() == [submitted]


def test_every_short_text_comes_back_as_it_was() -> None:
    texts = ["".join(signs) for length in range(4) for signs in product(SIGNS, repeat=length)]
    assert len(texts) > 6000
    written = harmless(pa.array(texts))
    assert as_submitted(written).to_pylist() == texts
    told = written.to_pylist()
    assert len(set(told)) == len(texts)
    assert [reference.cell_of_receipt(text) for text in told] == texts
    for text in told:
        assert not text.startswith(("=", "@", "＝", "\t", "\r"))
        for part in reference.CELLS.split(text):
            assert not reference.begins_like_a_formula(part) or part.startswith("'")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.text(st.sampled_from(SIGNS), max_size=12), max_size=5), st.integers(0, 2))
def test_columns_are_written_and_read_as_single_texts_are(texts: list[str | None], skipped: int) -> None:
    column = pa.array(texts, pa.string()).slice(skipped)
    written = harmless(column)
    assert as_submitted(written).to_pylist() == texts[skipped:]
    for text, back in zip(column.to_pylist(), as_submitted(column).to_pylist(), strict=True):
        assert back == (None if text is None else reference.cell_of_receipt(text))


HOSTILE_NAMES = ("=1+1", "personnummer", "kontaktdatatype", "kontaktdata", "reference", "'@x")
ROW = {"personnummer": "0207901231", "kontaktdatatype": "1", "kontaktdata": "'=1", "reference": "+1-1"}
ROW |= {"extra.0": '=HYPERLINK("x";"y")', "extra.1": "x,=1"}


def hostile_receipt(folder: Path, names: tuple[str, ...] = HOSTILE_NAMES) -> Path:
    refused = Refusal(1, ROW, [(9156, "too-short")])
    extract = ExampleExtract("k", "=a.csv", "ab" * 32, names=names, rejected=[refused])
    run = Example([ExampleActor("k", "K")], [extract]).write(folder)
    return run / "receipts" / "k" / "rejected.csv"


def test_a_receipt_comes_back_as_submitted_names_and_values(tmp_path: Path) -> None:
    path = hostile_receipt(tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file, delimiter=";", strict=True)
    assert header[:6] == ["'=1+1", *HOSTILE_NAMES[1:5], "''@x"]
    assert row[:6] == ['\'=HYPERLINK("x";"y")', "0207901231", "1", "''=1", "'+1-1", "x,'=1"]
    assert row[12] == "'=a.csv"
    reader = open_extract(path, path.name, "utf-8")
    [record] = pa.concat_tables(reader.batches()).to_pylist()
    assert reader.header.names[:6] == HOSTILE_NAMES
    assert {name: record[name] for name in ROW} == ROW
    [read] = reference.read_extract(path)
    assert (read.kontaktdata, read.reference) == (ROW["kontaktdata"], ROW["reference"])


def test_an_extract_that_is_no_receipt_keeps_its_apostrophes(tmp_path: Path) -> None:
    names = ("personnummer", "kontaktdatatype", "kontaktdata", *RECEIPT_COLUMNS[:-1])
    assert not is_receipt(names)
    path = tmp_path / "a.csv"
    path.write_text(f"{';'.join(names)}\n0207901231;3;'=a@example.com;;;;;;\n")
    [record] = pa.concat_tables(open_extract(path, path.name, "utf-8").batches()).to_pylist()
    assert record["kontaktdata"] == "'=a@example.com"


@pytest.mark.parametrize(("name", "written"), [("ID", '"ID"'), ("ID\n;x", '"ID␊;x"'), ("id", "id")])
def test_a_receipt_never_begins_as_sylk_does(tmp_path: Path, name: str, written: str) -> None:
    path = hostile_receipt(tmp_path, (name, *HOSTILE_NAMES[1:]))
    assert path.read_text(encoding="utf-8").startswith(f"{written};personnummer;")
