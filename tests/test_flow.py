"""The Prefect flow, with Prefect's real API: the same outcome as `afstem run`, and nothing personal in its hands."""

import base64
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import reference
from leak_search import files_under, secrets_of
from prefect.logging import disable_run_logger
from prefect.serializers import PickleSerializer
from prefect.states import Failed
from prefect_server import PrefectServer, waited_for
from test_sample_data import copy_of_sample_data
from whole_run import AS_OF, load_and_run, what_happened

from afstem import pipeline
from afstem.errors import AfstemError, InternalError, SourceUnavailable, UsageError

FLOW = Path(__file__).parents[1] / "flows" / "reconcile.py"


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer
) -> tuple[Path, subprocess.CompletedProcess[str], Path]:
    """The flow, started from a shell over a copy of the sample data, and recorded by the server whose home is given."""
    workspace = copy_of_sample_data(tmp_path_factory.mktemp("flow") / "workspace")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    command = [sys.executable, FLOW, "--config", workspace / "afstem.toml", "--as-of", AS_OF.isoformat(), "--json"]
    done = subprocess.run(
        command, env=prefect_server.environment, capture_output=True, text=True, timeout=300, check=False
    )
    return workspace, done, prefect_server.home


@pytest.fixture(scope="module")
def summary(ran: tuple[Path, subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    _, done, _ = ran
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_flow_and_command_come_to_the_same(
    ran: tuple[Path, subprocess.CompletedProcess[str], Path], summary: dict[str, Any], tmp_path: Path
) -> None:
    by_flow = what_happened(ran[0], summary)
    other = copy_of_sample_data(tmp_path / "workspace")
    by_command = what_happened(other, load_and_run(other))
    assert by_flow.records == by_command.records
    assert by_flow.extracts == by_command.extracts
    assert by_flow.history == by_command.history
    assert by_flow.unavailable == by_command.unavailable
    assert by_flow.contacts.keys() == by_command.contacts.keys()


def test_prefect_sees_a_task_an_actor_and_states_that_tell_the_truth(
    ran: tuple[Path, subprocess.CompletedProcess[str], Path], summary: dict[str, Any], prefect_server: PrefectServer
) -> None:
    workspace, _, _ = ran
    [run] = prefect_server.post(
        "/flow_runs/filter", {"flow_runs": {"name": {"like_": f"reconcile as of {AS_OF.isoformat()}"}}}
    )
    assert run["state_name"] == "CompletedWithRefusals"
    actors = [actor.id for actor in reference.read_actors(workspace / "actors.toml", workspace)]
    of_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}

    def all_ended() -> dict[str, str] | None:
        """The server takes its time to write down what tasks tell."""
        found = prefect_server.post("/task_runs/filter", of_run)
        over = [task for task in found if task["state_type"] in ("COMPLETED", "FAILED")]
        return {task["name"]: task["state_name"] for task in over} if len(over) == len(actors) + 4 else None

    tasks = waited_for(all_ended)
    taken_in = {task.removeprefix("take in "): state for task, state in tasks.items() if task.startswith("take in ")}
    assert sorted(taken_in) == sorted(actors)
    assert [actor for actor, state in taken_in.items() if state == "Failed"] == summary["unavailable"]
    assert sum(task.startswith(("reconcile", "prepare report", "apply", "report")) for task in tasks) == 4


def test_nothing_personal_reaches_prefect(ran: tuple[Path, subprocess.CompletedProcess[str], Path]) -> None:
    """Its database, table by table, its results and its logs; runs in which something fails: `faults/test_leaks.py`."""
    workspace, done, home = ran
    secrets = secrets_of(workspace)
    assert len(secrets.numbers) > 1000
    assert len(secrets.phones) + len(secrets.emails) > 1000
    kept = list(files_under(home))
    assert sum(len(content) for name, content in kept if "prefect.db" in name) > 100_000
    # Of results none is kept. Of a run that was refused, in whatever test before, Prefect keeps why: our own words.
    results = [PickleSerializer().loads(content) for name, content in kept if Path(name).parent == home / "storage"]
    assert [result for result in results if not isinstance(result, AfstemError)] == []
    told = (done.stdout + done.stderr).encode()
    assert secrets.found_in(told, *(part for name, content in kept for part in (name.encode(), content))) == set()
    # The control: the same search finds one that is planted there, and all where they may stand.
    planted = min(secrets.numbers)
    database = next(content for name, content in kept if name.endswith("prefect.db"))
    packed = b'{"message": "' + base64.b64encode(f"no such citizen: {planted}".encode()) + b'"}'
    assert secrets.found_in(database + packed) == {planted}
    found = secrets.found_in((workspace / "var" / "afstem.db").read_bytes())
    assert found & secrets.numbers
    assert found & secrets.emails


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the flow, which belongs to no package."""
    monkeypatch.syspath_prepend(str(FLOW.parent))
    return importlib.import_module("reconcile")


@pytest.mark.parametrize(
    ("trouble", "again"),
    [
        (SourceUnavailable("time-out", transient=True), True),
        (SourceUnavailable("no-such-folder", transient=False), False),
        (InternalError("a bug"), False),
    ],
)
def test_only_the_network_is_tried_again(flow: ModuleType, trouble: Exception, again: bool) -> None:
    assert flow._is_transient(flow.take_in, None, Failed(data=trouble)) is again
    assert flow.take_in.retries > 0
    assert flow.take_in.retry_jitter_factor > 0


def test_what_is_to_be_released_reaches_the_run(flow: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def begin(request: pipeline.Request, _: object) -> None:
        asked.append(request)
        raise UsageError("x is not a held extract")

    monkeypatch.setattr(pipeline, "begin", begin)
    with disable_run_logger(), pytest.raises(UsageError):
        flow.reconcile_contacts.fn("afstem.toml", AS_OF, None, True, ["a-kasse-01-0123456789ab"])
    assert asked == [pipeline.Request(Path("afstem.toml"), AS_OF, dry_run=True, release=("a-kasse-01-0123456789ab",))]


@pytest.mark.parametrize(
    ("source", "at_once", "threads"),
    [
        ("extracts/star", 1, 1),
        ("extracts/star", 16, 4),
        ("https://localhost/star/", 3, 3),
        ("https://localhost/star/", 16, 16),
    ],
)
def test_as_many_actors_at_once_as_the_configuration_says(
    flow: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, at_once: int, threads: int
) -> None:
    """The same for the flow as for the command."""
    workspace = copy_of_sample_data(tmp_path / "workspace")
    (workspace / "afstem.toml").write_text((workspace / "afstem.toml").read_text() + f"\n[pull]\nat_once = {at_once}\n")
    actors = (workspace / "actors.toml").read_text()
    (workspace / "actors.toml").write_text(actors.replace('"extracts/star"', f'"{source}"'))
    given = []

    class EnoughError(Exception):
        pass

    def thread_pool(max_workers: int) -> None:
        given.append(max_workers)
        raise EnoughError

    monkeypatch.setattr(flow, "ThreadPoolTaskRunner", thread_pool)
    monkeypatch.setattr(pipeline, "ThreadPoolExecutor", thread_pool)
    monkeypatch.setattr(flow, "Teller", lambda steps: None)
    with disable_run_logger(), pytest.raises(InternalError, match="EnoughError"):
        flow.reconcile_contacts.fn(str(workspace / "afstem.toml"), AS_OF)
    with pytest.raises(InternalError, match="EnoughError"):
        pipeline.run(pipeline.Request(workspace / "afstem.toml", AS_OF))
    assert given == [threads] * 2


def test_wrong_usage_from_a_shell_is_one_line_and_exit_code_2(
    flow: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reconcile_contacts(*asked: object) -> None:
        assert asked[-1] == ["x"]
        raise UsageError("x is not a held extract")

    monkeypatch.setattr(flow, "reconcile_contacts", reconcile_contacts)
    monkeypatch.setattr(sys, "argv", ["reconcile.py", "--release", "x"])
    with pytest.raises(SystemExit) as done:
        flow.main()
    assert done.value.code == 2
    assert capsys.readouterr().err == "reconcile: x is not a held extract\n"


def test_the_form_in_the_ui_explains_itself(flow: ModuleType) -> None:
    properties = flow.reconcile_contacts.parameters.properties
    assert set(properties) == {"config", "as_of", "actors", "dry_run", "release"}
    assert all(len(field["description"]) > 20 for field in properties.values())


@pytest.mark.parametrize("typed", ["0741000012", "074100-0012", "20999917", "kanariefugl@eksempel.dk"])
def test_what_is_typed_by_mistake_stops_the_run_and_is_not_repeated(flow: ModuleType, typed: str) -> None:
    """Where the form's own check was switched off."""
    for asked in (("afstem.toml", AS_OF, [typed]), ("afstem.toml", AS_OF, None, True, [typed]), (typed, AS_OF)):
        with disable_run_logger(), pytest.raises(UsageError) as told:
            flow.reconcile_contacts.fn(*asked)
        assert typed not in str(told.value)


# --- secrets of sources ----------------------------------------------------------------------------------------------

READ_A_BLOCK = """
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings
from afstem.errors import SourceUnavailable
from afstem.settings import Actor, source_secrets

actor = Actor(id="a-b", name="A", type="kommune", source="sftp://h/x")
with temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 180}):
    Secret(value="open sesame").save("a-b-sftp")
    secrets = source_secrets(actor, {"AFSTEM_SOURCE__A_B__PASSWORD_BLOCK": "a-b-sftp"})
    print(secrets.get("password") == "open sesame", secrets)
    try:
        source_secrets(actor, {"AFSTEM_SOURCE__PASSWORD_BLOCK": "another"})
    except SourceUnavailable as error:
        print(error.reason, error.transient)
"""


@pytest.mark.flow
def test_a_secret_of_a_source_comes_from_a_block_of_prefect(tmp_path: Path) -> None:
    environment = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL"}
    done = subprocess.run(
        [sys.executable, "-c", READ_A_BLOCK], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    read, missing = done.stdout.splitlines()
    assert read.startswith("True <afstem.settings.SourceSecrets object")
    assert missing == "no-credentials False"
    assert "open sesame" not in done.stdout + done.stderr
