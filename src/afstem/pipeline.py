"""A run, step by step: pull -> decode -> validate -> authorise -> reconcile -> apply -> report (SPEC 3).

The steps stand here in their order, each in a few lines; what they do stands in the rooms they call. Both ways to
start a run, `afstem run` and the Prefect flow, call these same steps. Between them pass ids and paths, never a record.

The report is built before the store's transaction commits and gets its name after it: a run that cannot be reported
changes nothing, and one that died in between is published by the next (`finish_interrupted`).
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from afstem import balance, clock, codelist, permissions, settlement
from afstem.clock import microseconds
from afstem.errors import LoginRefused, SourceUnavailable, UsageError, WorkerDied, told_without_content
from afstem.evaluate import Terms, latest_time
from afstem.finding_memory import KEY, remember
from afstem.intake import (
    BREAKS_READER,
    TOO_COSTLY,
    Delivery,
    ExtractSummary,
    refuse,
    refuse_left,
    refuse_login,
    summarise,
    validate_extract,
    were_read,
)
from afstem.lookup import Citizens, Knowledge
from afstem.private_files import private_folder
from afstem.pull import LandedExtract, LeftExtract, pull
from afstem.report import publication
from afstem.report.folder import write_report
from afstem.report.manifest import build_manifest
from afstem.schema import ContactType
from afstem.settings import Actor, Settings, load_actors, load_settings
from afstem.staging import Plan, RunFolder, read_batches
from afstem.store import AppliedCounts, ExtractRow, RunRow, Store
from afstem.value_formats import VALUE_FORMATS
from afstem.workers import Workers, count_records, workers

log = logging.getLogger(__name__)

WAIT_FOR_STORE = timedelta(minutes=10)

WORTH_A_WORKER = 100_000
"""Bytes of a delivery that is judged in less time than a worker takes to hear of it."""

ACTORS_AT_ONCE = 4
"""So many actors are pulled from at the same time: pulling waits for the network."""


@dataclass(frozen=True)
class Request:
    """What somebody asks for; None stands for today's date, and for every actor."""

    config: Path
    as_of: date | None = None
    actors: tuple[str, ...] | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Run:
    """A run under way: its plan, its staging folder, and what its steps need to know."""

    plan: Plan
    folder: RunFolder
    settings: Settings
    actors: dict[str, Actor]
    store: Store
    workers: Workers

    @classmethod
    def of_plan(cls, plan: Plan, settings: Settings, store: Store, workers: Workers) -> "Run":
        actors = load_actors(settings)
        return cls(
            plan=plan,
            folder=RunFolder.of(settings.landing, plan.run_id),
            settings=settings,
            actors={actor: actors[actor] for actor in plan.actors if actor in actors},
            store=store,
            workers=workers,
        )

    @cached_property
    def citizens(self) -> Citizens:
        return self.store.citizens()

    @cached_property
    def email_subscribers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return self.store.email_subscribers(self.plan.as_of)

    @cached_property
    def codelist(self) -> codelist.Codelist:
        return codelist.load(self.settings.codelist)

    @cached_property
    def permissions(self) -> permissions.Permissions:
        return permissions.load(self.settings.permissions)

    @cached_property
    def token_key(self) -> bytes:
        return self.store.token_key()

    def terms(self, actor: Actor) -> Terms:
        """What the records of one actor are judged by."""
        return Terms(
            codelist=self.codelist,
            zone=self.settings.zone,
            latest_time=latest_time(self.plan.started_at),
            knowledge=Knowledge(
                citizens=self.citizens,
                relations=self.store.relations(actor.id),
                email_subscribers=self.email_subscribers,
                kinds=self.permissions[actor.type],
                as_of=self.plan.as_of,
            ),
        )

    def deliveries(self) -> dict[str, Delivery]:
        """What came of every actor's delivery, by actor id."""
        return {actor: Delivery.from_json(content) for actor, content in self.folder.deliveries().items()}

    def manifest(self) -> dict[str, Any]:
        """``run.json`` of this run, once it is settled."""
        return self.folder.manifest() or publication.manifest_of(self.settings.reports, self.plan.run_id)

    @cached_property
    def counted(self) -> balance.Balance:
        """What became of the records, counted from the outcomes that were written."""
        return balance.count_outcomes(self.folder)

    def extracts(self) -> list[ExtractSummary]:
        return [extract for delivery in self.deliveries().values() for extract in delivery.extracts]


@contextmanager
def begin(request: Request, workers: Workers) -> Iterator[Run]:
    """Hold the store for one run, finish what an earlier one left behind, and plan this one.

    Raises `UsageError` for a faulty configuration and `StoreBusy` when another run or load does not end in time.
    """
    settings = load_settings(request.config)
    actors = load_actors(settings)
    unknown = set(request.actors or ()) - set(actors)
    if unknown:
        raise UsageError(f"no such actor in {settings.actors}: {', '.join(sorted(unknown))}")
    codelist.load(settings.codelist)
    permissions.load(settings.permissions)
    store = Store.open(settings.store_url)
    try:
        store.upgrade()
        with _exclusive(store):
            _make_folders(settings)
            finish_interrupted(settings, store)
            if not store.knows_citizens():
                log.warning("the store knows no citizen, so every record is 1010; 'afstem reference load' comes first")
            started_at = clock.now()
            plan = Plan(
                run_id=f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
                started_at=started_at,
                as_of=request.as_of or clock.today(settings.zone),
                config=settings.config,
                actors=tuple(sorted(request.actors or actors)),
                dry_run=request.dry_run,
            )
            run = Run.of_plan(plan, settings, store, workers)
            run.folder.begin(plan)
            _under_way[run.folder.path] = run
            try:
                yield run
            finally:
                del _under_way[run.folder.path]
    finally:
        store.close()


def _make_folders(settings: Settings) -> None:
    """Make what a run writes into, the landing zone for its owner alone; `UsageError` where that cannot be."""

    def shared_folder(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    for key, folder, make in (
        ("landing", settings.landing, private_folder),
        ("reports", settings.reports, shared_folder),
    ):
        try:
            make(folder)
        except OSError as error:
            raise UsageError(f"{settings.config}: paths.{key}: {folder} cannot be used: {error.strerror}") from None


_under_way: dict[Path, Run] = {}
"""The runs that this process has begun, by staging folder."""


def open_run(folder: Path) -> Run:
    """The run of a staging folder, for a step that is handed no more than the path.

    In the process that began the run it is the same object, with what it knows already and the store it holds.
    """
    return _under_way.get(folder) or _handed(folder)


@lru_cache(maxsize=1)  # what a run knows of a country's citizens is large
def _handed(folder: Path) -> Run:
    """A run that another process has begun."""
    plan = RunFolder(folder).plan()
    settings = load_settings(plan.config)
    return Run.of_plan(plan, settings, Store.open(settings.store_url), Workers())


@told_without_content()
def take_in(run: Run, actor_id: str) -> None:
    """Pull, decode, validate and authorise one actor's delivery; its verdicts are staged.

    Pulling waits for the network in this thread, judging is for a worker. Raises `SourceUnavailable` where the source
    cannot be reached; `set_aside` records that.
    """
    try:
        delivered = pull(run.actors[actor_id], run.settings.landing, run.plan.started_at)
    except LoginRefused:
        _note(run, actor_id, Delivery("delivered", None, (refuse_login(actor_id, run.plan.started_at),)))
        return
    extracts = _judge_each(run, actor_id, delivered) if delivered else ()
    _note(run, actor_id, Delivery("delivered" if delivered else "nothing", None, extracts))


def _judge_each(run: Run, actor_id: str, delivered: list[LandedExtract | LeftExtract]) -> tuple[ExtractSummary, ...]:
    """What comes of each extract of one actor's delivery."""
    workers = Workers() if _are_harmless(delivered) else run.workers
    applied = run.store.applied_digests(actor_id)
    extracts: list[ExtractSummary] = []
    for extract in delivered:
        if isinstance(extract, LeftExtract):
            summary = refuse_left(extract)
        elif extract.sha256 in applied:
            summary = summarise(extract, "already-applied")
        elif not permissions.has_any_access(run.permissions, run.actors[actor_id].type):
            summary = refuse(extract, 1013)
        else:
            summary = _survive(run, workers, extract)
            if summary.state == "read":
                applied.add(extract.sha256)
        extracts.append(summary)
    if read := were_read(extracts):  # a night without a delivery says nothing about the findings of the night before
        workers.call(remember_findings, run.folder.path, actor_id, [extract.extract_id for extract in read])
    return tuple(extracts)


def _are_harmless(delivered: list[LandedExtract | LeftExtract]) -> bool:
    """Whether extracts may be judged in this process: little text, which is no more than it looks.

    What is packed holds a thousand times its size, and Arrow reads Parquet in C++, where a broken file may be the death
    of the process.
    """
    landed = [extract for extract in delivered if isinstance(extract, LandedExtract)]
    return sum(extract.bytes for extract in landed) <= WORTH_A_WORKER and all(
        extract.path.name.endswith((".csv", ".jsonl")) for extract in landed
    )


def _survive(run: Run, workers: Workers, extract: LandedExtract) -> ExtractSummary:
    """Judge one extract, though it may be the death of the worker that reads it.

    A worker may be killed for no fault of the file, or die of what an earlier one did to it, so a new one tries again,
    unless the first ran out of time. A file that two have died of is refused; where they were killed from outside,
    `SourceUnavailable`: the next run tries again.
    """
    for call in (workers.call, workers.call_afresh):
        try:
            return call(judge, run.folder.path, extract)
        except WorkerDied as error:
            log.warning("%s: a worker died while it read this extract", extract.extract_id)
            death = error
            if death.out_of_time:
                return refuse(extract, 1014, TOO_COSTLY)
    if death.killed_from_outside:
        raise SourceUnavailable("worker-killed", transient=False)
    return refuse(extract, 1014, BREAKS_READER)


@told_without_content()
def judge(run_folder: Path, extract: LandedExtract) -> ExtractSummary:
    """Decode, validate and authorise one landed extract; its verdicts are staged."""
    run = open_run(run_folder)
    actor, folder = run.actors[extract.actor], run.folder.extract(extract.extract_id)
    return validate_extract(extract, actor, _terms(run_folder, actor.id), run.token_key, folder, count_records)


@lru_cache(maxsize=1)  # an actor's extracts come one after the other
def _terms(run_folder: Path, actor_id: str) -> Terms:
    run = open_run(run_folder)
    return run.terms(run.actors[actor_id])


@told_without_content()
def remember_findings(run_folder: Path, actor_id: str, read: list[str]) -> None:
    """Stage what is remembered of an actor's findings after this run; ``read`` are the ids of its extracts."""
    run = open_run(run_folder)
    findings = (
        batch
        for extract_id in read
        for batch in read_batches(run.folder.extract(extract_id) / "findings.arrow", list(KEY))
    )
    before, previous_run = run.store.finding_memory(actor_id), run.store.previous_run_of(actor_id)
    run.folder.write_memory(actor_id, remember(findings, before, previous_run, run.plan.run_id))


def set_aside(run: Run, actor_id: str, trouble: BaseException) -> None:
    """Record that an actor could not be taken in; the others go on, and the next run tries again.

    Raises `WorkerDied` again: a worker that did not read a file is not the actor's trouble.
    """
    if isinstance(trouble, WorkerDied):
        raise trouble
    reason = trouble.reason if isinstance(trouble, SourceUnavailable) else "internal-error"
    log.warning("%s: unavailable: %s", actor_id, trouble)
    _note(run, actor_id, Delivery("unavailable", reason, ()))


def _note(run: Run, actor_id: str, delivery: Delivery) -> None:
    run.folder.write_delivery(actor_id, delivery.to_json())


@told_without_content()
def reconcile(run: Run) -> None:
    """Decide who wins, over everything that was taken in, and prove that nothing is lost or doubled."""
    extracts = were_read(run.extracts())
    settlement.settle_run(run.folder, run.store, run.settings.store_url, _numbered(run, extracts), run.workers)
    balance.check_balance(extracts, run.counted)
    run.folder.write_manifest(
        build_manifest(run.plan, run.settings, run.actors, run.deliveries(), run.counted, clock.now())
    )


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
    publication.prepare(
        run.settings.reports,
        run.plan.run_id,
        lambda folder: write_report(folder, run.manifest(), run.folder, run.actors, run.extracts()),
    )


@told_without_content()
def prepare_report_of(run_folder: Path) -> None:
    """The same, in a worker."""
    prepare_report(open_run(run_folder))


@told_without_content()
def apply(run: Run, report_is_prepared: Callable[[], None] = lambda: None) -> None:
    """Change the store: all of the run in one transaction, or nothing.

    Before it commits it waits until the report is prepared, or raises what went wrong with that.
    """
    extracts = run.extracts()
    applied = balance.applied_by_actor(extracts, run.counted)
    manifest = run.manifest()

    def verify(counted: AppliedCounts) -> None:
        balance.check_store(counted.history, applied)
        report_is_prepared()

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
        _ledger_rows(run, extracts),
        settlement.read_changes(run.folder),
        run.folder.confirmed(),
        run.folder.memories(),
        verify,
        dry_run=run.plan.dry_run,
    )


def _ledger_rows(run: Run, extracts: list[ExtractSummary]) -> list[ExtractRow]:
    """Every extract of the run but those applied before; the read ones with the numbers they were settled by."""
    read = were_read(extracts)
    refused = [extract for extract in extracts if extract.state == "refused"]
    return [
        ExtractRow(
            extract_no=numbered.source_no,
            extract_id=extract.extract_id,
            actor=extract.actor,
            file=extract.file,
            sha256=extract.sha256,
            state="applied" if extract.state == "read" else "refused",
            created_at=datetime.fromisoformat(extract.created_at),
            priority=numbered.priority,
            records=extract.records,
            code=extract.code,
        )
        for extract, numbered in zip(read + refused, _numbered(run, read + refused), strict=True)
    ]


@told_without_content()
def publish(run: Run) -> None:
    """Give the report its name, and clear away what was staged."""
    publication.publish(run.settings.reports, run.plan.run_id)
    if not run.plan.dry_run:
        run.store.mark_published(run.plan.run_id)
    run.folder.remove()


def finish_interrupted(settings: Settings, store: Store) -> None:
    """Publish the report of a run that committed and died, and throw away what a run staged that did not commit."""
    committed = store.unpublished_runs()
    for unfinished in settings.landing.glob("*/.*"):
        unfinished.unlink()
    for folder in RunFolder.all(settings.landing):
        if folder.run_id in committed:
            log.warning("%s was interrupted after it had been applied; its report is published now", folder.run_id)
            run = Run.of_plan(folder.plan(), settings, store, Workers())
            if not publication.exists(settings.reports, folder.run_id):
                prepare_report(run)
            publish(run)
        else:
            log.warning("%s was interrupted before it had been applied; nothing of it counts", folder.run_id)
            publication.discard(settings.reports, folder.run_id)
            folder.remove()


@told_without_content()
def run(
    request: Request, processes: int = 0, on_records: Callable[[int], None] = lambda records: None
) -> dict[str, Any]:
    """One whole run, with so many worker processes beside this one; gives its summary (`summarise_run`).

    ``on_records`` hears how many more records the workers have judged. With workers, no other thread may be running.
    """
    with ExitStack() as stack:
        beside = stack.enter_context(workers(processes, "fork", on_records)) if processes else Workers()
        run = stack.enter_context(begin(request, beside))
        with _timed("take in", run), ThreadPoolExecutor(max_workers=ACTORS_AT_ONCE) as threads:
            taken_in = {actor: threads.submit(take_in, run, actor) for actor in run.actors}
        for actor, future in taken_in.items():
            if trouble := future.exception():
                set_aside(run, actor, trouble)
        with _timed("reconcile", run):
            reconcile(run)
        with _timed("prepare report and apply", run):
            apply(run, run.workers.begin(prepare_report_of, run.folder.path))
        with _timed("publish", run):
            publish(run)
        return summarise_run(run.manifest(), run.settings.reports)


@contextmanager
def _timed(name: str, run: Run) -> Iterator[None]:
    """Tell, to those who ask for more, how long a step took."""
    begin, cpu = time.monotonic(), time.process_time() + run.workers.cpu_seconds
    yield
    cpu_now = time.process_time() + run.workers.cpu_seconds
    log.info("step %s: %.2f s wall, %.2f s CPU", name, time.monotonic() - begin, cpu_now - cpu)


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
        "extracts": [
            {"actor": extract["actor"], "file": extract["file"], "id": extract["extract_id"], "state": extract["state"]}
            for extract in manifest["extracts"]
        ],
        "unavailable": [actor["id"] for actor in manifest["actors"] if actor["delivery"] == "unavailable"],
    }


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
    return store.exclusive(
        WAIT_FOR_STORE.total_seconds(),
        lambda: log.warning("another run or reference load holds the store; waiting up to %s for it", WAIT_FOR_STORE),
    )
