"""The receipts: what was submitted comes back unchanged, for its owner's eyes alone, and is an extract again."""

import csv
import io
import json
import os
import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape
from report_example import RUN_ID, Example, ExampleActor, ExampleExtract, Refusal, example, refusal
from report_numbers import read_page

from afstem.decode import Header, open_extract
from afstem.decode.extract import build_header
from afstem.errors import RunError
from afstem.finding_memory import SinceLast
from afstem.report.receipts import write_receipts
from afstem.schema import LONGEST_REFERENCE, NAMED_COLUMNS, RECEIPT_COLUMNS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example().write(tmp_path_factory.mktemp("reports"))


def rejected_csv(run: Path, actor: str, encoding: str) -> list[dict[str, str]]:
    with (run / "receipts" / actor / "rejected.csv").open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=";", strict=True))


def rejected_xlsx(folder: Path) -> list[list[str]]:
    (sheet,) = load_workbook(folder / "rejected.xlsx").worksheets
    assert sheet.title == "Afviste"
    return [[unescape(cell.value or "") for cell in row] for row in sheet.iter_rows()]


def rows_of_csv(folder: Path, encoding: str) -> list[list[str]]:
    with (folder / "rejected.csv").open(encoding=encoding, newline="") as file:
        return list(csv.reader(file, delimiter=";", strict=True))


def test_the_workbook_holds_what_the_csv_file_holds(run: Path) -> None:
    told = 0
    for actor in example().actors:
        folder = run / "receipts" / actor.id
        if folder.exists():
            rows = rejected_xlsx(folder)
            # But what the encoding of the CSV file lacks is in the workbook as it is.
            escaped = [
                [cell.encode(actor.encoding, "backslashreplace").decode(actor.encoding) for cell in row] for row in rows
            ]
            assert escaped == rows_of_csv(folder, actor.encoding)
            told += len(rows) - 1
    assert told == example().manifest()["outcomes"]["rejected"] > 15


def test_a_text_too_long_for_a_cell_stands_in_the_csv_file(tmp_path: Path) -> None:
    extract = ExampleExtract("k", "a.csv", "ab" * 32, rejected=[refusal(1, "x" * 40_000, (9158, "no-at-sign"))])
    run = Example([ExampleActor("k", "K")], [extract]).write(tmp_path)
    assert rows_of_csv(run / "receipts" / "k", "utf-8")[1][2] == "x" * 40_000
    told = rejected_xlsx(run / "receipts" / "k")[1][2]
    # Sent back, what stands instead is refused in every column that is judged, a reference too.
    assert "rejected.csv" in told
    assert len(told) > LONGEST_REFERENCE


def test_extracts_with_more_columns_than_a_sheet_has_get_no_workbook(tmp_path: Path) -> None:
    needed = ("personnummer", "kontaktdatatype", "kontaktdata")
    extracts = [
        ExampleExtract("k", f"{n}.csv", f"{n:02}" * 32, names=(*needed, *(f"{n}-{m}" for m in range(497))))
        for n in range(34)
    ]
    run = Example([ExampleActor("k", "K")], extracts).write(tmp_path)
    assert {path.name for path in (run / "receipts" / "k").iterdir()} == {"receipt.json", "rejected.csv", "notices.csv"}


def test_submitted_values_come_back_unchanged(run: Path) -> None:
    rows = rejected_csv(run, "jobcenter-75100", "windows-1252")
    assert list(rows[0]) == [
        "Personnummer ",
        "kontaktdatatype",
        "kontaktdata",
        "Sagsbehandler",
        "sagsnr;år",
        "reference",
        "registreret",
        *RECEIPT_COLUMNS,
    ]
    assert [row["record_no"] for row in rows] == ["2", "5", "9", "11", "12", "13", "14", "1"]
    assert rows[0]["Sagsbehandler"] == "Søren"
    assert rows[0]["sagsnr;år"] == "7;26"
    assert rows[0]["kontaktdata"] == "12 34"
    assert rows[1]["kontaktdata"] == "+4512345678"
    assert rows[3]["Personnummer "] == " 010190-1234 "
    assert rows[3]["kontaktdata"] == 'x;"y"'
    assert rows[3]["Sagsbehandler"] == "æøå"
    assert rows[6]["reference"] == "'=1+1"  # a spreadsheet would run it: test_spreadsheet_cells
    assert rows[7]["registreret"] == "2026-11-22"


def test_each_rejected_record_is_explained(run: Path) -> None:
    rows = rejected_csv(run, "jobcenter-75100", "windows-1252")
    assert [row["codes"] for row in rows] == ["9156", "1001 9157", "9155", "9153", "1014", "1010 4575", "4405", "9158"]
    assert all(row["forklaring"] and row["ansvarlig"] and row["forslag"] for row in rows)
    assert [row["fil"] for row in rows] == ["natten.csv"] * 7 + ["natten.jsonl"]
    assert rows[4]["linje"] == '0101901234;1;"uafsluttet'
    assert rows[4]["Personnummer "] == ""
    assert [row["linje"] for row in rows if row["codes"] != "1014"] == [""] * 7


def test_a_record_is_one_line_in_the_actors_encoding(run: Path) -> None:
    content = (run / "receipts" / "jobcenter-75100" / "rejected.csv").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") == 9
    row = rejected_csv(run, "jobcenter-75100", "windows-1252")[7]
    assert row["kontaktdata"] == "linje\r\\u240ato\rtre\\u240aZa\\u017có\\u0142\\u0107"


def test_quoting_is_no_more_than_needed(run: Path) -> None:
    with (run / "receipts" / "jobcenter-75100" / "rejected.csv").open(encoding="windows-1252", newline="") as file:
        text = file.read()
    copy = io.StringIO(newline="")
    writer = csv.writer(copy, delimiter=";", lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerows(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))
    assert copy.getvalue() == text


def test_a_receipt_sent_again_is_an_extract_and_does_not_grow(run: Path, tmp_path: Path) -> None:
    path = run / "receipts" / "jobcenter-75100" / "rejected.csv"
    reader = open_extract(path, path.name, "windows-1252")
    records = pa.concat_tables(reader.batches())
    assert records["fault"].null_count == len(records) == 8
    assert set(NAMED_COLUMNS) <= set(reader.header.columns)

    actor = ExampleActor("jobcenter-75100", "Jobcenter", encoding="windows-1252")
    names = reader.header.names
    again = ExampleExtract(actor.id, path.name, "ab" * 32, names=names, rejected=[refusal(1, "x", (9156, "too-short"))])
    second = Example([actor], [again]).write(tmp_path)
    header = (second / "receipts" / actor.id / "rejected.csv").read_bytes().splitlines()[0]
    assert header == path.read_bytes().splitlines()[0]


def test_columns_of_one_name_are_kept_apart_and_found_across_extracts(tmp_path: Path) -> None:
    needed = ("personnummer", "kontaktdatatype", "kontaktdata")
    extracts = [
        ExampleExtract(
            "k",
            f"{place}.csv",
            f"{place}" * 64,
            names=names,
            rejected=[refusal(1, "x", (9156, "too-short"), submitted=extra)],
        )
        for place, (names, extra) in enumerate(
            [
                (("note", *needed, "note", ""), {"extra.0": "a", "extra.1": "b", "extra.2": "c"}),
                ((*needed, "y", "note"), {"extra.0": "d", "extra.1": "e"}),
            ]
        )
    ]
    run = Example([ExampleActor("k", "K")], extracts).write(tmp_path)
    with (run / "receipts" / "k" / "rejected.csv").open(encoding="utf-8", newline="") as file:
        header, first, second = csv.reader(file, delimiter=";", strict=True)
    assert header[:7] == ["note", *needed, "note", "", "y"]
    assert first[:7] == ["a", "0101901234", "1", "x", "b", "c", ""]
    assert second[:7] == ["e", "0101901234", "1", "x", "", "", "d"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
def test_receipts_are_their_owners_alone(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    before = os.umask(umask)
    try:
        write_example_receipts(example(), folder)
    finally:
        os.umask(before)
    paths = [folder / "receipts", *(folder / "receipts").rglob("*")]
    assert len(paths) == 1 + 5 * 6
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def write_example_receipts(run: Example, folder: Path) -> None:
    encodings = {actor.id: actor.encoding for actor in run.actors}
    write_receipts(
        folder, run.manifest(), run.rejected, run.gathered(), lambda which: run.extract(which).header, encodings, {}
    )


def test_every_actor_with_an_extract_gets_all_files(run: Path) -> None:
    actors = {extract.actor for extract in example().extracts}
    assert {path.name for path in (run / "receipts").iterdir()} == actors
    for actor in actors:
        assert {path.name for path in (run / "receipts" / actor).iterdir()} == {
            "receipt.json",
            "rejected.csv",
            "rejected.xlsx",
            "notices.csv",
        }
    header = ";".join(("personnummer", "kontaktdatatype", "kontaktdata", *RECEIPT_COLUMNS)) + "\r\n"
    assert (run / "receipts" / "kommune-2" / "rejected.csv").read_bytes() == header.encode()


def test_receipt_json_says_what_the_run_says(run: Path) -> None:
    manifest = example().manifest()
    for actor in manifest["actors"]:
        path = run / "receipts" / actor["id"] / "receipt.json"
        if not path.exists():
            continue
        receipt = json.loads(path.read_text(encoding="utf-8"))
        assert receipt["run_id"] == RUN_ID
        assert receipt["actor"]["name"] == actor["name"]
        assert receipt["records"] == actor["records"]
        assert receipt["outcomes"] == actor["outcomes"]
        assert receipt["findings"] == actor["findings"]
        assert {of["code"]: of["records"] for of in receipt["notices"]} == actor["notices"]
        own = [row for row in manifest["balance"] if row["actor"] == actor["id"]]
        assert [row | {"actor": actor["id"]} for row in receipt["balance"]] == own
        assert {str(code["code"]): code["findings"] for code in receipt["codes"]} == actor["findings"]
        assert all(code["plain"]["da"] and code["plain"]["en"] and code["whose_move"] for code in receipt["codes"])
        own = [extract for extract in manifest["extracts"] if extract["actor"] == actor["id"]]
        assert [extract["sha256"] for extract in receipt["extracts"]] == [extract["sha256"] for extract in own]
        for language in ("da", "en"):
            assert "apostro" in receipt["rejected_csv"][language]
            assert "rejected.xlsx" in receipt["rejected_xlsx"][language]


def test_a_receipt_tells_what_became_of_the_records_rejected_before(tmp_path: Path) -> None:
    since_last = {"jobcenter-75100": SinceLast(1_234, 1_200, 30, 4, 5, 6)}
    run = example().write(tmp_path, since_last=since_last)
    told = json.loads((run / "receipts" / "jobcenter-75100" / "receipt.json").read_text(encoding="utf-8"))["since_last"]
    text = told.pop("text")
    assert SinceLast(**told) == since_last["jobcenter-75100"]
    assert "1.234 poster" in text["da"]
    assert "1,200 are mended" in text["en"]
    other = json.loads((run / "receipts" / "a-kasse-1" / "receipt.json").read_text(encoding="utf-8"))
    assert other["since_last"] is None
    numbers = read_page(run / "actors" / "jobcenter-75100.html")
    assert numbers["actor.jobcenter-75100.mended"] == 1_206
    assert numbers["actor.jobcenter-75100.still_failing"] == 30
    assert numbers["actor.jobcenter-75100.not_returned"] == 4
    assert numbers["actor.jobcenter-75100.new"] == 5
    assert read_page(run / "index.html")["mended"] == 1_206


def test_rejected_csv_counts_what_the_run_counts(run: Path) -> None:
    encodings = {actor.id: actor.encoding for actor in example().actors}
    for actor in example().manifest()["actors"]:
        if (run / "receipts" / actor["id"]).exists():
            rows = rejected_csv(run, actor["id"], encodings[actor["id"]])
            assert len(rows) == actor["outcomes"]["rejected"]
            codes = Counter(code for row in rows for code in row["codes"].split())
            whole = Counter(
                str(extract.code) for extract in example().extracts if extract.actor == actor["id"] and extract.code
            )
            assert codes + whole == actor["findings"]


def test_a_record_lost_on_the_way_stops_the_run(tmp_path: Path) -> None:
    run = example()
    manifest = run.manifest()
    short = replace(run, extracts=[replace(extract, rejected=extract.rejected[:-1]) for extract in run.extracts])
    encodings = {actor.id: actor.encoding for actor in run.actors}
    with pytest.raises(RunError):
        write_receipts(
            tmp_path, manifest, short.rejected, short.gathered(), lambda which: run.extract(which).header, encodings, {}
        )


def test_an_extract_without_its_header_stops_the_run(tmp_path: Path) -> None:
    run = example()
    encodings = {actor.id: actor.encoding for actor in run.actors}
    with pytest.raises(RunError, match="lose"):
        write_receipts(tmp_path, run.manifest(), run.rejected, run.gathered(), lambda _: Header((), ()), encodings, {})


FIELD = st.text(st.sampled_from(list(' ;"",\t\r\x00\x0b\x1c\x85\u00a0\u2028a1æ=+-@\'\\')), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=5))
def test_whatever_was_submitted_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str, str]]
) -> None:
    refusals = [
        Refusal(
            place,
            {"personnummer": number, "kontaktdata": value, "kontaktdatatype": "1", "extra.0": extra},
            [(9156, "too-short")],
        )
        for place, (number, value, extra) in enumerate(values, 1)
    ]
    names = ("note", "kontaktdata", "kontaktdatatype", "personnummer")
    assert build_header(names).columns[0] == "extra.0"
    folder = tmp_path_factory.mktemp("run")
    write_example_receipts(
        Example([ExampleActor("k", "K")], [ExampleExtract("k", "a.csv", "ab" * 32, names=names, rejected=refusals)]),
        folder,
    )
    path = folder / "receipts" / "k" / "rejected.csv"
    records = pa.concat_tables(open_extract(path, path.name, "utf-8").batches())
    read = zip(*(records[name].to_pylist() for name in ("personnummer", "kontaktdata", "extra.0")), strict=True)
    assert [tuple(part or "" for part in row) for row in read] == values
    assert rejected_xlsx(path.parent) == rows_of_csv(path.parent, "utf-8")
