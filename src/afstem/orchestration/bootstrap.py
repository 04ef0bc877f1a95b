"""What a Prefect server needs for afstem, made in one go; the second time changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from afstem.discretion import without_login
from afstem.errors import RunError, UsageError
from afstem.orchestration.deployments import declared, project_folder, register
from afstem.orchestration.store_limit import STORE_LIMIT

ZOMBIES = "afstem: a run that is not heard of any more has crashed"
FLOWS = ["reconcile", "reference-load"]
SILENCE = timedelta(seconds=90)
"""Three heartbeats: `prefect.yaml` sets one every 30 s."""

ENDS = ("Completed", "CompletedWithRefusals", "Failed", "Cancelled", "Crashed", "TimedOut")
"""The names of the states in which a run is over. A name that is missing here would let the automation crash a run that
has ended well."""

LASTING_LEASES = "prefect.server.concurrency.lease_storage.filesystem"


def bootstrap(config: Path) -> dict[str, Any]:
    """Set up everything for a worker; what is there now, what had to be changed, and what the server itself lacks."""
    with server() as client:
        changed = [*_pool(client), *_prepare(client)]
        advice = advice_of(client)
    before = _registered()
    names = register(config)
    after = _registered()
    changed += [f"deployment {name}" for name in names if before.get(name) != after.get(name)]
    pool = declared(project_folder())[0]["work_pool"]["name"]
    return {"deployments": names, "pool": pool, "changed": changed, "advice": advice}


def prepare() -> list[str]:
    """Set up what runs need that are served without a worker: the limit and the automation. Gives advice."""
    with server() as client:
        _prepare(client)
        return advice_of(client)


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """The server's API; `UsageError` without one, `RunError` when it does not answer or refuses."""
    url = PREFECT_API_URL.value()
    if not url:
        raise UsageError(
            "no Prefect server is named: set PREFECT_API_URL, such as http://127.0.0.1:4200/api "
            "('prefect server start' starts one)"
        )
    told = without_login(url)
    try:
        with get_client(sync_client=True) as client:
            yield client
    except PrefectHTTPStatusError as error:
        raise RunError(f"the Prefect server at {told} refused: {error.response.status_code}") from None
    except (httpx.HTTPError, RuntimeError) as error:
        raise RunError(f"the Prefect server at {told} does not answer ({type(error).__name__})") from None


def _pool(client: SyncPrefectClient) -> list[str]:
    name = declared(project_folder())[0]["work_pool"]["name"]
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", description="Runs of afstem"))
        return [f"work pool {name}"]
    return []


def _prepare(client: SyncPrefectClient) -> list[str]:
    return [*_limit(client), *_automation(client)]


def _limit(client: SyncPrefectClient) -> list[str]:
    try:
        if client.read_global_concurrency_limit_by_name(STORE_LIMIT).limit == 1:
            return []
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=STORE_LIMIT, limit=1))
    else:
        client.upsert_global_concurrency_limit_by_name(STORE_LIMIT, 1)
    return [f"concurrency limit {STORE_LIMIT}"]


def zombie_automation() -> AutomationCore:
    """Marks a run of ours as crashed when it was alive and then neither ended nor gave a sign for `SILENCE`.

    A killed machine tells nobody; without this its run stays Running for ever. Only our flows: other people's may have
    another heartbeat.
    """
    heartbeat = "prefect.flow-run.heartbeat"
    return AutomationCore(
        name=ZOMBIES,
        description="Made by `afstem bootstrap`, which also mends it.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}),
            for_each={"prefect.resource.id"},
            after={heartbeat},
            expect={heartbeat, *(f"prefect.flow-run.{end}" for end in ENDS)},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                message=f"No sign of life for {SILENCE.total_seconds():.0f} s: the process or its machine was killed. "
                "The next run takes up what was applied, and drops what was not.",
                force=False,
            )
        ],
    )


def _automation(client: SyncPrefectClient) -> list[str]:
    wanted = zombie_automation()
    found = client.read_automations_by_name(ZOMBIES)
    if len(found) == 1 and _core(found[0]) == _core(wanted):
        return []
    for old in found:
        client.delete_automation(old.id)
    client.create_automation(wanted)
    return ["automation for runs whose machine is gone"]


def _core(automation: AutomationCore) -> dict[str, Any]:
    told = automation.model_dump(mode="json", include={"name", "description", "enabled", "trigger", "actions"})
    told["trigger"].pop("id", None)
    for key in ("after", "expect", "for_each"):
        told["trigger"][key] = sorted(told["trigger"][key])
    return told


def _registered() -> dict[str, dict[str, Any]]:
    """The deployments on the server by flow and name, but for what changes with every registration."""
    with server() as client:
        found = {}
        for one in client.read_deployments():
            told = one.model_dump(
                mode="json",
                exclude={"created", "updated", "last_polled", "status", "schedules", "version", "version_id",
                         "version_info", "updated_by", "created_by", "concurrency_options", "global_concurrency_limit",
                         "labels", "branch"},
            )  # fmt: skip
            limit = one.global_concurrency_limit
            told["limit"] = (limit.limit if limit else None, str(one.concurrency_options))
            told["schedules"] = [
                schedule.model_dump(mode="json", include={"schedule", "active", "slug", "parameters"})
                for schedule in one.schedules
            ]
            flow = client.read_flow(one.flow_id)
            found[f"{flow.name}/{one.name}"] = told
        return found


def advice_of(client: SyncPrefectClient) -> list[str]:
    """What the server was started without and only who starts it can set; a line each."""
    settings = client.request("GET", "/admin/settings").json()["server"]
    advice = []
    if settings["concurrency"]["lease_storage"] != LASTING_LEASES:
        advice.append(
            "the server forgets who holds a limit when it restarts, and a killed run may then block the next night: "
            f"start it with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LASTING_LEASES}"
        )
    return advice
