"""A disk that is full, read-only or broken: the run fails in one line that says where, and is completed later."""

import ast
import contextlib
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.crash import Attempt, Baselines
from faults.tracing import calls_made, execute
from faults.undisturbed import DONE, Warm, Workspace, left_behind, make_workspace

RUN_FAILED = 1
AGAIN = [Attempt(1, (1,)), Attempt(1)]


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baselines]:
    folder = tmp_path_factory.mktemp("disk")
    warm = Warm(folder / "told")
    yield Baselines(replace(make_workspace(folder / "prepared", actors=4), starter=warm), folder)
    warm.close()


@pytest.fixture
def workspace(baselines: Baselines) -> Iterator[Workspace]:
    fresh = baselines.fresh("disturbed")
    fresh.deliver(1)
    yield fresh
    shutil.rmtree(fresh.folder)


def troubles(done: "subprocess.CompletedProcess[str]", place: str) -> list[str]:
    """What is wrong with the way in which a run failed: it must tell the place in one line."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
    clear = len(lines) == 1 and lines[0].startswith("afstem: ") and "internal error" not in lines[0]
    if done.returncode == RUN_FAILED and clear and place in lines[0]:
        return []
    return [f"exit {done.returncode}: {lines}"]


def half_written(workspace: Workspace) -> list[str]:
    """What stands under a final name and is not whole."""
    parts = ("run.json", "index.html", "index.en.html", "outcomes/rejected.parquet")
    reports = [path for path in (workspace.folder / "reports").glob("*") if path.name[0] != "." and path.is_dir()]
    return [str(path / part) for path in reports for part in parts if not (path / part).exists()]


# --- every day --------------------------------------------------------------------------------------------------------

REFUSED = {
    "landing zone full": ("write .*/landing/[^.]", "ENOSPC", "var/landing/"),
    "landing zone broken": ("fsync .*/landing/[^.]", "EIO", "var/landing/"),
    "staging full": ("write .*accepted.arrow", "ENOSPC", "var/landing/.runs/"),
    "staging without inodes": ("mkdir .*/attempts/", "ENOSPC", "var/landing/.runs/"),
    "staging without names": ("rename .*/attempts/.*/extracts/", "ENOSPC", "var/landing/.runs/"),
    "reports full": ("write .*/reports/.*html", "ENOSPC", "reports"),
    "reports read-only": ("mkdir .*/reports/", "EROFS", "reports"),
    "reports broken": ("fsync .*/reports/", "EIO", "reports"),
    "manifest without room": ("write .*/reports/.*/run.json", "ENOSPC", "reports"),
    "working folder broken": ("fsync .*/disturbed$", "EIO", "."),
    "publishing refused": ("rename .*/reports/.prepared", "ENOSPC", "reports"),
}
"""The call that fails, how, and the folder that must be told."""


@pytest.mark.parametrize("refused", REFUSED)
def test_a_disk_that_refuses(refused: str, workspace: Workspace, baselines: Baselines) -> None:
    call, error, place = REFUSED[refused]
    done = workspace.attempt(1, 0, serial=True, plant=[["planted:fail", {"text": call, "error": error}]])
    assert troubles(done, str(workspace.folder / place)) == []
    assert half_written(workspace) == []
    workspace.complete(1, 1)
    assert baselines.differences(workspace, AGAIN) == []


@pytest.mark.parametrize("page", ["index.en.html", "index.html", "runs.json"])
def test_a_list_of_runs_that_cannot_be_published_waits(page: str, workspace: Workspace, baselines: Baselines) -> None:
    refused = ["planted:fail", {"text": f"re(name|place) .*/reports/.history-[^/]*/{page} ", "error": "ENOSPC"}]
    done = workspace.attempt(1, 0, serial=True, plant=[refused])
    assert done.returncode in DONE
    assert "the history of runs" in done.stderr
    assert half_written(workspace) == []
    workspace.complete(1, 1)
    assert baselines.differences(workspace, AGAIN) == []


@pytest.mark.parametrize(
    "limit", [("limit_store", {"pages": 1}), ("limit_file_size", {"octets": 40_000})], ids=["full", "file too large"]
)
def test_a_store_that_cannot_grow(limit: tuple[str, Any], workspace: Workspace, baselines: Baselines) -> None:
    before = left_behind(workspace).rows
    done = workspace.attempt(1, 0, serial=True, plant=[[f"planted:{limit[0]}", limit[1]]])
    assert troubles(done, str(workspace.folder / "var")) == []
    assert left_behind(workspace).rows == before
    workspace.complete(1, 1)
    assert baselines.differences(workspace, AGAIN) == []


def test_reference_data_that_do_not_fit(workspace: Workspace, baselines: Baselines) -> None:
    shutil.rmtree(workspace.folder / "var")
    limit = ["planted:limit_file_size", {"octets": 40_000}]
    done = workspace.execute(workspace.load_command(plant=[limit]))
    assert troubles(done, str(workspace.folder / "var")) == []
    workspace.load()
    workspace.complete(1)
    assert baselines.differences(workspace, AGAIN[:1]) == []


def test_control_a_report_built_in_place_is_half_written(workspace: Workspace) -> None:
    plant = [
        ["planted:publish_in_place", {}],
        ["planted:fail", {"text": "write .*/reports/.*/actors/", "error": "ENOSPC"}],
    ]
    workspace.attempt(1, 0, serial=True, plant=plant)
    assert half_written(workspace) != []


# --- a power cut ------------------------------------------------------------------------------------------------------


def unsafe(workspace: Workspace, *plant: list[Any]) -> list[str]:
    """What a power cut could take from a run that is in the store, or from a report that has its name."""
    log = workspace.folder / "calls"
    workspace.complete(1, serial=True, plant=[*plant, ["planted:log_calls", {"file": str(log)}]])
    calls = [ast.literal_eval(line) for line in log.read_text().splitlines()]
    log.unlink()
    written = next(place for place, call in enumerate(calls) if call.startswith("INSERT INTO runs"))
    commit = written + calls[written:].index("COMMIT")
    marked = next(place for place, call in enumerate(calls) if place > commit and call.startswith("UPDATE runs"))
    landing, reports = workspace.folder / "var" / "landing", workspace.folder / "reports"
    [report] = [path for path in reports.iterdir() if path.is_dir()]
    found = []

    def must_stand(description: str, pattern: str, begin: int, end: int) -> int:
        places = [place for place in range(begin, end) if re.fullmatch(pattern, calls[place])]
        if not places:
            found.append(description)
        return places[-1] if places else begin

    for path in [path for path in landing.glob("*/*") if path.is_file()]:
        named = must_stand(f"{path} gets its name", f"(replace|rename) .* {re.escape(str(path))}", 0, commit)
        source = re.escape(calls[named].split(" ")[1]) if " " in calls[named] else ""
        must_stand(f"the content of {path}", rf"fsync ({source}|{path.parent}/\..*)", 0, named)
        must_stand(f"the name of {path}", f"fsync {re.escape(str(path.parent))}", named, commit)
    preparing, prepared = reports / f".preparing-{report.name}", reports / f".prepared-{report.name}"
    built = must_stand("the report is built", f"rename {preparing} {prepared}", 0, commit)
    for path in (report, *report.rglob("*")):
        must_stand(f"the content of {path}", f"fsync {re.escape(str(preparing / path.relative_to(report)))}", 0, built)
    must_stand("the name of what is built", f"fsync {reports}", built, commit)
    named = must_stand("the report gets its name", f"rename {prepared} {report}", commit, marked)
    must_stand("the name of the report", f"fsync {reports}", named, marked)
    return found


def test_nothing_that_a_commit_relies_on_is_in_memory_alone(workspace: Workspace) -> None:
    assert unsafe(workspace) == []


def test_control_a_run_that_brings_nothing_to_disk(workspace: Workspace) -> None:
    assert len(unsafe(workspace, ["planted:bring_nothing_to_disk", {}])) > 50


# --- hundreds of times ------------------------------------------------------------------------------------------------

SHARES = 8
ERRORS = {
    **dict.fromkeys(("write", "pwrite64", "sendfile", "ftruncate", "openat", "mkdir", "rename"), "ENOSPC"),
    **dict.fromkeys(("fsync", "fdatasync", "unlink", "unlinkat"), "EIO"),
}


@pytest.mark.soak
@pytest.mark.parametrize("share", range(SHARES))
def test_every_call_refused(share: int, baselines: Baselines, tmp_path: Path) -> None:
    """Each write, each fsync, each rename of a run fails once, below Python and SQLite."""
    counted = baselines.fresh("counted")
    counted.deliver(1)
    points = calls_made(counted.command(1, serial=True), counted.environment, tmp_path / "calls")
    points = [(call, number) for call, number in points if call in ERRORS]
    found: dict[Any, list[str]] = {}
    failed = endured = 0
    for call, number in points[share::SHARES]:
        workspace = baselines.fresh("disturbed")
        workspace.deliver(1)
        fault = f"error={ERRORS[call]}:when={number}"
        done = execute(workspace, workspace.command(1, 0, serial=True), call, fault)
        # What the next run writes anew anyway, and what SQLite tries again, may fail without harm.
        endured += done.returncode in DONE
        failed += done.returncode == RUN_FAILED
        unclear = [] if done.returncode in DONE else troubles(done, str(workspace.folder))
        workspace.complete(1, 1)
        differing = unclear + half_written(workspace) + baselines.differences(workspace, AGAIN)
        if differing:
            found[call, number] = differing
        shutil.rmtree(workspace.folder)
    print(f"every call refused: {len(points)} points, here {failed} failed, {endured} endured, found {found}")
    assert found == {}


@pytest.mark.soak
@pytest.mark.parametrize("naive", [False, True], ids=["as it is", "control"])
def test_the_commit_is_on_disk_before_its_report_is_seen(naive: bool, workspace: Workspace, tmp_path: Path) -> None:
    """SQLite's own system calls: nothing is written into its log after the log was last brought to disk.

    An analyst has the store open, else SQLite would bring everything to disk as the last one who closes it.
    """
    plant = [["planted:do_not_wait_for_the_disk", {}]] if naive else []
    log = tmp_path / "calls"
    with contextlib.closing(sqlite3.connect(workspace.folder / "var" / "afstem.db")) as analyst:
        analyst.execute("SELECT * FROM runs").fetchall()
        calls_made(workspace.command(1, serial=True, plant=plant), workspace.environment, log, "--decode-fds=path")
    made = log.read_text(errors="replace").splitlines()
    seen = next(place for place, call in enumerate(made) if "rename(" in call and "/.prepared-" in call)
    seen = next(place for place in range(seen + 1, len(made)) if "rename(" in made[place] and "/.prep" in made[place])
    written = [place for place, call in enumerate(made[:seen]) if "pwrite64(" in call and "afstem.db-wal>" in call]
    synced = [place for place, call in enumerate(made[:seen]) if "sync(" in call and "afstem.db-wal>" in call]
    assert written
    assert (max(synced, default=0) > max(written)) is not naive


FULL = [
    *((area, f"size={kilobytes}k") for area in ("var", "var/landing", "reports") for kilobytes in (0, 8, 24, 64, 128)),
    *((area, f"size={kilobytes}k") for area in ("var", "reports") for kilobytes in range(160, 640, 32)),
    *((area, f"nr_inodes={inodes}") for area in ("var", "var/landing", "reports") for inodes in (0, 3, 10, 20)),
    *((area, "ro") for area in ("var", "var/landing", "reports")),
]
"""A file system of its own for each, with so much room besides what stands there."""


@pytest.mark.soak
@pytest.mark.parametrize(("area", "room"), FULL)
def test_a_file_system_without_room(area: str, room: str, workspace: Workspace, baselines: Baselines) -> None:
    workspace.attempt(1, 0, serial=True, plant=[["planted:die_before", {"text": "mkdir .*/extracts"}]])
    with small_file_system(workspace.folder / area, room) as make_room:
        done = workspace.attempt(1, 1)
        assert done.returncode in DONE or troubles(done, str(workspace.folder / area)) == []
        assert half_written(workspace) == []
        make_room()
        workspace.complete(1, 2)
        found = baselines.differences(workspace, [Attempt(1, (1,)), Attempt(1), Attempt(1)])
    print(f"{area} {room}: exit {done.returncode}, {done.stderr.splitlines()[-1:]}, found {len(found)}")
    assert found == []


@pytest.mark.soak
@pytest.mark.parametrize("room", ["size=0k", "size=60k", "size=120k", "size=200k", "nr_inodes=1", "nr_inodes=3", "ro"])
def test_reference_load_without_room(room: str, workspace: Workspace, baselines: Baselines) -> None:
    shutil.rmtree(workspace.folder / "var")
    with small_file_system(workspace.folder / "var", room) as make_room:
        done = workspace.execute(workspace.load_command())
        assert done.returncode in DONE or troubles(done, str(workspace.folder / "var")) == []
        make_room()
        workspace.load()
        workspace.complete(1)
        found = baselines.differences(workspace, AGAIN[:1])
    print(f"reference load {room}: exit {done.returncode}, {done.stderr.splitlines()[-1:]}, found {len(found)}")
    assert found == []


@contextlib.contextmanager
def small_file_system(folder: Path, room: str) -> Iterator[Any]:
    """Put a tmpfs in the place of a folder, with its content and so much room besides; gives what lifts the limit."""
    folder.mkdir(exist_ok=True)
    kept = folder.with_name(f"{folder.name}-kept")
    shutil.copytree(folder, kept)
    used = subprocess.run(["du", "-sk", "--apparent-size", kept], capture_output=True, text=True, check=True)
    kilobytes, inodes = int(used.stdout.split()[0]), sum(1 for _ in kept.rglob("*")) + 1
    name, _, amount = room.partition("=")
    more = {"size": f"size={kilobytes + 8 + int(amount.rstrip('k') or 0)}k"} if name == "size" else {}
    more |= {"nr_inodes": f"nr_inodes={inodes + int(amount)}"} if name == "nr_inodes" else {}
    mount(*more.values(), folder=folder)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        shutil.rmtree(kept)
        if room == "ro":
            mount("remount,ro", folder=folder)
        yield lambda: mount("remount,rw,size=100m,nr_inodes=100k", folder=folder)
    finally:
        subprocess.run(["umount", folder], check=True)


def mount(*options: str, folder: Path) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(["mode=0700", *options]), "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"a small file system cannot be mounted (soak tests need root): {done.stderr}", pytrace=False)
