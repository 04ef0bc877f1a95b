"""A backup that is taken while a run applies, and put back after the store was lost (docs/operations.md).

The next run then comes to the same as the one that was lost: the same verdicts, outcomes, contacts and history, and a
report that differs in its name and times only.
"""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from test_sample_data import SAMPLE_DATA
from test_store_rights import Place, place, roles  # noqa: F401 - a fixture
from whole_run import run_again, what_happened

from afstem import pipeline
from afstem.administration import init_store, upgrade_store
from afstem.doctor import examine
from afstem.report import publication
from afstem.verify import verify_reports

FIRST_NIGHT = ("jobcenter-01100", "kommune-011", "star")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    return Path(shutil.copytree(SAMPLE_DATA, workspace, ignore=shutil.ignore_patterns("var", "reports")))


def a_night_that_is_backed_up(
    workspace: Path, backup: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A run within whose transaction, when all is written and nothing committed, a backup is taken."""
    digest, taken = publication.digest, []

    def then(*words: Any) -> str:
        if not taken:
            backup()
            taken.append(True)
        return digest(*words)

    with monkeypatch.context() as patched:
        patched.setattr(publication, "digest", then)
        summary = run_again(workspace)
    assert taken
    return summary


def report_of(summary: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame, dict[str, bytes]]:
    """Manifest, rejections and receipts of a run, but for its name and times."""
    folder = Path(summary["report"])
    manifest = json.loads((folder / "run.json").read_text())
    for changing in ("run_id", "started_at", "finished_at", "files"):
        manifest.pop(changing, None)
    rejections = pd.read_parquet(folder / "rejections").replace(summary["run_id"], "this run")
    receipts = {path.parent.name: path.read_bytes() for path in folder.glob("receipts/*/rejected.csv")}
    return manifest, rejections.sort_values(["extract_id", "record_no", "code"], ignore_index=True), receipts


def the_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    before, after = report_of(first), report_of(second)
    assert first["run_id"] != second["run_id"]
    assert before[0] == after[0]
    pd.testing.assert_frame_equal(before[1], after[1])
    assert before[2] == after[2]
    assert len(before[1]) > 200
    assert len(before[2]) > 5


def test_sqlite_put_back_after_a_night(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    run_again(workspace, actors=FIRST_NIGHT)
    store, copy = workspace / "var" / "afstem.db", tmp_path / "afstem-backup.db"

    def backup() -> None:
        with closing(sqlite3.connect(store)) as outsider:
            outsider.execute(f"VACUUM INTO '{copy}'")

    lost = a_night_that_is_backed_up(workspace, backup, monkeypatch)
    assert lost["outcomes"]["applied"] > 500
    happened = what_happened(workspace, lost)

    for file in store.parent.glob("afstem.db*"):
        file.unlink()
    shutil.copyfile(copy, store)
    store.chmod(0o600)
    with closing(sqlite3.connect(store)) as restored:
        assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert restored.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    again = run_again(workspace)
    compare(what_happened(workspace, again), happened)
    the_same(lost, again)
    faults = verify_reports(workspace / "afstem.toml", None).faults
    assert {lost["run_id"]} == {run for run in (lost["run_id"], again["run_id"]) if run in " ".join(map(str, faults))}


def test_postgresql_put_back_after_a_night(
    place: Place, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    config = workspace / "afstem.toml"
    with psycopg.connect(place.server) as connection:  # its own programs: older ones do not read it
        [path] = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
        programs = Path(path)

    def become(kind: str) -> None:
        monkeypatch.setenv("AFSTEM_STORE__URL", place.url(kind))

    def program(name: str, *words: str | Path) -> None:
        url = make_conninfo(place.server, user=place.role("owner"), dbname=place.database)
        done = subprocess.run([programs / name, *words, f"--dbname={url}"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    become("owner")
    init_store(config, roles(place, "run", "load", "analyst"))
    become("load")
    pipeline.load_reference(config, workspace / "reference")
    become("run")
    run_again(workspace, actors=FIRST_NIGHT)
    dump = tmp_path / "afstem.dump"
    lost = a_night_that_is_backed_up(
        workspace,
        lambda: program("pg_dump", "--format=custom", f"--file={dump}", "--lock-wait-timeout=60000"),
        monkeypatch,
    )
    become("analyst")
    happened = what_happened(workspace, lost)

    server = Place(place.server, "postgres")
    server.execute("DROP DATABASE {name} WITH (FORCE)", name=place.database)
    server.execute("CREATE DATABASE {name} OWNER {owner}", name=place.database, owner=place.role("owner"))
    server.execute("REVOKE ALL ON DATABASE {name} FROM PUBLIC", name=place.database)
    program("pg_restore", "--exit-on-error", dump)
    become("owner")
    upgrade_store(config)  # what is granted on the database itself is in no dump
    become("run")
    looked = examine(config)
    assert {remark.level for remark in looked if remark.about == "store"} == {"well"}
    again = run_again(workspace)
    become("analyst")
    compare(what_happened(workspace, again), happened)
    the_same(lost, again)


def compare(found: Any, expected: Any) -> None:
    assert found.extracts == expected.extracts
    assert found.records == expected.records
    assert found.contacts == expected.contacts
    assert found.history == expected.history
    assert len(found.history) > 1000
