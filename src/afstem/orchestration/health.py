"""What a Prefect server lacks of what `afstem bootstrap` sets up, and who would do its runs; nothing is changed."""

from collections.abc import Iterator
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import DeploymentStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from afstem.discretion import without_login
from afstem.doctor import Level, Patient, Remark
from afstem.errors import RunError
from afstem.orchestration.bootstrap import ZOMBIES, advice_of, server
from afstem.orchestration.deployments import declared, project_folder
from afstem.orchestration.store_limit import STORE_LIMIT

BOOTSTRAP = "afstem bootstrap (or afstem serve)"
WORKER = "prefect worker start --pool afstem (or afstem serve)"


def examine_server(patient: Patient) -> Iterator[Remark]:
    """A check of `afstem.doctor`."""
    url = PREFECT_API_URL.value()
    if not url:
        yield _remark("well", "no server is named (PREFECT_API_URL): nothing to look at")
        return
    try:
        with server() as client:
            remarks = [*_set_up(client), *_deployments(client, str(patient.settings.config))]
            remarks += [_remark("warning", *advice.rsplit(": ", 1)) for advice in advice_of(client)]
    except RunError as error:
        yield _remark("fault", str(error), "start it (prefect server start), or mend PREFECT_API_URL")
        return
    yield from remarks or [_remark("well", f"{without_login(url)}: deployments, limit and automation are there")]


def _set_up(client: SyncPrefectClient) -> Iterator[Remark]:
    try:
        places = client.read_global_concurrency_limit_by_name(STORE_LIMIT).limit
    except ObjectNotFound:
        yield _remark("warning", f"there is no limit {STORE_LIMIT}: only the store keeps runs apart", BOOTSTRAP)
    else:
        if places != 1:
            yield _remark("warning", f"the limit {STORE_LIMIT} lets {places} runs begin", BOOTSTRAP)
    if not any(one.enabled for one in client.read_automations_by_name(ZOMBIES)):
        yield _remark("warning", "no automation ends runs whose machine is gone", BOOTSTRAP)


def _deployments(client: SyncPrefectClient, config: str) -> Iterator[Remark]:
    found = {(one.entrypoint, one.name): one for one in client.read_deployments()}
    for wanted in declared(project_folder()):
        name, level = wanted["name"], _level(wanted)
        deployment = found.get((wanted["entrypoint"], name))
        if deployment is None:
            yield _remark(level, f"there is no deployment {name}", BOOTSTRAP)
            continue
        if deployment.parameters.get("config") != config:
            yield _remark("warning", f"{name} runs with another configuration", f"{BOOTSTRAP} with --config {config}")
        if deployment.paused or (wanted["schedules"] and not any(one.active for one in deployment.schedules)):
            yield _remark(level, f"{name} is switched off", "switch it on in the UI")
        if deployment.status != DeploymentStatus.READY:
            yield _remark(level, f"nobody would do the runs of {name}", WORKER)


def _level(wanted: dict[str, Any]) -> Level:
    """What is not there for tonight is a fault, what is done by hand is missed when somebody wants it."""
    return "fault" if wanted["schedules"] else "warning"


def _remark(level: Level, says: str, do: str | None = None) -> Remark:
    return Remark("prefect", level, says, do)
