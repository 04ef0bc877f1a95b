"""What stands in the repository: the sample workspace, and what must become of each of its records."""

import csv
import shutil
from datetime import datetime
from pathlib import Path

import pytest
import reference
from whole_run import AS_OF, Happened, load_and_run, what_happened

SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"


def copy_of_sample_data(folder: Path) -> Path:
    """The sample workspace, in a folder where it may be run over."""
    return Path(shutil.copytree(SAMPLE_DATA, folder, ignore=shutil.ignore_patterns("var", "reports")))


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> Happened:
    workspace = copy_of_sample_data(tmp_path_factory.mktemp("sample") / "workspace")
    return what_happened(workspace, load_and_run(workspace))


def test_every_record_becomes_what_is_expected(happened: Happened) -> None:
    file_of = {
        extract_id: file
        for (_, file, state, _), extract_id in zip(happened.extracts, happened.ids, strict=True)
        if state in ("applied", "held")
    }
    told = [
        [actor, file_of[extract_id], str(record_no), contact_type or "", outcome, " ".join(map(str, codes))]
        for actor, extract_id, record_no, contact_type, outcome, codes in happened.records
    ]
    told += [
        [actor, file, "", "", "refused", str(code)]
        for actor, file, state, code in happened.extracts
        if state == "refused"
    ]
    with (SAMPLE_DATA / "expected.csv").open(encoding="utf-8", newline="") as page:
        header, *expected = csv.reader(page, delimiter=";")
    assert header == ["actor", "file", "record_no", "contact_type", "outcome", "codes"]
    assert sorted(told) == sorted(expected)


def test_the_reference_expects_the_same() -> None:
    started_at = datetime.fromisoformat("2026-11-23T04:00:00+01:00")
    lines = [list(map(str, line)) for line in reference.lines_of(reference.run(SAMPLE_DATA, AS_OF, started_at))]
    with (SAMPLE_DATA / "expected.csv").open(encoding="utf-8", newline="") as page:
        assert lines == list(csv.reader(page, delimiter=";"))[1:]


def test_it_is_small_and_shows_everything(happened: Happened) -> None:
    assert sum(path.stat().st_size for path in SAMPLE_DATA.rglob("*") if path.is_file()) < 1_000_000
    codes = {code for *_, found in happened.records for code in found} | {code for *_, code in happened.extracts}
    assert codes - {None} == set(reference.ORDER) | {1012, 1013}
    assert {record[4] for record in happened.records} == {"applied", "unchanged", "superseded", "held", "rejected"}
    assert {state for _, _, state, _ in happened.extracts} == {"applied", "held", "refused", "already-applied"}
    assert happened.unavailable
