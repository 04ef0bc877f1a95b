"""The same case pages as test_cases.py, against the real program: whole pages as workspaces, from files to store."""

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
import reference
from case_pages import (
    AS_OF,
    PAGES,
    RECORD_PAGES,
    STARTED_AT,
    STORY_CITIZEN,
    FileCase,
    HoldStory,
    PermissionCase,
    Story,
    load_cases,
    load_file_cases,
    load_hold_stories,
    load_permission_cases,
    load_stories,
    story_time,
    write_hold_run,
    write_hold_story,
    write_permissions,
    write_settings,
    write_story,
    write_story_run,
    write_workspace,
)
from whole_run import read_store, what_happened, what_is_expected

from afstem import clock, pipeline
from afstem.decode import open_extract
from afstem.errors import Unreadable
from afstem.private_files import private_folder, write_json
from afstem.rules import RULES

FILE_CASES = [
    case for page in ("csv-lines", "csv-files", "json-lines") for case in load_file_cases(PAGES / f"{page}.csv")
]


def run(workspace: Path) -> dict:
    return pipeline.run(pipeline.Request(workspace / "afstem.toml", as_of=AS_OF))


@pytest.fixture(autouse=True)
def _at_the_time_of_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: STARTED_AT)


@pytest.mark.parametrize("page", RECORD_PAGES)
def test_page_as_a_workspace(page: str, tmp_path: Path) -> None:
    cases = load_cases(PAGES / f"{page}.csv")
    for number, allowed in enumerate({tuple(case.allowed or ()) for case in cases}):
        workspace = tmp_path / str(number)
        mine = [case for case in cases if tuple(case.allowed or ()) == allowed]
        records = write_workspace(workspace, mine)
        pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
        happened = what_happened(workspace, run(workspace))
        refused = {actor for actor, _, state, _ in happened.extracts if state == "refused"}
        told = {place: tuple(case.codes) for place, case in records.items() if place[0] not in refused}
        assert {(record[0], record[2]): record[5] for record in happened.records} == told
        stored = {number: value or "" for (number, _), (value, _, _) in happened.contacts.items()}
        for (actor, _), case in records.items():
            if case.stored is not None and actor not in refused:
                assert stored[reference.cpr_number(case.personnummer)] == case.stored, case.why


@pytest.mark.parametrize("case", load_permission_cases(PAGES / "1013.csv"), ids=lambda case: case.name)
def test_organisation_type(case: PermissionCase, tmp_path: Path) -> None:
    write_settings(tmp_path, {"actor": (case.actor_type, 100)})
    if case.allowed is not None:
        write_permissions(tmp_path, {case.actor_type: case.allowed})
    extract = tmp_path / "extracts" / "actor" / "extract.csv"
    extract.write_text("personnummer;kontaktdatatype;kontaktdata\n", "utf-8")
    [(_, _, state, code)] = what_happened(tmp_path, run(tmp_path)).extracts
    assert (state, code) == (("refused", 1013) if case.code else ("applied", None)), case.why


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: case.name)
def test_extract(case: FileCase, tmp_path: Path) -> None:
    path = tmp_path / case.file_name
    path.write_bytes(case.content)
    if case.records is None:
        with pytest.raises(Unreadable):
            list(open_extract(path, path.name, case.encoding).batches())
        return
    batches = list(open_extract(path, path.name, case.encoding).batches())
    rows = pa.concat_tables(batches).to_pylist() if batches else []
    assert [(row["record_no"], row["fault"] is not None) for row in rows] == [
        (record_no, fields is None) for record_no, fields in case.records
    ], case.why
    for row, (_, fields) in zip(rows, case.records, strict=True):
        assert {column: row[column] for column in fields or {}} == (fields or {}), case.why


@pytest.mark.parametrize("story", load_stories(PAGES / "reconcile.csv"), ids=lambda story: story.title)
def test_story(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_story(tmp_path, story)
    pipeline.load_reference(tmp_path / "afstem.toml", tmp_path / "reference")
    for run_no, records in sorted(story.runs.items()):
        for path, moment in write_story_run(tmp_path, story, run_no).items():
            note_first_pull(tmp_path, path, moment)
        now = story_time(run_no)
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        summary = run(tmp_path)
        file_of = {extract["id"]: extract["file"] for extract in summary["extracts"]}
        outcomes = {
            (actor, file_of[extract_id], record_no): outcome
            for actor, extract_id, record_no, _, outcome, _ in what_happened(tmp_path, summary).records
        }
        assert outcomes == {(record.actor, record.file, record.record_no): record.outcome for record in records}
    contacts, history = read_store(tmp_path)
    assert contacts == {(STORY_CITIZEN, reference.CODELIST[code]): after for code, after in story.after.items()}
    assert len(history) == story.history


@pytest.mark.parametrize("story", load_hold_stories(PAGES / "hold.csv"), ids=lambda story: story.title)
def test_hold_story(story: HoldStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states that the page tells, and every outcome, contact and history row that the reference does."""
    workspace, stored, first_pulled, history = tmp_path / "workspace", None, None, set()
    write_hold_story(workspace, story)
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    for run_no, extracts in sorted(story.runs.items()):
        write_hold_run(workspace, story, run_no)
        release = {extract.extract_id: tmp_path / extract.file for extract in extracts if extract.release}
        for extract in extracts:
            (tmp_path / extract.file).write_bytes(extract.content)
        now = story_time(run_no)
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        request = pipeline.Request(workspace / "afstem.toml", as_of=AS_OF, release=tuple(release))
        happened = what_happened(workspace, pipeline.run(request))
        states = {(actor, file): state for actor, file, state, _ in happened.extracts}
        assert states == {(extract.actor, extract.file): extract.state for extract in extracts}
        expected = reference.run(workspace, AS_OF, now, stored, first_pulled, release=release)
        whole = what_is_expected(expected)
        history |= whole.history
        assert happened == replace(whole, history=history)
        stored, first_pulled = expected.stored, expected.first_pulled


def note_first_pull(workspace: Path, extract: Path, moment: datetime) -> None:
    """As an earlier run, which then failed, would have noted it in the landing zone."""
    zone = private_folder(workspace / "var" / "landing" / extract.parent.name)
    digest = hashlib.sha256(extract.read_bytes()).hexdigest()
    write_json(zone / f"{digest}.json", {"first_pulled_at": moment.isoformat()})


def test_every_code_about_a_record_has_a_page() -> None:
    assert sorted(str(rule.code) for rule in RULES if rule.predicate is not None) == sorted(RECORD_PAGES)
    assert [rule.code for rule in RULES if rule.predicate is not None] == reference.ORDER
