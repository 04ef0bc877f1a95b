"""The comparison itself: it finds nothing between two undisturbed workspaces, and whatever was changed in one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from faults.undisturbed import Workspace, connected, copy_of, differences, left_behind, make_workspace, undisturbed


def execute(statement: str) -> Callable[[Workspace], None]:
    def change(workspace: Workspace) -> None:
        with connected(workspace) as connection:
            connection.execute(sa.text(statement))
            connection.commit()

    return change


def file(pattern: str, change: Callable[[Path], object]) -> Callable[[Workspace], None]:
    return lambda workspace: change(sorted(workspace.folder.glob(pattern))[0])


DISTURBANCES = {
    "contact_rows": execute("UPDATE contact_rows SET record_no = record_no + 1 WHERE record_no > 0"),
    "contacts": execute("DELETE FROM contact_rows WHERE personnummer = (SELECT min(personnummer) FROM contact_rows)"),
    "history_rows": execute(
        "INSERT INTO history_rows (personnummer, contact_type, before, after, extract_no, record_no) "
        "SELECT personnummer, contact_type, before, after, extract_no, record_no FROM history_rows LIMIT 1"
    ),
    "finding_memory": execute("DELETE FROM finding_memory WHERE actor = 'star'"),
    "runs": execute("UPDATE runs SET report_published = false"),
    "extracts": execute("UPDATE extracts SET records = records + 1 WHERE state = 'applied'"),
    "var/afstem.db-wal": file("var/afstem.db", lambda path: path.with_name("afstem.db-wal").touch()),
    "var/landing/star/.incoming.jsonl": file("var/landing/star", lambda path: (path / ".incoming.jsonl").touch()),
    "receipts": file("reports/2*/receipts/*/rejected.csv", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "index.html": file("reports/index.html", lambda path: path.write_text(path.read_text() + " ")),
    "rejections": file("reports/2*/rejections/code=1001/*.parquet", lambda path: path.unlink()),
    "rejected.csv": file("reports/2*/receipts/*/rejected.csv", lambda path: path.chmod(0o644)),
}


def test_what_was_changed_is_found_and_nothing_else(tmp_path: Path) -> None:
    one, other = (make_workspace(tmp_path / name) for name in ("one", "other"))
    expected = undisturbed(one, [(1, 1), (2, 2)])
    # The same two nights, for which other attempts stand.
    other.deliver(1)
    other.complete(1, 7)
    other.deliver(2)
    other.complete(2, 9)
    assert differences(expected, left_behind(other)) == []
    assert len(expected.rows["contact_history"]) > 50
    assert len(expected.rows["confirmations"]) > 10
    assert any("'runs_seen': 2" in row for row in expected.rows["finding_memory"])
    assert len(expected.files) > 200
    for place, change in DISTURBANCES.items():
        disturbed = copy_of(other, tmp_path / "disturbed")
        change(disturbed)
        found = differences(expected, left_behind(disturbed))
        assert any(place in line for line in found), (place, found)
        shutil.rmtree(disturbed.folder)
