"""The nightly flow: the steps of `afstem.pipeline` under Prefect's schedule, retries and eyes.

No domain word is decided here. Only ids, paths and counts pass through Prefect, which keeps whatever it is given: no
record, no CPR number, no contact value in parameters, names, logs, results or artifacts.

    python flows/reconcile.py --config sample_data/afstem.toml
"""

import argparse
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_SERVER_LOGGING_LEVEL,
    temporary_settings,
)
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task, exponential_backoff

from afstem import clock, pipeline, taking_in
from afstem.cli.answering import answer
from afstem.cli.runs import tell_run
from afstem.discretion import be_discreet
from afstem.errors import AfstemError, SourceUnavailable, told_without_content
from afstem.orchestration.artifacts import Teller
from afstem.orchestration.form import ActorId, ConfigPath, ExtractId, as_ids, as_path
from afstem.orchestration.store_limit import one_at_a_time
from afstem.under_way import open_run
from afstem.workers import workers

WITHOUT_A_SERVER = {
    # A busy machine takes longer to start Prefect's temporary API than the 20 s it is given.
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 180,
    PREFECT_SERVER_ANALYTICS_ENABLED: False,
    # Else the temporary API prints tracebacks of its own shutdown.
    PREFECT_SERVER_LOGGING_LEVEL: "CRITICAL",
}
"""Prefect's settings for a run from a shell; where PREFECT_API_URL names a server, they do nothing."""


def _is_transient(_: "Task[..., Any]", __: TaskRun, state: State) -> bool:
    """Try again only where the network may come back, never for a fault of our own."""
    trouble = state.result(raise_on_failure=False)
    return isinstance(trouble, SourceUnavailable) and trouble.transient


@task(
    name="take in",
    task_run_name="take in {actor}",
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_jitter_factor=0.5,
    retry_condition_fn=_is_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
)
@told_without_content()
def take_in(run_folder: str, actor: str) -> None:
    """Pull and judge one actor's extracts; the verdicts are staged in the run's folder."""
    taking_in.take_in(open_run(Path(run_folder)), actor)


@task(name="reconcile", cache_policy=NO_CACHE, persist_result=False)
@told_without_content()
def reconcile(run_folder: str) -> None:
    """Decide which record wins for every citizen and contact type."""
    pipeline.reconcile(open_run(Path(run_folder)))


@task(name="prepare report", cache_policy=NO_CACHE, persist_result=False)
@told_without_content()
def prepare_report(run_folder: str) -> None:
    """Build the report beside its final place, before anything is changed."""
    pipeline.prepare_report(open_run(Path(run_folder)))


@task(name="apply", cache_policy=NO_CACHE, persist_result=False)
@told_without_content()
def apply(run_folder: str) -> None:
    """Change the store in one transaction."""
    pipeline.apply(open_run(Path(run_folder)))


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
@told_without_content()
def publish(run_folder: str) -> None:
    """Give the report its name."""
    pipeline.publish(open_run(Path(run_folder)))


def _name_by_date() -> str:
    now = clock.now()
    return f"reconcile as of {flow_run.parameters.get('as_of') or now.date()}, {now:%H:%M:%S}Z"


@flow(
    name="reconcile",
    flow_run_name=_name_by_date,
    persist_result=False,
)
def reconcile_contacts(
    config: ConfigPath = "afstem.toml",
    as_of: date | None = None,
    actors: list[ActorId] | None = None,
    dry_run: bool = False,
    release: list[ExtractId] | None = None,
) -> State[Any]:
    """Pull every actor's extracts, judge each record, apply what is valid, report what is not.

    Args:
        config: The configuration file (afstem.toml) as the worker sees it.
        as_of: The day on which permissions and subscriptions are judged. Left empty: today in Denmark.
        actors: Take in these actors only, by id. Left empty: all of them.
        dry_run: Judge and report everything, but leave the store as it is.
        release: Let these held extracts through: ids, as the summary of the run that held them tells. One that is not
            held stops the run.
    """
    log = get_run_logger()
    with told_without_content():
        be_discreet()  # Prefect logs what goes wrong, and keeps the log
        chosen = as_ids("actors", actors) or None
        request = pipeline.Request(as_path("config", config), as_of, chosen, dry_run, as_ids("release", release))
        with (
            one_at_a_time(),
            workers(os.cpu_count() or 1, "forkserver") as beside,
            pipeline.begin(request, beside) as run,
        ):
            folder = str(run.folder.path)
            teller = Teller(len(run.actors) + 4)
            # A runner of this run's own: what the configuration says is not known before.
            runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=run.actors_at_once)
            with runner as threads:
                given = {actor: {"run_folder": folder, "actor": actor} for actor in run.actors}
                actor_of: dict[PrefectFuture[Any], str] = {
                    threads.submit(take_in, parameters): actor for actor, parameters in given.items()
                }
                for future in as_completed(list(actor_of)):
                    trouble = future.result(raise_on_failure=False)
                    if isinstance(trouble, BaseException):
                        taking_in.set_aside(run, actor_of[future], trouble)
                    teller.step_done(f"took in {actor_of[future]}")
            for step in (reconcile, prepare_report, apply, publish):
                step(folder)
                teller.step_done(step.name)
            manifest = run.manifest()
            summary = pipeline.summarise_run(manifest, run.settings.reports)
        teller.summarise(manifest, Path(summary["report"]), run.settings.report_url)
    log.info("%s: %s records, report in %s", summary["run_id"], summary["records"], summary["report"])
    name = "Completed" if summary["status"] == "completed" else "CompletedWithRefusals"
    return Completed(name=name, message=f"{summary['records']} records: {summary['report']}", data=summary)


def main() -> None:
    """Run the flow once, from a shell."""
    parser = argparse.ArgumentParser(description="Run the nightly flow once, with Prefect's own temporary API.")
    parser.add_argument("--config", default="afstem.toml", help="the configuration file (default: %(default)s)")
    parser.add_argument("--as-of", type=date.fromisoformat, help="the day to judge by (default: today)")
    parser.add_argument("--dry-run", action="store_true", help="leave the store as it is")
    parser.add_argument("--release", metavar="EXTRACT_ID", action="append", help="let this held extract through")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    asked = parser.parse_args()
    try:
        with temporary_settings(WITHOUT_A_SERVER):
            summary: Any = reconcile_contacts(asked.config, asked.as_of, None, asked.dry_run, asked.release)
    except AfstemError as error:
        print(f"reconcile: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    answer(summary, asked.json, tell_run)


if __name__ == "__main__":
    main()
