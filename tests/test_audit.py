"""What was done can be looked up later, and cannot be changed unnoticed: the chain of manifests, `verify`, `forget`."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from whole_run import load_and_run, read_store, run_again

from afstem import clock, pipeline
from afstem.errors import UsageError
from afstem.forget import forget
from afstem.report import publication
from afstem.report.seal import file_digests
from afstem.sample import write_workspace
from afstem.settings import load_settings
from afstem.store import Store
from afstem.verify import Verification, verify_reports


class Night:
    """A workspace over which several runs went: two real ones, a dry one, a real one, and one that died committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        self.config = folder / "afstem.toml"

    def runs(self) -> list[str]:
        return sorted(
            (path.name for path in self.reports.glob("2*")), key=lambda name: self.manifest(name)["started_at"]
        )

    def manifest(self, run_id: str) -> dict[str, Any]:
        return json.loads((self.reports / run_id / "run.json").read_text())

    def rewrite(self, run_id: str, /, **changed: Any) -> None:
        path = self.reports / run_id / "run.json"
        path.write_text(json.dumps(self.manifest(run_id) | changed, ensure_ascii=False, indent=1) + "\n")

    def send_again(self) -> None:
        """The same records in files that were not seen before."""
        for extract in self.folder.glob("extracts/*/*.csv"):
            extract.write_bytes(extract.read_bytes() + b"\r\n")

    def verify(self, run_id: str | None = None) -> Verification:
        return verify_reports(self.config, run_id)

    def faults(self) -> set[tuple[str, str, str]]:
        """Which run, which file, and the first word of what is wrong."""
        return {(fault.run_id, fault.file, fault.fault.split(":")[0]) for fault in self.verify().faults}


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Night:
    night = Night(tmp_path_factory.mktemp("audit") / "workspace")
    write_workspace(night.folder, citizens=30, actors=4, dirty=0.2, seed=3)
    load_and_run(night.folder)
    night.send_again()
    run_again(night.folder)
    run_again(night.folder, dry_run=True)
    night.send_again()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "publish", die)
        with pytest.raises(Killed):
            run_again(night.folder)
    for prepared in night.reports.glob(f"{publication.PREPARED}*"):
        shutil.rmtree(prepared)  # its report is made anew
    night.send_again()
    run_again(night.folder)
    return night


def die(*_: object) -> None:
    raise Killed


@pytest.fixture
def night(made: Night, tmp_path: Path) -> Night:
    shutil.copytree(made.folder, tmp_path / "workspace")
    return Night(tmp_path / "workspace")


def test_what_nobody_touched_stands(made: Night) -> None:
    assert made.verify() == Verification(5, 0, ())
    first, *others = made.runs()
    assert made.manifest(first)["previous"] is None
    assert [made.manifest(run_id)["previous"]["run_id"] for run_id in others] == made.runs()[:-1]
    assert [made.manifest(run_id)["dry_run"] for run_id in made.runs()] == [False, False, True, False, False]


EDITS = {
    "first": 0,
    "middle": 1,
    "dry run": 2,
    "made anew": 3,
    "newest": 4,
}


@pytest.mark.parametrize("place", EDITS.values(), ids=EDITS)
def test_an_edited_manifest_is_found(place: int, night: Night) -> None:
    run_id = night.runs()[place]
    night.rewrite(run_id, records=night.manifest(run_id)["records"] + 1)
    assert (run_id, "run.json", "edited") in night.faults()
    assert {fault.run_id for fault in night.verify().faults} == {run_id}
    assert night.verify(run_id).faults == night.verify().faults
    assert night.verify(night.runs()[place - 1]).faults == ()


@pytest.mark.parametrize("place", EDITS.values(), ids=EDITS)
def test_a_missing_report_is_found(place: int, night: Night) -> None:
    run_id = night.runs()[place]
    shutil.rmtree(night.reports / run_id)
    assert (run_id, "", "missing") in night.faults()
    assert {fault.run_id for fault in night.verify(run_id).faults} == {run_id}


@pytest.mark.parametrize("place", EDITS.values(), ids=EDITS)
def test_a_missing_manifest_is_found(place: int, night: Night) -> None:
    run_id = night.runs()[place]
    (night.reports / run_id / "run.json").unlink()
    assert (run_id, "run.json", "missing") in night.faults()


def test_swapped_reports_are_found(night: Night) -> None:
    one, other = night.runs()[:2]
    (night.reports / one).rename(night.reports / "aside")
    (night.reports / other).rename(night.reports / one)
    (night.reports / "aside").rename(night.reports / other)
    assert {(run_id, "run.json", "damaged, or that of another run") for run_id in (one, other)} <= night.faults()


def test_reordered_manifests_are_found_even_with_the_store_on_their_side(night: Night) -> None:
    """The worst case: somebody who can write into the store as well, and puts a run before the one it came after."""
    first, second, *_ = night.runs()
    night.rewrite(second, previous=None)
    trust_the_files(night)
    assert (second, "run.json", "out of order") in night.faults()
    night.rewrite(first, previous={"run_id": second, "sha256": "0" * 64})
    assert (first, "run.json", "out of order") in night.faults()


def trust_the_files(night: Night) -> None:
    with sqlite3.connect(night.folder / "var" / "afstem.db") as store:
        for run_id in night.runs():
            digest = publication.digest(night.reports, run_id)
            store.execute("UPDATE runs SET manifest_sha256 = ? WHERE run_id = ?", (digest, run_id))
    store.close()


def test_forged_reports_are_found(night: Night) -> None:
    first, _, dry_run, *_ = night.runs()
    for original, forged in ((first, "20260101T000000Z-abcdef"), (dry_run, "20260101T000001Z-abcdef")):
        shutil.copytree(night.reports / original, night.reports / forged)
        night.rewrite(forged, run_id=forged, started_at="2026-01-01T00:00:00Z")
        assert (forged, "", "forged") in night.faults()


CHANGES: dict[str, Callable[[Path], Any]] = {
    "edited": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    "missing": lambda path: path.unlink(),
    "added": lambda path: path.with_name(f"{path.name}.bak").write_bytes(b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pattern", ["index.html", "codes/1001.en.html", "rejections/*/*.parquet", "outcomes/*.parquet",
                                     "receipts/*/rejected.csv", "receipts/*/receipt.json"])  # fmt: skip
def test_a_changed_file_of_a_report_is_found(pattern: str, change: str, night: Night) -> None:
    run_id = night.runs()[1]
    path = next((night.reports / run_id).glob(pattern))
    CHANGES[change](path)
    name = path.relative_to(night.reports / run_id).as_posix() + (".bak" if change == "added" else "")
    assert night.faults() == {(run_id, name, change)}


def test_digests_of_files_need_the_key(made: Night) -> None:
    run_id = made.runs()[0]
    assert made.manifest(run_id)["files"] != file_digests(made.reports / run_id, b"another key")


def test_an_unknown_run_is_a_usage_error(made: Night) -> None:
    with pytest.raises(UsageError, match="no such run"):
        made.verify("20260101T000000Z-abcdef")


# --- forgetting -----------------------------------------------------------------------------------------------------


@pytest.fixture
def half_a_year_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=181))


def landed(night: Night) -> set[Path]:
    return {path for path in night.folder.glob("var/landing/[!.]*/*") if path.suffix != ".json"}


def test_nothing_young_is_forgotten(night: Night) -> None:
    told = forget(night.config, 180, dry_run=False)
    assert (told["runs"], told["extracts"], told["kept"]) == ([], [], [])
    assert night.verify() == Verification(5, 0, ())


def test_what_would_be_forgotten_can_be_seen_first(night: Night, half_a_year_later: None) -> None:
    before = {path: path.read_bytes() for path in night.folder.rglob("*") if path.is_file() and "var" not in path.parts}
    told = forget(night.config, 180, dry_run=True)
    assert told["runs"] == sorted(night.runs())
    assert len(told["extracts"]) == len(landed(night))
    after = {path: path.read_bytes() for path in night.folder.rglob("*") if path.is_file() and "var" not in path.parts}
    assert after == before
    assert night.verify() == Verification(5, 0, ())


def test_what_is_old_is_forgotten_and_not_applied_again(night: Night, half_a_year_later: None) -> None:
    runs, stored = night.runs(), read_store(night.folder)
    told = forget(night.config, 180, dry_run=False)
    assert told["runs"] == sorted(runs)
    assert len(told["extracts"]) > 10
    assert landed(night) == set()
    assert [path.name for path in night.reports.iterdir() if path.is_dir()] == []
    assert not any(run_id in (night.reports / "index.html").read_text() for run_id in runs)
    assert night.verify() == Verification(0, 5, ())
    again = run_again(night.folder)
    assert again["records"] == 0
    assert {extract["state"] for extract in again["extracts"]} <= {"already-applied", "refused"}
    assert read_store(night.folder) == stored
    assert night.verify() == Verification(1, 5, ())
    assert night.manifest(again["run_id"])["previous"]["run_id"] == runs[-1]
    shutil.rmtree(night.reports / again["run_id"])
    assert night.faults() == {(again["run_id"], "", "missing")}
    assert forget(night.config, 180, dry_run=False)["runs"] == []


def test_an_extract_that_comes_anew_is_as_old_as_it_was(night: Night, half_a_year_later: None) -> None:
    notes = {path: path.read_bytes() for path in night.folder.glob("var/landing/*/*.json")}
    forget(night.config, 180, dry_run=False)
    run_again(night.folder)
    assert {path: path.read_bytes() for path in night.folder.glob("var/landing/*/*.json")} == notes


def test_the_chain_is_verified_across_what_is_forgotten(night: Night) -> None:
    first, second, dry_run, *_ = night.runs()
    for run_id in (second, dry_run):
        forget_one(night, run_id)
    assert night.verify() == Verification(3, 2, ())
    night.rewrite(first, records=0)
    trust_the_files(night)
    assert (first, "run.json", "edited") not in night.faults(), "only the forgotten run named its digest"


def forget_one(night: Night, run_id: str) -> None:
    """As if only this one were old."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "afstem.forget.began_at", lambda name: clock.now() - timedelta(days=999 if name == run_id else 0)
        )
        assert forget(night.config, 180, dry_run=False)["runs"] == [run_id]


def test_what_was_edited_before_it_was_forgotten_is_still_told(night: Night) -> None:
    run_id = night.runs()[1]
    night.rewrite(run_id, records=0)
    forget_one(night, run_id)
    assert {fault.run_id for fault in night.verify().faults} == {run_id}


def test_forgetting_that_was_interrupted_is_taken_up(
    night: Night, half_a_year_later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[Path] = []
    rename = Path.rename

    def killed_at_the_third(path: Path, target: Path) -> Path:
        if len(renamed) == 2:
            raise Killed
        renamed.append(path)
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed_at_the_third)
        with pytest.raises(Killed):
            forget(night.config, 180, dry_run=False)
    assert {fault.fault for fault in night.verify().faults} == {"was forgotten, but is still there: forget it again"}
    forget(night.config, 180, dry_run=False)
    assert [path for path in night.reports.iterdir() if path.is_dir()] == []
    assert night.verify() == Verification(0, 5, ())


def test_held_extracts_and_those_of_an_unpublished_run_are_kept(night: Night, half_a_year_later: None) -> None:
    with sqlite3.connect(night.folder / "var" / "afstem.db") as store:
        held = store.execute("SELECT extract_no, sha256 FROM extracts WHERE state = 'applied' LIMIT 1").fetchone()
        store.execute("UPDATE extracts SET state = 'held' WHERE extract_no = ?", held[:1])
        unpublished = store.execute("SELECT run_id FROM runs ORDER BY started_at DESC").fetchone()
        store.execute("UPDATE runs SET report_published = 0 WHERE run_id = ?", unpublished)
        unpublished_digests = {
            digest for (digest,) in store.execute("SELECT sha256 FROM extracts WHERE run_id = ?", unpublished)
        }
    store.close()
    told = forget(night.config, 180, dry_run=False)
    kept = {path.name.partition(".")[0] for path in landed(night)}
    assert kept == {held[1], *unpublished_digests}
    assert {extract["sha256"] for extract in told["kept"]} == kept
    assert unpublished[0] not in told["runs"]
    assert (night.reports / unpublished[0]).is_dir()


def test_forgetting_waits_for_the_store(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afstem.forget.WAIT_FOR_STORE", timedelta(seconds=0.1))
    other = Store.open(load_settings(night.config).store_url)
    with other.exclusive(0, lambda: None), pytest.raises(Exception, match="holds the store"):
        forget(night.config, 180, dry_run=False)
    other.close()


def test_forgetting_on_both_databases(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_a_year_later: None
) -> None:
    monkeypatch.setenv("AFSTEM_STORE__URL", store_url)
    night = Night(tmp_path / "workspace")
    write_workspace(night.folder, citizens=12, actors=2, dirty=0.2, seed=4)
    monkeypatch.setattr(clock, "now", lambda: datetime.now(clock.UTC))
    load_and_run(night.folder)
    run_again(night.folder)
    assert night.verify() == Verification(2, 0, ())
    monkeypatch.setattr(clock, "now", lambda: datetime.now(clock.UTC) + timedelta(days=181))
    assert len(forget(night.config, 180, dry_run=False)["runs"]) == 2
    assert night.verify() == Verification(0, 2, ())


def test_reports_without_personal_data_can_be_read_by_analysts(tmp_path: Path) -> None:
    """The umask says who; only receipts are for their owner, whatever it says."""
    mask = os.umask(0o022)
    try:
        write_workspace(tmp_path / "w", citizens=12, actors=2, dirty=0.2, seed=4)
        report = Path(load_and_run(tmp_path / "w")["report"])
    finally:
        os.umask(mask)
    for path in [report, *report.rglob("*")]:
        if "receipts" not in path.parts:
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


# --- the history ------------------------------------------------------------------------------------------------------


def test_replaying_the_history_gives_the_contacts(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From what was loaded, each change in its order: what stood before is what the one before it left behind."""
    monkeypatch.setenv("AFSTEM_STORE__URL", store_url)
    night = Night(tmp_path / "workspace")
    write_workspace(night.folder, citizens=40, actors=5, dirty=0.3, seed=9)
    pipeline.load_reference(night.config, night.folder / "reference")
    replayed = {contact: value for contact, (value, _, _) in read_store(night.folder)[0].items()}
    assert len(replayed) > 10
    changes = 0
    for _ in range(3):
        run_again(night.folder)
        night.send_again()
        change_values(night.folder)
    for row in history_of(night.config):
        contact = row["personnummer"], row["contact_type"]
        assert replayed.get(contact) == row["before"]
        assert row["before"] != row["after"]
        assert None not in [row[name] for name in ("actor", "extract_id", "record_no", "run_id", "changed_at")]
        replayed[contact] = row["after"]
        changes += 1
    assert changes > 60
    stored = {contact: value for contact, (value, _, _) in read_store(night.folder)[0].items()}
    assert {contact: value for contact, value in replayed.items() if value is not None} == {
        contact: value for contact, value in stored.items() if value is not None
    }
    # A removal of what is not there leaves a tombstone, and has changed nothing.
    assert {contact for contact, value in replayed.items() if value is None} <= stored.keys()


def change_values(workspace: Path) -> None:
    """Other phone numbers in every extract."""
    for extract in workspace.glob("extracts/*/*.csv"):
        extract.write_bytes(extract.read_bytes().replace(b"@", b"+1@"))


def history_of(config: Path) -> list[dict[str, Any]]:
    import sqlalchemy as sa

    engine = sa.create_engine(load_settings(config).store_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM contact_history ORDER BY history_no")).mappings()
        return [dict(row) for row in rows]
