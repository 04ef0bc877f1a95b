"""A run whose extracts are judged on a cluster, by real schedulers and workers of Dask: the same to the byte."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_sample_data import copy_of_sample_data
from whole_run import AS_OF

from afstem import cluster, pipeline, taking_in, under_way
from afstem.errors import ClusterFailed, UsageError, WorkerDied
from afstem.settings import load_settings
from afstem.staging import RunFolder
from afstem.workers import Workers

TESTS = Path(__file__).parent

RUN = """
    import sys
    from datetime import UTC, datetime
    from types import SimpleNamespace
    from afstem import cli, clock, pipeline, settlement, taking_in
    taking_in.WORTH_A_WORKER = 0  # the sample is so small that it would be judged without workers
    settlement.RECORDS_PER_RANGE = 300
    clock.now = lambda: datetime(2026, 11, 23, 3, tzinfo=UTC)
    pipeline.secrets = SimpleNamespace(token_hex=lambda octets: "0" * 2 * octets)
    if __name__ == "__main__":
        if sys.argv.pop(1) == "threads":
            run = pipeline.run
            pipeline.run = lambda request, processes, on_records: run(request)
        cli.console()
"""
"""`afstem run` on a clock that stands still and with an id that is known, so that two runs can be compared."""


def begin_run(workspace: Path, kind: str, **environment: str) -> "subprocess.Popen[str]":
    program = workspace / "run.py"
    program.write_text(textwrap.dedent(RUN))
    command = [sys.executable, program, kind, "run", "--config", "afstem.toml", "--as-of", AS_OF.isoformat(), "--json"]
    if kind == "cluster":
        environment |= {"AFSTEM_RUN__ENGINE": "dask"}
    return subprocess.Popen(
        command,
        cwd=workspace,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_run(process: "subprocess.Popen[str]") -> tuple[int, str]:
    with process:
        _, err = process.communicate(timeout=240)
    return process.returncode, err


def differing(workspace: Path, expected: dict[str, Any]) -> list[str]:
    """What a run has left otherwise than another one."""
    found = left_behind(workspace)
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def left_behind(workspace: Path) -> dict[str, Any]:
    """All that a run leaves: every file of the report and of the landing zone, and every row of the store."""
    files = {
        str(path.relative_to(workspace)): path.read_bytes()
        for folder in (workspace / "reports", workspace / "var" / "landing")
        for path in folder.rglob("*")
        if path.is_file()
    }
    return files | store(workspace)


def store(workspace: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(workspace / "var" / "afstem.db")) as connection:
        return {"store": list(connection.iterdump())}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with its reference data: the same store, with the same keys, for every run."""
    workspace = copy_of_sample_data(tmp_path_factory.mktemp("cluster") / "prepared")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    return workspace


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "workspace")


@pytest.fixture(scope="module")
def by_threads(prepared: Path) -> dict[str, Any]:
    """What a run leaves that has no workers at all."""
    workspace = shutil.copytree(prepared, prepared.with_name("threads"))
    code, err = end_run(begin_run(workspace, "threads"))
    assert code == 3, err
    found = left_behind(workspace)
    assert any(name.endswith("rejected.csv") for name in found)
    assert len(found["store"]) > 20
    return found


@dataclass
class RealCluster:
    address: str
    deaths: Path
    processes: list["subprocess.Popen[bytes]"]

    def plan_deaths(self, whom: str, times: int) -> None:
        (self.deaths / whom).write_text(str(times))

    def died(self, whom: str) -> int:
        return len(list(self.deaths.glob(f"{whom}-*")))

    def forget_deaths(self) -> None:
        for path in self.deaths.iterdir():
            path.unlink()


@contextlib.contextmanager
def started(folder: Path, workers: int, *options: str) -> Iterator[RealCluster]:
    """A scheduler and so many workers, as an operator starts them, on this machine."""
    deaths = folder / "deaths"
    deaths.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    environment = os.environ | {
        "AFSTEM_TEST_DEATHS": str(deaths),
        "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",  # as said, and half of the usual wait
        "DASK_TEMPORARY_DIRECTORY": str(folder),
    }
    scheduler = [sys.executable, "-m", "dask", "scheduler", "--host", address, "--no-dashboard"]
    worker = [sys.executable, TESTS / "dask_worker.py", address, "--nthreads", "1", "--no-dashboard", *options]
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context((folder / "log").open("wb"))
        running = RealCluster(address, deaths, [])
        for command in [scheduler] + [worker] * workers:
            process = subprocess.Popen(command, env=environment, stdout=logs, stderr=logs, cwd=folder)
            running.processes.append(process)
            stack.callback(end, process)
        while (folder / "log").read_bytes().count(b"Starting worker compute stream") < workers:
            assert all(process.poll() is None for process in running.processes), (folder / "log").read_text()
            time.sleep(0.05)
        yield running


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with started(tmp_path_factory.mktemp("dask"), 2) as running:
        yield running


@pytest.fixture
def two_workers(of_two: RealCluster) -> Iterator[RealCluster]:
    of_two.forget_deaths()
    yield of_two
    of_two.forget_deaths()


# --- the same to the byte --------------------------------------------------------------------------------------------


def test_processes_come_to_the_same_as_threads(workspace: Path, by_threads: dict[str, Any]) -> None:
    assert end_run(begin_run(workspace, "processes"))[0] == 3
    assert differing(workspace, by_threads) == []


def test_a_cluster_comes_to_the_same(workspace: Path, by_threads: dict[str, Any], two_workers: RealCluster) -> None:
    code, err = end_run(begin_run(workspace, "cluster", AFSTEM_RUN__CLUSTER=two_workers.address))
    assert code == 3, err
    assert err == "WARNING kommune-013: unavailable: no-such-folder\n"
    assert differing(workspace, by_threads) == []
    assert b"Traceback" not in (two_workers.deaths.parent / "log").read_bytes()


def test_a_run_without_an_address_starts_a_cluster_that_ends_with_it(
    workspace: Path, by_threads: dict[str, Any]
) -> None:
    code, err = end_run(begin_run(workspace, "cluster"))
    assert code == 3, err
    assert err == "WARNING kommune-013: unavailable: no-such-folder\n"
    assert differing(workspace, by_threads) == []


def test_a_worker_that_is_killed_half_way_loses_nothing_and_repeats_nothing(
    workspace: Path, by_threads: dict[str, Any], two_workers: RealCluster
) -> None:
    two_workers.plan_deaths("dask", 1)
    code, err = end_run(begin_run(workspace, "cluster", AFSTEM_RUN__CLUSTER=two_workers.address))
    assert code == 3, err
    assert two_workers.died("dask") == 1
    assert differing(workspace, by_threads) == []


def test_a_file_that_kills_its_reader_is_refused_and_harms_no_worker_of_dask(
    workspace: Path, two_workers: RealCluster
) -> None:
    two_workers.plan_deaths("beside", 99)
    code, err = end_run(begin_run(workspace, "cluster", AFSTEM_RUN__CLUSTER=two_workers.address))
    assert code == 3, err
    assert two_workers.died("beside") == 2
    [told] = workspace.glob("reports/*/run.json")
    [extract] = [extract for extract in json.loads(told.read_text())["extracts"] if extract["actor"] == "star"]
    assert (extract["state"], extract["code"], extract["reason"]) == ("refused", 1014, "breaks-reader")


# --- and when it fails -----------------------------------------------------------------------------------------------


def test_workers_killed_one_after_the_other_fail_the_run_and_the_next_completes(
    workspace: Path, by_threads: dict[str, Any], two_workers: RealCluster
) -> None:
    before = store(workspace)
    two_workers.plan_deaths("dask", 99)
    code, err = end_run(begin_run(workspace, "cluster", AFSTEM_RUN__CLUSTER=two_workers.address))
    assert code == 1
    assert err.splitlines()[-1].startswith("afstem: the workers of the cluster were killed one after the other")
    assert two_workers.died("dask") == 2
    assert store(workspace) == before
    assert not list((workspace / "reports").glob("*/run.json"))
    two_workers.forget_deaths()
    code, err = end_run(begin_run(workspace, "cluster", AFSTEM_RUN__CLUSTER=two_workers.address))
    assert code == 3, err
    assert differing(workspace, by_threads) == []


def test_a_cluster_that_cannot_be_reached_is_one_line(workspace: Path) -> None:
    before = store(workspace)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    code, err = end_run(begin_run(workspace, "cluster", AFSTEM_RUN__CLUSTER=nobody, AFSTEM_RUN__CLUSTER_SECONDS="0.5"))
    assert (code, err) == (1, f"afstem: the cluster at {nobody} cannot be reached: nothing was changed\n")
    assert store(workspace) == before


@pytest.mark.parametrize("lost", ["workers", "scheduler"])
def test_a_cluster_that_is_lost_fails_the_run(workspace: Path, tmp_path: Path, lost: str) -> None:
    before = store(workspace)
    with started(tmp_path / "dask", 1, "--no-nanny") as running:
        scheduler, worker = running.processes
        running.plan_deaths("dask", 1 if lost == "workers" else 0)
        run = begin_run(
            workspace,
            "cluster",
            AFSTEM_RUN__CLUSTER=running.address,
            AFSTEM_RUN__CLUSTER_SECONDS="20" if lost == "scheduler" else "2",
            DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
        )
        if lost == "scheduler":
            eventually(lambda: bool(list(workspace.glob("var/landing/.runs/*/attempts/*"))), run)
            worker.send_signal(signal.SIGSTOP)
            scheduler.kill()
        code, err = end_run(run)
        worker.send_signal(signal.SIGCONT)
    said = {
        "workers": "afstem: the cluster has had no worker for 2 s",
        "scheduler": "afstem: the scheduler of the cluster was lost",
    }
    assert code == 1, err
    assert err.splitlines()[-1].startswith(said[lost])
    assert "Traceback" not in err
    assert store(workspace) == before


def eventually(happened: Callable[[], bool], run: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.01)


# --- workers that are not as they should be --------------------------------------------------------------------------


def raised_by(*asked: Any) -> BaseException:
    result, _, records = cluster.do(*asked)
    assert records == 0
    assert isinstance(result, BaseException)
    return result


def test_a_worker_with_other_libraries_judges_nothing() -> None:
    trouble = raised_by(os.getpid, (), False, cluster.made_of() | {"phonenumbers": "9.0.0"})
    assert isinstance(trouble, ClusterFailed)
    assert str(trouble).startswith("a worker of the cluster has phonenumbers ")
    assert str(trouble).endswith("this machine 9.0.0: install the same on all")


def test_a_worker_with_another_afstem_judges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = cluster.made_of()
    shutil.copytree(Path(cluster.__file__).parent, tmp_path / "afstem", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cluster, "__file__", str(tmp_path / "afstem" / "cluster.py"))
    assert cluster.made_of.__wrapped__() == here
    with (tmp_path / "afstem" / "rules.py").open("a") as file:
        file.write("\n")
    assert cluster.made_of.__wrapped__() != here


def test_a_worker_that_may_not_begin_processes_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    trouble = raised_by(os.getpid, (), False, cluster.made_of())
    assert isinstance(trouble, ClusterFailed)
    assert "DASK_DISTRIBUTED__WORKER__DAEMON=False" in str(trouble)


def test_what_is_raised_comes_back_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: str) -> None:
        raise ValueError(words)

    class Here(Workers):
        def call(self, function: Any, *arguments: Any) -> Any:
            raise arguments[1][0]

    monkeypatch.setattr(cluster, "_processes_beside", Here)
    trouble = raised_by(fail, (ValueError("0207901231"),), False, {})
    assert str(trouble).startswith("internal error: ValueError at cluster.py:")
    assert trouble.__traceback__ is None
    death = raised_by(fail, (WorkerDied(signal.SIGKILL),), False, {})
    assert isinstance(death, WorkerDied)
    assert death.killed_from_outside


@pytest.mark.parametrize("differs", ["codes", "store", "nothing"])
def test_a_worker_judges_by_the_configuration_and_the_store_of_the_run(workspace: Path, differs: str) -> None:
    config = workspace / "afstem.toml"
    with pipeline.begin(pipeline.Request(config, AS_OF), Workers()) as run:
        folder = run.folder.path
        (workspace / "other.toml").write_text('[codes]\n"1" = "mobile"\n')
        if differs == "codes":
            config.write_text(config.read_text().replace("[paths]", '[paths]\ncodelist = "other.toml"'))
        elif differs == "store":
            config.write_text(config.read_text().replace("afstem.db", "other.db"))
            pipeline.load_reference(config, workspace / "reference")
        said = {"codes": "reads another configuration", "store": "opens another store", "nothing": ""}[differs]
        raised = pytest.raises(UsageError, match=said) if said else contextlib.nullcontext()
        with raised:
            assert under_way._handed.__wrapped__(folder).plan == run.plan


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('engine = "ray"', "run.engine"),
        ('cluster = "127.0.0.1:8786"', "run.cluster"),
        ('cluster = "tcp://me:secret@host:8786"', "run.cluster"),
        ("cluster_seconds = 0.0", "run.cluster_seconds"),
    ],
)
def test_wrong_settings_are_one_line(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "afstem.toml").write_text(f"[run]\n{line}\n")
    with pytest.raises(UsageError) as raised:
        load_settings(tmp_path / "afstem.toml", {})
    assert f"afstem.toml: {said}: " in str(raised.value)
    assert "secret" not in str(raised.value)


def test_dask_is_asked_for_where_it_is_not_installed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFSTEM_RUN__ENGINE", "dask")
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"run\.engine: dask needs pip install 'afstem\[dask\]'"):
        pipeline.run(pipeline.Request(workspace / "afstem.toml", AS_OF))


def test_a_cluster_is_told_no_token_and_no_secret(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a call is given is what this machine sends."""
    sent: list[tuple[str, tuple[Any, ...]]] = []

    class Listening(Workers):
        def call(self, function: Any, *arguments: Any) -> Any:
            sent.append((function.__name__, arguments))
            return function(*arguments)

    monkeypatch.setattr(taking_in, "WORTH_A_WORKER", 0)
    with pipeline.begin(pipeline.Request(workspace / "afstem.toml", AS_OF), Listening()) as run:
        taking_in.take_in(run, "a-kasse-02")
        assert (run.folder.path / "memory" / "a-kasse-02").exists()
    assert {name for name, _ in sent} == {"judge", "remember_findings"}
    extracts = [arguments[1] for name, arguments in sent if name == "judge"]
    assert any(path.suffix == ".jwt" for path in extracts[0].path.parent.iterdir())
    assert all(extract.token is None for extract in extracts)
    assert "eyJ" not in json.dumps(sent, default=str)
    assert RunFolder(run.folder.path).deliveries()["a-kasse-02"]["delivery"] == "delivered"
