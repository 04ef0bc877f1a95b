"""A worker and its run are killed: the run does not stay Running for ever, nor does it keep the next night out."""

import os
import signal
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest
from prefect_server import PrefectServer, bootstrap, prefect, running_server, waited_for
from source_servers import HOST, WebServer
from test_sample_data import copy_of_sample_data

from afstem import pipeline
from afstem.orchestration.store_limit import STORE_LIMIT

pytestmark = [pytest.mark.flow, pytest.mark.soak]  # two minutes of waiting

SLOW = """
[[actor]]
id       = "a-slow-one"
name     = "Another"
type     = "kommune"
source   = "http://{host}:{port}/"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    """A server of its own, for runs are waited for in other tests that count them."""
    with running_server(tmp_path) as running:
        yield running


def family(pid: int) -> list[int]:
    """A process and all that it has begun."""
    children = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return [pid, *(one for child in children for one in family(child))]


def test_a_killed_run_is_told_and_keeps_nobody_out(server: PrefectServer, tmp_path: Path) -> None:
    """With the automation and the leases as they are: two minutes, in which little is done but to wait."""
    workspace = copy_of_sample_data(tmp_path / "workspace")
    config, slow = workspace / "afstem.toml", workspace / "slow.toml"
    pipeline.load_reference(config, workspace / "reference")
    told = bootstrap(server, config)
    worker = (prefect(), "worker", "start", "--pool", told["pool"])
    asked, enough = Event(), Event()

    def silent(_: SimpleHTTPRequestHandler) -> None:
        asked.set()
        enough.wait()

    with WebServer(tmp_path, answers={"/": silent}).running() as web:
        actors = (workspace / "actors.toml").read_text(encoding="utf-8")
        (workspace / "slow-actors.toml").write_text(actors + SLOW.format(host=HOST, port=web.port), encoding="utf-8")
        settings = config.read_text(encoding="utf-8").replace("actors.toml", "slow-actors.toml")
        slow.write_text(settings + "[pull]\nread_seconds = 600.0\n", encoding="utf-8")
        try:
            with server.beside(tmp_path / "killed.log", *worker) as process:
                killed = server.start("reconcile/nightly", config=str(slow))
                waited_for(asked.is_set)
                assert server.state_of(killed)["type"] == "RUNNING"
                assert server.get(f"/v2/concurrency_limits/{STORE_LIMIT}")["active_slots"] == 1
                # The control: a night that is alive keeps the next one out.
                assert server.ended(server.start("reconcile/nightly"))["name"] == "Cancelled"
                victims = family(process.pid)
                assert len(victims) > 2, "the worker, the run, and the run's own workers"
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
        finally:
            enough.set()
    with server.beside(tmp_path / "next.log", *worker):
        by_hand = server.start("reconcile/ad-hoc", dry_run=False)
        state = waited_for(lambda: state if (state := server.state_of(killed))["type"] != "RUNNING" else None)
        assert state["name"] == "Crashed"
        assert state["message"].startswith("No sign of life for 90 s")
        # By the lease that nobody renews, the limit is free again; by its end, so is the night's own place.
        assert server.ended(by_hand)["name"] == "CompletedWithRefusals"
        assert server.ended(server.start("reconcile/nightly"))["name"] == "CompletedWithRefusals"
        assert server.state_of(killed)["name"] == "Crashed", "it ended once"
