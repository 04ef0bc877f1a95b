"""What operators have of Prefect: deployments, schedule, form, artifacts, limit, states; with a server and browser."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from browser import Browser
from playwright.sync_api import Page, Response
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_server import PrefectServer, bootstrap, prefect, waited_for
from test_sample_data import SAMPLE_DATA, copy_of_sample_data

from afstem import pipeline
from afstem.orchestration.bootstrap import FLOWS, ZOMBIES, zombie_automation
from afstem.orchestration.deployments import deployments
from afstem.orchestration.store_limit import STORE_LIMIT

pytestmark = pytest.mark.flow

PROJECT = SAMPLE_DATA.parent
DECLARED = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
VALIDATE = "/ui/schemas/validate"
CPR_NUMBERS = "0741000012", "074100-0012"  # no month has 41 days


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = copy_of_sample_data(tmp_path_factory.mktemp("prefect") / "workspace")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    return workspace / "afstem.toml"


@pytest.fixture(scope="module")
def set_up(prefect_server: PrefectServer, config: Path) -> dict[str, Any]:
    return bootstrap(prefect_server, config)


@pytest.fixture(scope="module")
def server(prefect_server: PrefectServer, set_up: dict[str, Any]) -> PrefectServer:
    """A server that has been set up."""
    return prefect_server


@pytest.fixture(scope="module")
def worker(server: PrefectServer, set_up: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = tmp_path_factory.mktemp("worker") / "log"
    with server.beside(log, prefect(), "worker", "start", "--pool", set_up["pool"]):
        yield


def test_one_command_sets_all_up_and_the_second_time_changes_nothing(
    server: PrefectServer, set_up: dict[str, Any], config: Path
) -> None:
    assert len(set_up["changed"]) == 3 + len(DECLARED)
    assert set_up["advice"] == []
    assert server.get(f"/v2/concurrency_limits/{STORE_LIMIT}")["limit"] == 1
    assert bootstrap(server, config)["changed"] == []
    # What somebody spoils is mended, and nothing else is touched.
    server.delete(f"/v2/concurrency_limits/{STORE_LIMIT}")
    assert bootstrap(server, config)["changed"] == [f"concurrency limit {STORE_LIMIT}"]


def test_what_is_registered_is_what_the_file_says(server: PrefectServer) -> None:
    assert [told["name"] for told in DECLARED] == ["nightly", "ad-hoc", "reference-load"]
    for told in DECLARED:
        flow = "reference-load" if told["name"] == "reference-load" else "reconcile"
        found = server.get(f"/deployments/name/{flow}/{told['name']}")
        assert found["entrypoint"] == told["entrypoint"]
        assert found["description"] == told["description"]
        assert found["parameters"].keys() == told["parameters"].keys()
        assert found["parameters"].get("dry_run") == told["parameters"].get("dry_run")
        assert found["enforce_parameter_schema"]
        assert found["work_pool_name"] == told["work_pool"]["name"]
        assert found["job_variables"] == told["work_pool"]["job_variables"]
        assert found["global_concurrency_limit"]["limit"] == told["concurrency_limit"]["limit"]
        strategy = found["concurrency_options"]["collision_strategy"]
        assert strategy == told["concurrency_limit"]["collision_strategy"]
        schedules = [
            (one["schedule"]["cron"], one["schedule"]["timezone"], one["active"]) for one in found["schedules"]
        ]
        assert schedules == [(one["cron"], one["timezone"], one["active"]) for one in told["schedules"]]


def test_with_and_without_a_worker_the_deployments_are_the_same(config: Path) -> None:
    of_pool = {"work_pool_name", "work_queue_name", "job_variables"}
    served = [one.model_dump(exclude=of_pool) for one in deployments(config, for_worker=False)]
    registered = [one.model_dump(exclude=of_pool) for one in deployments(config, for_worker=True)]
    for one in (*served, *registered):
        del one["storage"]  # an object of its own each time
    assert served == registered
    assert [one["name"] for one in served] == [told["name"] for told in DECLARED]


def test_prefects_own_deploy_reads_the_same_file(server: PrefectServer, config: Path) -> None:
    environment = server.environment | {"AFSTEM_CONFIG": str(config)}
    command = [prefect(), "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    # But for the forms, in which only we know the actors, there is nothing to mend.
    changed = bootstrap(server, config)["changed"]
    assert changed == ["deployment reconcile/nightly", "deployment reconcile/ad-hoc"]


def test_scheduled_runs_really_appear(server: PrefectServer) -> None:
    """No library's version tells that its scheduler dies in silence (pyproject); that no night is planned does."""
    runs = waited_for(lambda: found if len(found := server.runs_of("reconcile/nightly", "SCHEDULED")) >= 3 else None)
    times = [datetime.fromisoformat(run["expected_start_time"]) for run in runs]
    local = [time.astimezone(ZoneInfo("Europe/Copenhagen")) for time in times]
    assert {(time.hour, time.minute) for time in local} == {(4, 0)}
    assert len({time.date() for time in local}) == len(times)
    assert not any(run["parameters"]["dry_run"] for run in runs)
    assert server.runs_of("reconcile/ad-hoc", "SCHEDULED") == []


@pytest.mark.parametrize(
    "parameters",
    [
        *({name: [number]} for name in ("release", "actors") for number in CPR_NUMBERS),
        *({"config": f"{number}.toml"} for number in CPR_NUMBERS),
        {"release": ["20999917"]},
        {"actors": ["kanariefugl@eksempel.dk"]},
        {"actors": ["no-such-actor"]},
        {"as_of": "yesterday"},
        {"dry_run": "perhaps"},
    ],
)
def test_what_does_not_belong_in_the_form_makes_no_run(server: PrefectServer, parameters: dict[str, Any]) -> None:
    before = len(server.runs_of("reconcile/ad-hoc"))
    with pytest.raises(httpx.HTTPStatusError):
        server.start("reconcile/ad-hoc", **parameters)
    assert len(server.runs_of("reconcile/ad-hoc")) == before


def submit(page: Page, asked: str) -> None:
    """Submit Prefect's form, again where the server is busy; ``asked`` is what the page asks of it last.

    Writers lock each other out of SQLite; the server says so (503), and its page, unlike its client, asks no more.
    """

    def answers(answer: Response) -> bool:
        return answer.url.endswith(asked) or (answer.url.endswith(VALIDATE) and not answer.ok)

    def submitted() -> bool:
        with page.expect_response(answers) as answer:
            page.get_by_role("button", name="Submit").click()
        assert answer.value.ok or answer.value.status == httpx.codes.SERVICE_UNAVAILABLE, answer.value
        return answer.value.ok

    waited_for(submitted)


def test_ad_hoc_from_the_form_to_the_artifacts(server: PrefectServer, worker: None, browser: Browser) -> None:
    deployment = server.get("/deployments/name/reconcile/ad-hoc")["id"]
    with browser.context() as context, context.new_page() as page:
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url))
        page.goto(f"{server.url}/deployments/deployment/{deployment}/run")
        page.get_by_text("Select date").wait_for()
        form = page.inner_text("body")
        for field in server.get(f"/deployments/{deployment}")["parameter_openapi_schema"]["properties"].values():
            assert " ".join(field["description"].split()) in " ".join(form.split())
        assert page.get_by_role("checkbox").first.is_checked(), "a dry run, unless it is switched off"
        page.get_by_role("button", name="Add item").click()
        page.locator("textarea").last.fill(CPR_NUMBERS[0])
        page.keyboard.press("Tab")  # else what was typed may come to the form after the click
        submit(page, VALIDATE)
        page.get_by_text("does not match").wait_for()
        assert server.runs_of("reconcile/ad-hoc") == []
        page.reload()
        page.get_by_text("Select date").wait_for()
        # Somebody else holds the store, as a night would: the run waits.
        held = server.post(
            "/v2/concurrency_limits/increment-with-lease",
            {"names": [STORE_LIMIT], "slots": 1, "mode": "concurrency", "lease_duration": 300},
        )
        submit(page, "/create_flow_run")
        [run] = waited_for(lambda: server.runs_of("reconcile/ad-hoc", "RUNNING"))
        tasks = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        assert server.post("/task_runs/filter", tasks) == []
        server.post("/v2/concurrency_limits/decrement-with-lease", {"lease_id": held["lease_id"]})
        assert server.ended(run["id"])["name"] == "CompletedWithRefusals"
        page.goto(f"{server.url}/runs/flow-run/{run['id']}")
        page.get_by_text("CompletedWithRefusals").first.wait_for()
        page.get_by_text(f"reconcile as of {datetime.now(UTC):%Y}").first.wait_for()
        artifacts = {
            artifact["key"]: artifact
            for artifact in server.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
        }
        assert artifacts.keys() == {"progress", "summary", "codes", "actors", "report"}
        assert artifacts["progress"]["data"] == 100
        for key, shown in (("summary", "What needs a person"), ("codes", "9158"), ("actors", "jobcenter-01200")):
            page.goto(f"{server.url}/artifacts/artifact/{artifacts[key]['id']}")
            page.get_by_text(shown).first.wait_for()
        page.goto(f"{server.url}/artifacts/artifact/{artifacts['report']['id']}")
        page.get_by_role("link", name="Report of").wait_for()
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {server.url.split("/")[2]}


def test_a_run_that_fails_tells_why(server: PrefectServer, worker: None) -> None:
    run = server.start("reconcile/nightly", release=["a-kasse-01-0123456789ab"])
    state = server.ended(run)
    assert state["name"] == "Failed"
    assert "a-kasse-01-0123456789ab is not a held extract" in state["message"]


def test_a_run_that_is_not_heard_of_has_crashed_and_one_that_has_ended_has_not(server: PrefectServer) -> None:
    """Told by events, as runs and their ends are; with less patience, for the real one takes too long."""
    flow = server.post("/flows/", {"name": FLOWS[0]})["id"]
    killed, ended = (
        server.post("/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}})["id"] for _ in range(2)
    )
    quick = zombie_automation()
    quick.name, quick.trigger.within = "the same, quicker", quick.trigger.within / 9
    with temporary_settings({PREFECT_API_URL: f"{server.url}/api"}), get_client(sync_client=True) as client:
        [made] = client.read_automations_by_name(ZOMBIES)
        assert made.enabled
        quick_id = client.create_automation(quick)
    try:
        server.post("/events", [_event(run, flow, "heartbeat") for run in (killed, ended)])
        server.post(f"/flow_runs/{ended}/set_state", {"state": {"type": "COMPLETED", "name": "CompletedWithRefusals"}})
        state = waited_for(lambda: state if (state := server.state_of(killed))["type"] == "CRASHED" else None)
        assert "No sign of life" in state["message"]
        assert server.state_of(ended)["name"] == "CompletedWithRefusals"
    finally:
        server.delete(f"/automations/{quick_id}")


def _event(run: str, flow: str, what: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": f"prefect.flow-run.{what}",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [
            {
                "prefect.resource.id": f"prefect.flow.{flow}",
                "prefect.resource.role": "flow",
                "prefect.resource.name": FLOWS[0],
            }
        ],
    }


def test_served_without_a_worker_they_run_as_well(server: PrefectServer, config: Path, tmp_path: Path) -> None:
    """The last of these: it takes the deployments from the worker's pool."""
    with server.beside(tmp_path / "log", prefect("afstem"), "serve", "--config", config):
        served = waited_for(lambda: _without_pool(server, "reference-load/reference-load"))
        assert served["parameters"]["config"] == str(config)
        state = server.ended(server.start("reference-load/reference-load"))
    assert state["name"] == "Completed", state["message"]
    assert len(server.runs_of("reconcile/nightly", "SCHEDULED")) >= 3


def _without_pool(server: PrefectServer, deployment: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = server.get(f"/deployments/name/{deployment}")
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:  # taken from the pool, and not yet made anew
            return None
        raise
    return found if found["work_pool_name"] is None else None


def test_without_a_server_both_commands_say_so(config: Path) -> None:
    for command in ("bootstrap", "serve"):
        done = subprocess.run(
            [prefect("afstem"), command, "--config", config],
            env={name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
            | {"PREFECT_HOME": str(config.parent / "prefect")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 2
        assert "PREFECT_API_URL" in done.stderr
