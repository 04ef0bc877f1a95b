"""Workers: the same run in several processes, which end with the run however it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_sample_data import SAMPLE_DATA
from whole_run import AS_OF, Happened, load_and_run, what_happened

from afstem import pipeline


def happened(workspace: Path, summary: dict[str, Any]) -> Happened:
    """What came of a run but for times, which are the run's own where a record gives none."""
    made = what_happened(workspace, summary)
    made.contacts = {place: (value, None, actor) for place, (value, _, actor) in made.contacts.items()}
    return made


def script(text: str, *arguments: str) -> "subprocess.Popen[str]":
    """A process of its own: a fork wants one without other threads."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def eventually(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


RUN = """
    import json, sys
    from datetime import date
    from pathlib import Path
    from afstem import pipeline, settlement, taking_in
    taking_in.WORTH_A_WORKER = 0  # the sample is so small that it would be judged without them
    settlement.RECORDS_PER_RANGE = 300
    if __name__ == "__main__":
        heard = []
        request = pipeline.Request(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]))
        summary = pipeline.run(request, 2, heard.append)
        print(json.dumps([summary, sum(heard)]))
"""


def test_workers_and_one_process_come_to_the_same(tmp_path: Path) -> None:
    alone, beside = (shutil.copytree(SAMPLE_DATA, tmp_path / name) for name in ("alone", "beside"))
    expected = happened(alone, load_and_run(alone))
    pipeline.load_reference(beside / "afstem.toml", beside / "reference")
    with script(RUN, str(beside / "afstem.toml"), AS_OF.isoformat()) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    summary, heard = json.loads(out)
    assert happened(beside, summary) == expected
    # Refused ones were judged up to where they turned out unreadable.
    assert heard >= summary["records"]


TWO_WORKERS = """
    import os, signal, sys, time
    from afstem.workers import WorkerDied, workers
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    with workers(2, "fork") as beside:
        print(*beside.each(os.getpid, [()] * 2), flush=True)
        if sys.argv[1] == "worker":
            try:
                beside.call(die)
            except WorkerDied as error:
                print(error, flush=True)
        else:
            time.sleep(60)
"""


def test_workers_end_when_the_run_is_killed() -> None:
    with script(TWO_WORKERS, "parent") as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert os.getpid() not in workers
        assert all(Path(f"/proc/{pid}").exists() for pid in workers)
        process.send_signal(signal.SIGKILL)
        assert eventually(lambda: not any(alive(pid) for pid in workers))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_is_killed_fails_the_run_in_one_line() -> None:
    with script(TWO_WORKERS, "worker") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[1].startswith("a worker process was killed")


DYING = """
import os, signal, sys
from pathlib import Path
from afstem import intake

DEATHS, SIGNAL, VICTIM, NUMBERED = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], Path(sys.argv[6])
stage = intake._stage

def dying(landed, *rest):
    if landed.actor == "star":
        deaths = len(list(NUMBERED.iterdir()))
        if deaths < DEATHS:
            (NUMBERED / str(deaths)).touch()
            os.kill(os.getppid() if VICTIM == "parent" else os.getpid(), SIGNAL)
            signal.pause()
    return stage(landed, *rest)

intake._stage = dying
"""
"""Kills so many processes that read what the actor star delivered. A new worker imports it as well: it stands in a
file."""


def run_dying(workspace: Path, deaths: int, by: signal.Signals, victim: str = "worker") -> "subprocess.Popen[str]":
    numbered = workspace / "deaths"
    numbered.mkdir()
    program = workspace / "dying_run.py"
    program.write_text(DYING + textwrap.dedent(RUN))
    arguments = [str(workspace / "afstem.toml"), AS_OF.isoformat(), str(deaths), str(int(by)), victim, str(numbered)]
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Happened:
    workspace = shutil.copytree(SAMPLE_DATA, tmp_path_factory.mktemp("whole") / "undisturbed")
    return happened(workspace, load_and_run(workspace))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = shutil.copytree(SAMPLE_DATA, tmp_path / "killed")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    return workspace


def test_a_kill_of_the_run_while_records_are_judged_leaves_a_store_that_the_next_run_completes(
    workspace: Path, undisturbed: Happened
) -> None:
    with run_dying(workspace, 1, signal.SIGKILL, "parent") as run:
        run.communicate(timeout=120)
    assert run.returncode == -signal.SIGKILL
    assert not list((workspace / "reports").glob("*/run.json"))
    summary = pipeline.run(pipeline.Request(workspace / "afstem.toml", AS_OF))
    assert happened(workspace, summary) == undisturbed


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_once_is_replaced_and_nobody_notices(
    workspace: Path, undisturbed: Happened, by: signal.Signals
) -> None:
    with run_dying(workspace, 1, by) as run:
        out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert "died while it read" in err
    assert happened(workspace, json.loads(out)[0]) == undisturbed


def test_an_extract_that_two_workers_die_of_is_refused_and_no_other_is_touched(
    workspace: Path, undisturbed: Happened
) -> None:
    with run_dying(workspace, 99, signal.SIGSEGV) as run:
        out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    summary = json.loads(out)[0]
    assert len(list((workspace / "deaths").iterdir())) == 2
    assert summary["status"] == "completed-with-refusals"
    manifest = json.loads((Path(summary["report"]) / "run.json").read_text())
    [extract] = [extract for extract in manifest["extracts"] if extract["actor"] == "star"]
    assert (extract["state"], extract["code"], extract["reason"]) == ("refused", 1014, "breaks-reader")
    assert untouched(happened(workspace, summary)) == untouched(undisturbed)


def test_an_actor_whose_workers_are_killed_from_outside_is_taken_in_by_the_next_run(
    workspace: Path, undisturbed: Happened
) -> None:
    with run_dying(workspace, 2, signal.SIGKILL) as run:
        out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    summary = json.loads(out)[0]
    assert "star" in summary["unavailable"]
    assert untouched(happened(workspace, summary)) == untouched(undisturbed)
    pipeline.run(pipeline.Request(workspace / "afstem.toml", AS_OF))
    again = what_happened(workspace, summary)
    assert {place: value for place, (value, *_) in again.contacts.items()} == {
        place: value for place, (value, *_) in undisturbed.contacts.items()
    }


def untouched(whole: Happened) -> list[Any]:
    """The verdicts on all actors but star; who wins is another matter, for star competes with them."""
    records = [(*record[:4], record[5]) for record in whole.records if record[0] != "star"]
    return [[extract for extract in whole.extracts if extract[0] != "star"], records]


LISTENER = """
    import operator
    from afstem.workers import count_records, workers
    def listen(records):
        raise trouble
    with workers(1, "fork", listen) as beside:
        for trouble in (BrokenPipeError(), ValueError()):
            try:
                beside.call(count_records, 7)
            except type(trouble):
                print(beside.call(operator.add, 2, 3))
"""


def test_who_listens_in_vain_keeps_nobody_waiting_and_gives_no_other_its_answer() -> None:
    with script(LISTENER) as process:
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("5\n5\n", "", 0)


NO_PROCESS = """
    import multiprocessing.process as processes
    from afstem.workers import workers
    def no_process(_):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    with workers(1, "forkserver") as beside:
        processes.BaseProcess.start = no_process
        beside.call(print)
"""


def test_a_process_that_cannot_be_started_is_told_as_what_it_is() -> None:
    with script(NO_PROCESS) as process:
        err = process.communicate(timeout=60)[1]
    assert err.splitlines()[-1] == "BlockingIOError: [Errno 11] Resource temporarily unavailable"
