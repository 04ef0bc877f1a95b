"""A real Prefect server on loopback, with a home of its own and nothing else on it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

Answer = TypeVar("Answer")

PATIENCE_SECONDS = 240
"""No test is about how long something takes; after this, it does not come."""

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # it calls a service on the internet from the browser
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
}


@dataclass(frozen=True)
class PrefectServer:
    """``environment`` is what a process needs that is to use it."""

    url: str
    home: Path
    environment: dict[str, str]

    def get(self, path: str) -> Any:
        return self._ask("GET", path).json()

    def post(self, path: str, content: Any) -> Any:
        answer = self._ask("POST", path, content)
        return answer.json() if answer.content else None

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def _ask(self, method: str, path: str, content: Any = None) -> httpx.Response:
        """Ask again where the server says so, as Prefect's own client does: writers lock each other out of SQLite."""

        def answered() -> httpx.Response | None:
            answer = httpx.request(method, f"{self.url}/api{path}", json=content, timeout=60)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        return waited_for(lambda: [answer] if (answer := answered()) is not None else None)[0].raise_for_status()

    def runs_of(self, deployment: str, *states: str) -> list[dict[str, Any]]:
        """The flow runs of a deployment, such as ``reconcile/nightly``, in states of these types (all)."""
        chosen: dict[str, Any] = {
            "deployments": {"id": {"any_": [self.get(f"/deployments/name/{deployment}")["id"]]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        if states:
            chosen["flow_runs"] = {"state": {"type": {"any_": list(states)}}}
        runs: list[dict[str, Any]] = self.post("/flow_runs/filter", chosen)
        return runs

    def start(self, deployment: str, **parameters: Any) -> str:
        """Ask for a run; its id."""
        found = self.get(f"/deployments/name/{deployment}")["id"]
        made = self.post(f"/deployments/{found}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def state_of(self, run: str) -> dict[str, Any]:
        state: dict[str, Any] = self.get(f"/flow_runs/{run}")["state"]
        return state

    def ended(self, run: str) -> dict[str, Any]:
        """The state in which a run has ended, waited for."""
        over = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return waited_for(lambda: state if (state := self.state_of(run))["type"] in over else None)

    @contextmanager
    def beside(self, log: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """A process that uses the server, until the end of the block."""
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
            try:
                yield process
            finally:
                process.terminate()
                process.wait(timeout=120)


def waited_for(found: Callable[[], Answer | None]) -> Answer:
    """What a function gives as soon as it gives something."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (answer := found()):
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.3)
    return answer


def prefect(name: str = "prefect") -> Path:
    return Path(sys.executable).with_name(name)


def bootstrap(server: PrefectServer, config: Path) -> dict[str, Any]:
    """What `afstem bootstrap` says, having set the server up."""
    command = [prefect("afstem"), "bootstrap", "--config", config, "--json"]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextmanager
def running_server(folder: Path) -> Iterator[PrefectServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | QUIET | {"PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": f"{url}/api"}
    server = PrefectServer(url, folder / "home", environment)
    start = (prefect(), "server", "start", "--host", "127.0.0.1", "--port", str(port))
    with server.beside(folder / "server.log", *start) as process:
        waited_for(lambda: _is_up(server) or _has_ended(process, folder / "server.log"))
        yield server


def _is_up(server: PrefectServer) -> bool:
    try:
        return bool(server.get("/health"))
    except httpx.HTTPError:
        return False


def _has_ended(process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return False
