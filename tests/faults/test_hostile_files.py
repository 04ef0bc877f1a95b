"""Hostile files: refused, read or left alone within seconds and a gibibyte, and no other actor is touched."""

import csv
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_sample_data import SAMPLE_DATA
from whole_run import AS_OF, load_and_run, what_happened

from afstem import pipeline
from afstem.errors import WorkerDied
from afstem.sources import local
from afstem.workers import CPU_SECONDS, CPU_SECONDS_PER_MEGABYTE, Workers, limited, workers
from faults.hostile_files import CATALOGUE, ENCRYPTED, HEADER, Hostile
from faults.watched import GIBIBYTE, watch


@pytest.fixture(scope="module")
def beside() -> Iterator[Workers]:
    with workers(1, "forkserver") as beside:
        yield beside


@pytest.mark.parametrize(
    "hostile", [pytest.param(one, id=one.name, marks=[pytest.mark.soak] if one.slow else []) for one in CATALOGUE]
)
def test_a_hostile_file_is_refused_or_read_within_the_limits(beside: Workers, tmp_path: Path, hostile: Hostile) -> None:
    file = tmp_path / hostile.name
    file.write_bytes(hostile.content())
    watched = watch(beside, file)
    assert watched.verdict == hostile.verdict
    assert watched.peak_bytes < GIBIBYTE
    assert watched.cpu_seconds < CPU_SECONDS + CPU_SECONDS_PER_MEGABYTE * file.stat().st_size / 1e6


def read_naively(file: Path) -> int:
    """As one would at first: whole, by the library that knows the format."""
    with limited(file.stat().st_size):
        if file.suffix == ".parquet":
            return len(pq.read_table(file).to_pylist())
        with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
            return len(list(csv.reader(stream.read().splitlines())))


@pytest.mark.parametrize(
    "name", ["zeros.csv.gz", "wide.parquet", pytest.param("cells.parquet", marks=pytest.mark.soak)]
)
def test_control_a_naive_reader_exceeds_the_limits(beside: Workers, tmp_path: Path, name: str) -> None:
    [hostile] = [one for one in CATALOGUE if one.name == name]
    (tmp_path / name).write_bytes(hostile.content())
    with pytest.raises((MemoryError, WorkerDied)):
        beside.call(read_naively, tmp_path / name)


def test_control_a_file_that_breaks_its_reader_ends_a_program_without_workers() -> None:
    read = "import sys, pathlib, afstem.decode as d; d.open_extract(pathlib.Path(sys.argv[1]), 'x.parquet', 'utf-8')"
    done = subprocess.run([sys.executable, "-c", read, str(ENCRYPTED)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGABRT


def test_a_worker_that_is_out_of_time_dies_and_the_next_call_meets_another(beside: Workers) -> None:
    first = beside.call(os.getpid)
    with pytest.raises(WorkerDied) as caught:
        beside.call(spin_a_second)
    assert caught.value.out_of_time
    assert beside.call(os.getpid) != first


def test_an_actor_that_checks_such_a_file_is_told(tmp_path: Path) -> None:
    shutil.copy(ENCRYPTED, tmp_path / "x.parquet")
    command = [sys.executable, "-m", "afstem", "check", "--json", str(tmp_path / "x.parquet")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["refused"] == {"code": 1014, "reason": "breaks-reader"}


def spin_a_second() -> None:
    """In a worker: use up a second's allowance."""
    from afstem import workers

    workers.CPU_SECONDS = 1.0
    with limited(0):
        while True:
            pass


# --- a whole run ------------------------------------------------------------------------------------------------------

ODD_NAMES = [
    *(b"new\nline.csv", b"bad\xe6\xff.csv", b"x" * 251 + b".csv", b"%2e%2e%2fup.csv", b"a::b.csv", b"~root.csv"),
    *(b"esc\x1b[31m\x07.csv", b"010190-1230 name.csv", b"010190\x011230.csv", b"*.csv", b"-rf.csv", b"$(id).csv"),
    *(b"<b>x.csv", "\u202evsc.csv".encode(), b"back\\slash.csv", b"{{7*7}}.csv", b"%s%n.csv", b'a;b"c.csv'),
]


def fill_with_hostile_files(folder: Path) -> dict[str, str | None]:
    """Into the source folder of an actor; by the name that may be told, the reason of the 1014, or None: it is read."""
    expected: dict[str, str | None] = {}
    for number, name in enumerate(ODD_NAMES):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(HEADER + b"1;1;%d\n" % number)
    for hostile in CATALOGUE:
        if not hostile.slow and hostile.name != "field.csv":
            (folder / hostile.name).write_bytes(hostile.content())
            expected[hostile.name] = None if hostile.verdict == "read" else hostile.verdict
    os.mkfifo(folder / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listener, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # a socket's path is short
        listener.bind("socket.csv")
    links = {"zero.csv": "/dev/zero", "loop.csv": "loop.csv", "folder.csv": "..", "outside.csv": "/etc/passwd"}
    for name, target in (links | {"dangling.parquet": "nowhere", "second-name.jsonl": "kontaktdata.jsonl"}).items():
        (folder / name).symlink_to(target)
    with (folder / "holes.csv").open("wb") as file:
        file.truncate(2**43)
    (folder / "folder-that-ends-in.csv").mkdir()
    expected |= dict.fromkeys(("pipe.csv", "socket.csv", *links, "dangling.parquet", "second-name.jsonl"), "not-a-file")
    return expected | {"holes.csv": "too-large"}


def test_a_folder_of_hostile_files_touches_no_other_actor(tmp_path: Path) -> None:
    undisturbed, disturbed = (shutil.copytree(SAMPLE_DATA, tmp_path / name) for name in ("undisturbed", "disturbed"))
    before = what_happened(undisturbed, load_and_run(undisturbed))
    pipeline.load_reference(disturbed / "afstem.toml", disturbed / "reference")
    expected = fill_with_hostile_files(disturbed / "extracts" / "star")
    command = [sys.executable, "-m", "afstem", "run", "--json", "--as-of", AS_OF.isoformat()]
    with subprocess.Popen(
        [*command, "--config", str(disturbed / "afstem.toml")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        out, err = run.communicate()
    assert run.returncode == 3, err
    summary = json.loads(out)
    manifest = (Path(summary["report"]) / "run.json").read_text()
    found = {one["file"]: one for one in json.loads(manifest)["extracts"] if one["actor"] == "star"}
    assert {name: found[name]["reason"] for name in expected} == expected
    assert all(found[name]["code"] == (1014 if reason else None) for name, reason in expected.items())
    assert len(found) == len(expected) + len(ODD_NAMES) + 1
    pages = b"".join(path.read_bytes() for path in Path(summary["report"]).rglob("*.html"))
    assert b"<b>x" not in pages
    for unsaid in (b"010190-1230", b"0101901230", b"\x1b", b"\x07", "\u202e".encode()):
        assert unsaid not in pages + manifest.encode() + out + err
    after = what_happened(disturbed, summary)
    for others in (before, after):
        others.extracts = [extract for extract in others.extracts if extract[0] != "star"]
        others.records = [record for record in others.records if record[0] != "star"]
    assert after.extracts == before.extracts
    assert after.records == before.records


@pytest.mark.parametrize(
    ("error", "reason"), [(PermissionError(13, "no"), "not-opened"), (OSError(5, "Input/output error"), "not-read")]
)
def test_a_file_that_cannot_be_opened_is_its_own_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    workspace = shutil.copytree(SAMPLE_DATA, tmp_path / "work")
    (workspace / "extracts" / "star" / "locked.csv").write_bytes(HEADER)
    opened = local._open

    def locked(path: Path) -> int:
        if path.name == "locked.csv":
            raise error
        return opened(path)

    monkeypatch.setattr(local, "_open", locked)
    summary = load_and_run(workspace)
    assert "star" not in summary["unavailable"]
    extracts = json.loads((Path(summary["report"]) / "run.json").read_text())["extracts"]
    assert [(one["file"], one["state"], one["reason"]) for one in extracts if one["actor"] == "star"] == [
        ("kontaktdata.jsonl", "applied", None),
        ("locked.csv", "refused", reason),
    ]


def test_a_link_or_a_pipe_that_takes_the_place_of_a_listed_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its actor could wait for the listing, to be told another actor's file, or to have the run wait for ever."""
    workspace = shutil.copytree(SAMPLE_DATA, tmp_path / "work")
    folder = workspace / "extracts" / "star"
    secret = tmp_path / "secret.csv"
    secret.write_bytes(HEADER)
    for name in ("link.csv", "pipe.csv"):
        (folder / name).write_bytes(HEADER)
    opened = local._open

    def replaced(path: Path) -> int:
        if path.name in ("link.csv", "pipe.csv"):
            path.unlink()
            if path.name == "link.csv":
                path.symlink_to(secret)
            else:
                os.mkfifo(path)
        return opened(path)

    monkeypatch.setattr(local, "_open", replaced)
    summary = load_and_run(workspace)
    states = {one["file"]: one["state"] for one in summary["extracts"] if one["actor"] == "star"}
    assert states == {"kontaktdata.jsonl": "applied", "link.csv": "refused", "pipe.csv": "refused"}
