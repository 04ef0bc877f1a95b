"""Every line of the case pages against the slow reading of the rules (reference.py)."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from case_pages import (
    AS_OF,
    PAGES,
    RECORD_PAGES,
    STARTED_AT,
    STORY_CITIZEN,
    TIMEZONE,
    Case,
    FileCase,
    HoldStory,
    PermissionCase,
    ReferenceRows,
    Story,
    fails_modulus_11,
    load_cases,
    load_file_cases,
    load_hold_stories,
    load_lines,
    load_permission_cases,
    load_stories,
    reference_rows,
    story_time,
    synthetic_cpr,
    write_hold_run,
    write_hold_story,
    write_permissions,
    write_reference,
    write_settings,
    write_story,
    write_story_run,
    write_workspace,
)

CASES = [case for page in RECORD_PAGES for case in load_cases(PAGES / f"{page}.csv")]
FILE_PAGES = ["csv-lines", "csv-files", "json-lines"]
FILE_CASES = [case for page in FILE_PAGES for case in load_file_cases(PAGES / f"{page}.csv")]
PERMISSION_CASES = load_permission_cases(PAGES / "1013.csv")
STORIES = load_stories(PAGES / "reconcile.csv")


def world_of(case: Case) -> reference.World:
    """The world as the case's situation tells it."""
    rows = reference_rows([case])
    world = reference.World(AS_OF, STARTED_AT, TIMEZONE, citizens=dict(rows.citizens))
    for number, actor, kind, begin, end in rows.relations:
        world.relations.setdefault((number, actor, kind), []).append(reference.Period(begin, end))
    for number, channel, _, begin, end in rows.subscriptions:
        if channel == "email":
            world.email_subscriptions.setdefault(number, []).append(reference.Period(begin, end))
    if case.allowed is not None:
        world.permissions = {case.actor_type: case.allowed}
    return world


# --- records ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_record(case: Case) -> None:
    record = reference.Record(
        1, case.personnummer, case.kontaktdatatype, case.kontaktdata, case.registreret, case.reference
    )
    actor = reference.Actor(case.actor_id, case.actor_type)
    world = world_of(case)
    assert reference.judge(record, actor, world) == case.codes, case.why
    if case.stored is not None:
        assert (reference.stored_value(record, world) or "") == case.stored, case.why


@pytest.mark.parametrize("page", RECORD_PAGES)
def test_page_as_a_workspace(page: str, tmp_path: Path) -> None:
    """All lines of a page at once, from files: neighbours must not change a verdict."""
    cases = load_cases(PAGES / f"{page}.csv")
    for number, allowed in enumerate({tuple(case.allowed or ()) for case in cases}):
        workspace = tmp_path / str(number)
        records = write_workspace(workspace, [case for case in cases if tuple(case.allowed or ()) == allowed])
        expected = reference.run(workspace, AS_OF, STARTED_AT)
        # An organisation type without any kind of access has its extract refused (1013), so no verdicts.
        refused = {extract.actor for extract in expected.extracts if extract.state == "refused"}
        told = {(actor, no): case.codes for (actor, no), case in records.items() if actor not in refused}
        assert {(record.actor, record.record_no): record.codes for record in expected.records} == told


@pytest.mark.parametrize("case", PERMISSION_CASES, ids=lambda case: case.name)
def test_organisation_type(case: PermissionCase, tmp_path: Path) -> None:
    write_settings(tmp_path, {"actor": (case.actor_type, 100)})
    if case.allowed is not None:
        write_permissions(tmp_path, {case.actor_type: case.allowed})
    extract = tmp_path / "extracts" / "actor" / "extract.csv"
    extract.write_text("personnummer;kontaktdatatype;kontaktdata\n", "utf-8")
    [verdict] = reference.run(tmp_path, AS_OF, STARTED_AT).extracts
    assert (verdict.state, verdict.code) == (("refused", 1013) if case.code else ("applied", None)), case.why


# --- lines and files ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: case.name)
def test_extract(case: FileCase, tmp_path: Path) -> None:
    path = tmp_path / case.file_name
    path.write_bytes(case.content)
    records = reference.read_extract(path, case.encoding)
    if case.records is None:
        assert isinstance(records, reference.Refusal), case.why
        assert records.code == 1014
        return
    assert not isinstance(records, reference.Refusal), case.why
    assert [(record.record_no, record.fault is not None) for record in records] == [
        (record_no, fields is None) for record_no, fields in case.records
    ], case.why
    for record, (_, fields) in zip(records, case.records, strict=True):
        for column, text in (fields or {}).items():
            assert getattr(record, column) == text, case.why


# --- stories ------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.name} {story.title}")
def test_story(story: Story, tmp_path: Path) -> None:
    write_story(tmp_path, story)
    stored = None
    first_pulled: dict[tuple[str, str], datetime] = {}
    history = 0
    for run_no, records in sorted(story.runs.items()):
        for path, moment in write_story_run(tmp_path, story, run_no).items():
            first_pulled[path.parent.name, hashlib.sha256(path.read_bytes()).hexdigest()] = moment
        expected = reference.run(tmp_path, AS_OF, story_time(run_no), stored, first_pulled)
        outcomes = {(verdict.actor, verdict.file, verdict.record_no): verdict.outcome for verdict in expected.records}
        assert outcomes == {(record.actor, record.file, record.record_no): record.outcome for record in records}
        stored, first_pulled = expected.stored, expected.first_pulled
        history += len(expected.history)
    assert expected.store == {(STORY_CITIZEN, reference.CODELIST[code]): after for code, after in story.after.items()}
    assert history == story.history


@pytest.mark.parametrize("story", load_hold_stories(PAGES / "hold.csv"), ids=lambda story: story.title)
def test_hold_story(story: HoldStory, tmp_path: Path) -> None:
    write_hold_story(tmp_path / "workspace", story)
    stored, first_pulled = None, None
    for run_no, extracts in sorted(story.runs.items()):
        write_hold_run(tmp_path / "workspace", story, run_no)
        release = {}
        for extract in extracts:
            if extract.release:
                release[extract.extract_id] = tmp_path / extract.file
                (tmp_path / extract.file).write_bytes(extract.content)
        expected = reference.run(
            tmp_path / "workspace", AS_OF, story_time(run_no), stored, first_pulled, release=release
        )
        states = {(verdict.actor, verdict.file): verdict.state for verdict in expected.extracts}
        assert states == {(extract.actor, extract.file): extract.state for extract in extracts}
        stored, first_pulled = expected.stored, expected.first_pulled


# --- the pages themselves -----------------------------------------------------------------------


@pytest.mark.parametrize("page", RECORD_PAGES)
def test_a_page_shows_both_sides_of_its_rule(page: str) -> None:
    cases = load_cases(PAGES / f"{page}.csv")
    assert any(int(page) in case.codes for case in cases)
    assert any(case.codes == [] for case in cases)
    assert all(case.why for case in cases)
    for case in cases:
        assert case.codes == [code for code in reference.ORDER if code in case.codes], f"{case.name}: the order of 4.3"


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.csv")), ids=lambda path: path.stem)
def test_a_page_hides_no_character(path: Path) -> None:
    """What cannot be seen is written as an escape."""
    for line in path.read_text("utf-8").split("\n"):
        assert line.isprintable(), line


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.csv")), ids=lambda path: path.stem)
def test_a_page_holds_no_number_that_may_have_been_issued(path: Path) -> None:
    texts = [cell for line in load_lines(path) for cell in line.cells.values()]
    assert_synthetic(match for text in texts for match in re.findall(r"(?<!\d)\d{6}-?\d{4}(?!\d)", text))


def test_the_numbers_made_for_the_pages_have_not_been_issued() -> None:
    numbers = [synthetic_cpr(number) for number in range(30_000)]
    assert len(set(numbers)) == len(numbers)
    assert all(reference.cpr_number(number) for number in numbers)
    assert_synthetic(numbers)


def assert_synthetic(numbers: Iterable[str]) -> None:
    for number in numbers:
        digits = number.replace("-", "")
        if reference.cpr_number(digits) and digits != reference.UNKNOWN_CITIZEN:
            # Nobody is born after 2050 yet; a page about modulus 11 needs a number that meets it.
            assert fails_modulus_11(digits) or reference.full_year(digits) > 2050, "could have been issued"
            assert not digits.startswith("0101"), "1 January: could have been issued"


def test_one_citizen_of_a_page_has_one_situation() -> None:
    """Else the page could not be run as one workspace."""
    for page in RECORD_PAGES:
        told: dict[tuple[str, str], set[str]] = {}
        for case in load_cases(PAGES / f"{page}.csv"):
            told.setdefault((case.personnummer.strip(), case.actor_type), set()).add(",".join(case.situation))
        assert {key: words for key, words in told.items() if len(words) > 1 and reference.cpr_number(key[0])} == {}


# --- what no page can show: the slow reading of Parquet, gzip, and a second run ------------------


def parquet_records(path: Path, **columns: object) -> list[reference.Record] | reference.Refusal:
    table = {"personnummer": ["0207901231"], "kontaktdatatype": ["3"], "kontaktdata": ["a@example.com"], **columns}
    pq.write_table(pa.table(table), path)
    return reference.read_extract(path)


UTF_8_BROKEN = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
MOMENT = datetime(2025, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "cells", "text"),
    [
        ("personnummer", pa.array(["0207901231"], pa.large_string()), "0207901231"),
        ("personnummer", pa.array(["0207901231"]).dictionary_encode(), "0207901231"),
        ("personnummer", pa.nulls(1), None),
        ("kontaktdatatype", pa.array([3], pa.uint8()), "3"),
        ("kontaktdatatype", pa.array([None], pa.int64()), None),
        ("registreret", pa.array([MOMENT], pa.timestamp("us")), "2025-11-01T12:00:00.123456"),
        ("registreret", pa.array([MOMENT], pa.timestamp("ns")), "2025-11-01T12:00:00.123456"),
        (
            "registreret",
            pa.array([MOMENT], pa.timestamp("us", "Europe/Copenhagen")),
            "2025-11-01T12:00:00.123456+00:00",
        ),
        ("registreret", pa.array([MOMENT.date()], pa.date32()), "2025-11-01"),
        ("registreret", pa.array([MOMENT.date()], pa.date64()), "2025-11-01"),
        ("registreret", pa.array([2**62], pa.int64()).cast(pa.timestamp("us")), "not within the years 1 to 9999"),
    ],
)
def test_parquet_cell(column: str, cells: pa.Array, text: str | None, tmp_path: Path) -> None:
    records = parquet_records(tmp_path / "x.parquet", **{column: cells})
    assert isinstance(records, list)
    assert [(record.record_no, record.fault, getattr(record, column)) for record in records] == [(1, None, text)]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("personnummer", pa.array([207901231])),
        ("kontaktdatatype", pa.array([3.0])),
        ("kontaktdatatype", pa.array([True])),
        ("kontaktdata", pa.array([b"x"])),
        ("registreret", pa.array([1763550000])),
        ("reference", pa.array([7])),
        ("PERSONNUMMER ", pa.array(["0207901231"])),  # the column twice
    ],
)
def test_parquet_column_of_a_wrong_type(column: str, cells: pa.Array, tmp_path: Path) -> None:
    assert isinstance(parquet_records(tmp_path / "x.parquet", **{column: cells}), reference.Refusal)


def test_parquet_cell_that_is_not_utf_8(tmp_path: Path) -> None:
    records = parquet_records(tmp_path / "x.parquet", kontaktdata=UTF_8_BROKEN)
    assert records == [reference.Record(1, fault="encoding")]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"personnummer;kontaktdatatype;kontaktdata\n0207901231;3;a@example.com\n")
    for number, content in enumerate([whole[:-1], whole + b"x", whole[:20] + b"\0" + whole[21:], b""]):
        path = tmp_path / f"{number}.csv.gz"
        path.write_bytes(content)
        assert isinstance(reference.read_extract(path), reference.Refusal)
    path = tmp_path / "whole.csv.gz"
    path.write_bytes(whole)
    records = reference.read_extract(path)
    assert isinstance(records, list)
    assert len(records) == 1
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert isinstance(reference.read_extract(path), reference.Refusal)


def test_a_second_run_over_the_same_files_changes_nothing(tmp_path: Path) -> None:
    write_workspace(tmp_path, [case for case in load_cases(PAGES / "9158.csv") if case.actor_type == "kommune"])
    source = tmp_path / "extracts" / "kommune-1"
    (source / "the same bytes.jsonl").write_bytes((source / "cases.jsonl").read_bytes())
    (source / ".hidden.jsonl").write_bytes(b"")
    (source / "half.jsonl.part").write_bytes(b"")
    first = reference.run(tmp_path, AS_OF, STARTED_AT)
    again = reference.run(tmp_path, AS_OF, STARTED_AT, first.stored, first.first_pulled)
    assert [extract.state for extract in first.extracts] == ["applied", "already-applied"]
    assert [extract.state for extract in again.extracts] == ["already-applied", "already-applied"]
    assert first.history
    assert (again.records, again.history) == ([], [])
    assert again.stored == replace(first.stored, runs=2)


def test_a_source_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    write_settings(tmp_path, {"here": ("star", 100), "gone": ("star", 100)})
    (tmp_path / "extracts" / "gone").rmdir()
    assert reference.run(tmp_path, AS_OF, STARTED_AT).unavailable == ["gone"]


def test_what_the_program_writes(tmp_path: Path) -> None:
    write_settings(tmp_path, {"star-1": ("star", 100), "system-1": ("system", 100)})
    write_reference(tmp_path, ReferenceRows(citizens=[("0207901231", "90")]))
    header = "personnummer;kontaktdatatype;kontaktdata"
    (tmp_path / "extracts" / "star-1" / "a.csv").write_text(
        f"{header}\n\n0207901231;3;x\n0307901232;1;\n0207901231;9;\nx\n", "utf-8"
    )
    (tmp_path / "extracts" / "system-1" / "b.csv").write_text(f"{header}\n", "utf-8")
    assert list(reference.lines_of(reference.run(tmp_path, AS_OF, STARTED_AT))) == [
        ["star-1", "a.csv", 2, "email", "rejected", "4405 9158"],
        ["star-1", "a.csv", 3, "mobile", "rejected", "1010"],
        ["star-1", "a.csv", 4, "", "rejected", "4405 9153"],
        ["star-1", "a.csv", 5, "", "rejected", "1014"],
        ["system-1", "b.csv", "", "", "refused", "1013"],
    ]
