"""The deployments of ``prefect.yaml``, for a worker (`register`) and without one (`serve`): one list for both.

Beyond what the file says, both put in what only this machine knows: where the configuration is, and which actors there
are, so that the form in the UI offers them.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from prefect import serve as serve_deployments
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Cron
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOGGING_EXTRA_LOGGERS, temporary_settings

from afstem.errors import UsageError
from afstem.orchestration.form import made_plain
from afstem.settings import load_actors, load_settings


def project_folder() -> Path:
    """Where ``prefect.yaml`` and the flows are: inside the installed package, or in the checkout it is run from."""
    package = Path(__file__).parents[1]
    for folder in (package / "project", package.parents[1]):
        if (folder / "prefect.yaml").is_file():
            return folder
    raise UsageError("this installation of afstem has no prefect.yaml: install it anew")


def declared(folder: Path) -> list[dict[str, Any]]:
    """The deployments as ``prefect.yaml`` has them."""
    content: dict[str, Any] = yaml.safe_load((folder / "prefect.yaml").read_text(encoding="utf-8"))
    deployments: list[dict[str, Any]] = content["deployments"]
    return deployments


def deployments(config: Path, *, for_worker: bool) -> list[RunnerDeployment]:
    """Each deployment of ``prefect.yaml`` as Prefect wants it; `UsageError` for a faulty configuration."""
    actors = sorted(load_actors(load_settings(config)))
    folder = project_folder()
    return [_deployment(one, folder, config.resolve(), actors, for_worker) for one in declared(folder)]


def _deployment(
    told: dict[str, Any], folder: Path, config: Path, actors: list[str], for_worker: bool
) -> RunnerDeployment:
    flow: Flow[Any, Any] = Flow.from_source(source=str(folder), entrypoint=told["entrypoint"])  # type: ignore[assignment]
    limit = told["concurrency_limit"]
    pool = told["work_pool"]
    made = flow.to_deployment(
        name=told["name"],
        description=told["description"],
        tags=told["tags"],
        parameters=told["parameters"] | {"config": str(config)},
        schedules=[
            Cron(schedule["cron"], timezone=schedule["timezone"], slug=schedule["slug"], active=schedule["active"])
            for schedule in told["schedules"]
        ],
        concurrency_limit=ConcurrencyLimitConfig(
            limit=limit["limit"], collision_strategy=ConcurrencyLimitStrategy(limit["collision_strategy"])
        ),
        work_pool_name=pool["name"] if for_worker else None,
        job_variables=pool["job_variables"] if for_worker else None,
    )
    assert isinstance(made, RunnerDeployment)  # noqa: S101 - it is a coroutine where an event loop runs, not here
    form = made._parameter_openapi_schema
    form.properties = made_plain(form.properties, actors)
    return made


def register(config: Path) -> list[str]:
    """Register all for the worker of their pool, new or anew; their names, such as ``reconcile/nightly``."""
    made = deployments(config, for_worker=True)
    for deployment in made:
        deployment.apply()
    return [deployment.full_name for deployment in made]


def serve(config: Path) -> None:
    """Register all without a pool, and run what is due, until interrupted.

    Schedules are not paused when this ends: a night that was missed is made up for when it is started again.
    """
    environment = declared(project_folder())[0]["work_pool"]["job_variables"]["env"]
    with temporary_settings(
        {
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: int(environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]),
            PREFECT_LOGGING_EXTRA_LOGGERS: [environment["PREFECT_LOGGING_EXTRA_LOGGERS"]],
        }
    ):
        made = deployments(config, for_worker=False)
        _take_from_pool([deployment.full_name for deployment in made])
        serve_deployments(*made, pause_on_shutdown=False)


def _take_from_pool(names: list[str]) -> None:
    """Remove deployments that a worker's pool has: Prefect keeps the pool of one that is registered anew without."""
    with get_client(sync_client=True) as client:
        for name in names:
            with suppress(ObjectNotFound):  # there is nothing to take
                found = client.read_deployment_by_name(name)
                if found.work_pool_name is not None:
                    client.delete_deployment(found.id)
