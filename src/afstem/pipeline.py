"""A run, step by step: pull -> decode -> validate -> authorise -> reconcile -> apply -> report (SPEC 3).

The steps stand here in their order, each in a few lines; what they do stands in the rooms they call. Both ways to
start a run, `afstem run` and the Prefect flow, call these same steps. Between them pass ids and paths, never a record.

The report is built before the store's transaction commits and gets its name after it: a run that cannot be reported
changes nothing, and one that died in between is published by the next (`finish_interrupted`).
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from afstem import balance, clock, codelist, permissions, settlement
from afstem.clock import microseconds
from afstem.cluster import check_cluster, cluster
from afstem.errors import DiskTrouble, RunError, UsageError, told_without_content
from afstem.file_lock import StillHeld, held_alone
from afstem.intake import ExtractSummary, are_held, to_apply, were_read
from afstem.logs import about_run
from afstem.metrics import metrics_of_run
from afstem.private_files import lasting_folder
from afstem.report import publication
from afstem.report.folder import write_findings, write_records
from afstem.report.manifest import STATE_TOLD, build_manifest, changes_told
from afstem.report.seal import last_link, seal_report
from afstem.schema import Change, ContactType
from afstem.settings import Settings, check_keys, load_actors, load_settings
from afstem.sharing import notice_shared
from afstem.sources import check_sources
from afstem.staging import Plan, RunFolder
from afstem.store import AppliedCounts, ExtractRow, RunRow, Store
from afstem.taking_in import set_aside, take_in
from afstem.under_way import Run, configuration, open_run, under_way
from afstem.value_formats import VALUE_FORMATS
from afstem.workers import Workers, workers

log = logging.getLogger(__name__)

WAIT_FOR_STORE = timedelta(minutes=10)


@dataclass(frozen=True)
class Request:
    """What somebody asks for; None stands for today's date, and for every actor.

    ``release`` names held extracts by their ids, or by eight or more characters that their SHA-256 begins with.

    A dry run takes the same steps, and then leaves the store, the landing zone and what earlier runs left behind as
    they are. Its report stands among the others, and says what it is.
    """

    config: Path
    as_of: date | None = None
    actors: tuple[str, ...] | None = None
    dry_run: bool = False
    release: tuple[str, ...] = ()


@contextmanager
def begin(
    request: Request, workers: Workers, on_records: Callable[[int], None] = lambda records: None
) -> Iterator[Run]:
    """Hold the store for one run, finish what an earlier one left behind, and plan this one.

    ``on_records`` hears, from threads, how many more records were judged on a cluster.
    Raises `UsageError` for a faulty configuration and `StoreBusy` when another run or load does not end in time.
    """
    settings = load_settings(request.config)
    with (
        metrics_of_run(settings, dry_run=request.dry_run) as note,
        _begun(request, settings, workers, on_records) as run,
    ):
        yield run
        note(run.manifest, run.store)


@contextmanager
def _begun(request: Request, settings: Settings, workers: Workers, on_records: Callable[[int], None]) -> Iterator[Run]:
    actors = load_actors(settings)
    check_keys(settings, actors)
    check_sources(settings, actors)
    if settings.run.engine == "dask":
        check_cluster(settings.config)
    unknown = set(request.actors or ()) - set(actors)
    if unknown:
        raise UsageError(f"no such actor in {settings.actors}: {', '.join(sorted(unknown))}")
    codelist.load(settings.codelist)
    permissions.load(settings.permissions)
    store = Store.open(settings.store_url)
    try:
        store.upgrade()
        with ExitStack() as held:
            held.enter_context(_exclusive(store))
            _make_folders(settings)
            held.enter_context(_landing_zone(settings))
            if not request.dry_run:
                finish_interrupted(settings, store)
            release = _to_release(request, store, request.actors or tuple(actors))
            if not store.knows_citizens():
                log.warning("the store knows no citizen, so every record is 1010; 'afstem reference load' comes first")
            started_at = clock.now()
            plan = Plan(
                run_id=f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
                started_at=started_at,
                as_of=request.as_of or clock.today(settings.zone),
                config=settings.config,
                actors=tuple(sorted(request.actors or actors)),
                release=release,
                dry_run=request.dry_run,
                store=store.name(),
                configuration=configuration(settings),
            )
            judges = held.enter_context(_judges(settings, workers, on_records))
            run = Run.of_plan(plan, settings, store, workers, judges)
            run.folder.begin(plan)
            under_way[run.folder.path] = run
            try:
                with about_run(plan.run_id):
                    log.info("judging as of %s", plan.as_of)
                    yield run
            finally:
                del under_way[run.folder.path]
    finally:
        store.close()


def _judges(settings: Settings, workers: Workers, on_records: Callable[[int], None]) -> AbstractContextManager[Workers]:
    if settings.run.engine == "local":
        return nullcontext(workers)
    return cluster(settings.run.cluster, os.cpu_count() or 1, settings.run.cluster_seconds, on_records)


def _to_release(request: Request, store: Store, actors: tuple[str, ...]) -> tuple[str, ...]:
    """The ids of the held extracts that are to be released.

    Raises `UsageError` for one that does not wait for it, that two of them could be, or whose actor is not in the run.
    """
    if not request.release:
        return ()
    waiting = store.held_extracts()
    chosen = []
    for asked in request.release:
        meant = [held for held in waiting if held.is_called(asked)]
        if not meant:
            ids = ", ".join(held.extract_id for held in waiting)
            raise UsageError(f"{asked} is not a held extract; held are: {ids or 'none'}")
        if len(meant) > 1:
            raise UsageError(f"{asked} may be any of {', '.join(held.extract_id for held in meant)}: give the whole id")
        if meant[0].actor not in actors:
            raise UsageError(f"{asked} cannot be released: its actor, {meant[0].actor}, is not in this run")
        chosen.append(meant[0].extract_id)
    return tuple(chosen)


def _make_folders(settings: Settings) -> None:
    """Make what a run writes into, the landing zone for its owner alone; `UsageError` where that cannot be."""
    for key, folder in (("landing", settings.landing), ("reports", settings.reports)):
        try:
            lasting_folder(folder, private=folder == settings.landing)
        except OSError as error:
            if trouble := DiskTrouble.of(error):
                raise trouble from None
            raise UsageError(f"{settings.config}: paths.{key}: {folder} cannot be used: {error.strerror}") from None


@told_without_content()
def reconcile(run: Run) -> None:
    """Decide who wins, over everything that was taken in, and prove that nothing is lost or doubled."""
    extracts = run.extracts()
    numbered = _numbered(run, to_apply(extracts))
    settled = settlement.settle_run(run.folder, run.store, run.settings.store_url, numbered, extracts, run.workers)
    counted = balance.Balance.of(settled.outcomes, settled.changes)
    balance.check_balance(were_read(extracts), counted)
    shared = notice_shared(run.folder, extracts)
    manifest = build_manifest(run.plan, run.settings, run.actors, run.deliveries(), counted, shared, clock.now())
    previous = last_link(run.settings.reports, run.store.newest_run())
    run.folder.write_manifest(manifest | {"previous": previous})


def _numbered(run: Run, extracts: list[ExtractSummary]) -> list[settlement.NumberedExtract]:
    first = run.store.next_source_no()
    return [
        settlement.NumberedExtract(
            source_no=first + place,
            extract_id=extract.extract_id,
            actor=extract.actor,
            sha256=extract.sha256,
            created_at=microseconds(datetime.fromisoformat(extract.created_at)),
            priority=run.actors[extract.actor].priority,
        )
        for place, extract in enumerate(extracts)
    ]


@told_without_content()
def prepare_report(run: Run) -> None:
    """Build the whole report beside its final place."""
    begin_report(run)()


def begin_report(run: Run) -> Callable[[], None]:
    """Begin to do that, and give a function that waits until it is done, or raises what went wrong.

    What was found, and what became of every record, are written side by side: neither needs the other.
    """
    reports, run_id = run.settings.reports, run.plan.run_id
    publication.begin(reports, run_id)
    parts = [run.workers.begin(part, run.folder.path) for part in (report_findings, report_records)]

    def finish() -> None:
        for is_written in parts:
            is_written()
        run.workers.let_go()  # to give back so much memory takes as long as half a commit
        with publication.building(reports, run_id) as folder:
            seal_report(folder, run.manifest(), run.token_key)
        publication.finish(reports, run_id)

    return finish


@told_without_content()
def report_findings(run_folder: Path) -> None:
    """Write one part of a run's report: rejections and pages, and the list of runs that this one belongs into."""
    run = open_run(run_folder)
    reports, manifest = run.settings.reports, run.manifest()
    with publication.building(reports, run.plan.run_id) as folder:
        write_findings(folder, manifest, run.folder, run.actors, run.extracts(), run.settings.deadline)
    publication.prepare_history(reports, manifest)


@told_without_content()
def report_records(run_folder: Path) -> None:
    """Write the other part: outcomes and receipts."""
    run = open_run(run_folder)
    with publication.building(run.settings.reports, run.plan.run_id) as folder:
        write_records(folder, run.manifest(), run.folder, run.actors, run.extracts())


@told_without_content()
def apply(run: Run, report_is_prepared: Callable[[], None] = lambda: None) -> None:
    """Change the store: all of the run in one transaction, or nothing.

    Before it commits it waits until the report is prepared, or raises what went wrong with that.
    """
    manifest = run.manifest()

    def verify(counted: AppliedCounts) -> str:
        balance.check_store(counted.history, changes_told(manifest))
        report_is_prepared()
        return publication.digest(run.settings.reports, run.plan.run_id)

    run.store.apply(
        RunRow(
            run_id=run.plan.run_id,
            started_at=run.plan.started_at,
            finished_at=datetime.fromisoformat(manifest["finished_at"]),
            as_of=run.plan.as_of,
            status=manifest["status"],
            records=manifest["records"],
            counts={key: manifest[key] for key in ("outcomes", "findings")},
        ),
        _ledger_rows(run, run.extracts()),
        settlement.read_changes(run.folder),
        run.folder.confirmed(),
        run.folder.memories(),
        verify,
        dry_run=run.plan.dry_run,
    )


def _ledger_rows(run: Run, extracts: list[ExtractSummary]) -> list[ExtractRow]:
    """Every extract of the run but those applied before; first those to apply, by the numbers they were settled by."""
    others = [extract for extract in extracts if extract.state == "refused"] + are_held(extracts)
    every = to_apply(extracts) + others
    return [
        ExtractRow(
            extract_no=numbered.source_no,
            extract_id=extract.extract_id,
            actor=extract.actor,
            file=extract.file,
            sha256=extract.sha256,
            state=STATE_TOLD[extract.state],
            created_at=datetime.fromisoformat(extract.created_at),
            priority=numbered.priority,
            records=extract.records,
            code=extract.code,
        )
        for extract, numbered in zip(every, _numbered(run, every), strict=True)
    ]


@told_without_content()
def publish(run: Run) -> None:
    """Give the report its name, and clear away what was staged."""
    if run.plan.dry_run:
        publication.publish(run.settings.reports, run.plan.run_id)
        run.folder.remove()
    else:
        _publish_applied(run.folder, run.settings, run.store)


def _publish_applied(folder: RunFolder, settings: Settings, store: Store) -> None:
    """Publish a run that is in the store."""
    try:
        with told_without_content():
            publication.publish(settings.reports, folder.run_id)
    except RunError as error:
        raise RunError(f"{folder.run_id} was applied, and the next run publishes its report; {error}") from None
    try:
        with told_without_content():
            store.mark_published(folder.run_id)
            folder.remove()
    except RunError as error:
        # All that was asked for is done and stands: to call it failed would be wrong.
        log.warning("%s is applied and published; the next run clears up after it: %s", folder.run_id, error)


def finish_interrupted(settings: Settings, store: Store) -> None:
    """Throw away what runs began that did not commit, and publish the report of one that did commit and died."""
    committed = store.unpublished_runs()
    for unfinished in settings.landing.glob("*/.*"):
        unfinished.unlink()
    name = store.name()
    for folder in RunFolder.all(settings.landing):
        if not folder.is_of(name):
            continue
        if folder.run_id not in committed:
            if store.run(folder.run_id) is None:
                log.warning("%s was interrupted before it had been applied; nothing of it counts", folder.run_id)
            publication.discard(settings.reports, folder.run_id)
            folder.remove()
    for run_id in committed:  # after the others, which may fill the disk
        folder = RunFolder.of(settings.landing, run_id)
        if not publication.exists(settings.reports, run_id):
            if folder.manifest() is None:
                log.warning("%s was applied, but its report is lost: what it changed stands in contact_history", run_id)
                continue
            prepare_report(Run.of_plan(folder.plan(), settings, store, Workers()))
            store.keep_manifest_digest(run_id, publication.digest(settings.reports, run_id))
        log.warning("%s was interrupted after it had been applied; its report is published now", run_id)
        _publish_applied(folder, settings, store)


@told_without_content()
def run(
    request: Request, processes: int = 0, on_records: Callable[[int], None] = lambda records: None
) -> dict[str, Any]:
    """One whole run, with so many worker processes beside this one; gives its summary (`summarise_run`).

    ``on_records`` hears how many more records the workers have judged. With workers, no other thread may be running.
    """
    with ExitStack() as stack:
        beside = stack.enter_context(workers(processes, "fork", on_records)) if processes else Workers()
        run = stack.enter_context(begin(request, beside, on_records))
        with _timed("take in", run), ThreadPoolExecutor(max_workers=run.actors_at_once) as threads:
            taken_in = {actor: threads.submit(take_in, run, actor) for actor in run.actors}
        for actor, future in taken_in.items():
            if trouble := future.exception():
                set_aside(run, actor, trouble)
        with _timed("reconcile", run):
            reconcile(run)
        with _timed("prepare report and apply", run):
            apply(run, begin_report(run))
        with _timed("publish", run):
            publish(run)
        summary = summarise_run(run.manifest(), run.settings.reports)
        log.info("%(status)s: %(records)s records, report in %(report)s", summary, extra=_logged(summary))
        return summary


def _logged(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in ("status", "records")}


@contextmanager
def _timed(name: str, run: Run) -> Iterator[None]:
    """Tell, to those who ask for more, how long a step took."""
    begin, cpu = time.monotonic(), _cpu_seconds(run)
    yield
    took = {
        "step": name,
        "seconds": round(time.monotonic() - begin, 3),
        "cpu_seconds": round(_cpu_seconds(run) - cpu, 3),
    }
    log.info("step %(step)s: %(seconds).2f s wall, %(cpu_seconds).2f s CPU", took, extra=took)


def _cpu_seconds(run: Run) -> float:
    """What this process and all who work for the run have used."""
    return time.process_time() + sum(workers.cpu_seconds for workers in {run.workers, run.judges})


def summarise_run(manifest: dict[str, Any], reports: Path) -> dict[str, Any]:
    """What a command prints of a run: ids and counts (SPEC 7)."""
    return {
        "run_id": manifest["run_id"],
        "status": manifest["status"],
        "dry_run": manifest["dry_run"],
        "as_of": manifest["as_of"],
        "report": str(reports / manifest["run_id"]),
        "records": manifest["records"],
        "outcomes": manifest["outcomes"],
        "findings": manifest["findings"],
        "notices": manifest["notices"],
        "changes": {str(change): sum(row[change] for row in manifest["changes"]) for change in Change},
        "extracts": [
            {
                "actor": extract["actor"],
                "file": extract["file"],
                "id": extract["extract_id"],
                "state": extract["state"],
                "hold": extract["hold"],
            }
            for extract in manifest["extracts"]
        ],
        "unavailable": [actor["id"] for actor in manifest["actors"] if actor["delivery"] == "unavailable"],
    }


@told_without_content()
def load_reference(config: Path, folder: Path) -> dict[str, int]:
    """Replace reference data by the files of a folder; rows loaded by name. Raises `UsageError` for a broken file."""
    settings = load_settings(config)
    identifiers = codelist.load(settings.codelist)
    store = Store.open(settings.store_url)
    try:
        store.upgrade()
        with _exclusive(store):
            return store.load_reference(
                folder,
                identifiers,
                lambda contact_type, values: VALUE_FORMATS[ContactType(contact_type)].normalise(values),
                settings.zone,
                clock.now(),
            )
    finally:
        store.close()


def _exclusive(store: Store) -> AbstractContextManager[None]:
    return store.exclusive(WAIT_FOR_STORE.total_seconds(), lambda: _say_that_it_waits("the store"))


def _landing_zone(settings: Settings) -> AbstractContextManager[StillHeld]:
    """Keep out runs of another store that use the same landing zone: they would clear away what this one stages.

    It is also what is still held when a server has lost the lock of its store, while the report is published.
    """
    zone = f"the landing zone {settings.landing}"
    lock = settings.landing / ".lock"
    return held_alone(lock, WAIT_FOR_STORE.total_seconds(), lambda: _say_that_it_waits(zone), zone)


def _say_that_it_waits(what: str) -> None:
    log.warning("another run or reference load holds %s; waiting up to %s for it", what, WAIT_FOR_STORE)
