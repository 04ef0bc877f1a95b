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
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from afstem import balance, clock, codelist, permissions, settlement
from afstem.clock import microseconds
from afstem.errors import (
    AfstemError,
    DiskTrouble,
    InternalError,
    LoginRefused,
    ManifestRefused,
    RunError,
    SourceUnavailable,
    UsageError,
    WorkerDied,
    said,
    told_without_content,
)
from afstem.evaluate import Terms, latest_time
from afstem.file_lock import StillHeld, held_alone
from afstem.finding_memory import NOTED, remember, waiting
from afstem.hold import reasons_to_hold
from afstem.intake import (
    BREAKS_READER,
    TOO_COSTLY,
    Delivery,
    ExtractSummary,
    are_held,
    refuse,
    refuse_left,
    refuse_login,
    summarise,
    to_apply,
    validate_extract,
    were_read,
)
from afstem.lookup import Citizens, Knowledge
from afstem.private_files import lasting_folder
from afstem.pull import LandedExtract, LeftExtract, find_landed, pull
from afstem.report import publication
from afstem.report.folder import write_findings, write_records
from afstem.report.manifest import STATE_TOLD, build_manifest, changes_told
from afstem.report.seal import last_link, seal_report
from afstem.returning import find_returned
from afstem.schema import Change, ContactType
from afstem.settings import Actor, Settings, check_keys, load_actors, load_settings
from afstem.sharing import notice_shared
from afstem.sources import check_sources, is_remote
from afstem.staging import Plan, RunFolder, read_batches
from afstem.store import AppliedCounts, ExtractRow, RunRow, Store
from afstem.value_formats import VALUE_FORMATS
from afstem.workers import Workers, count_records, workers

log = logging.getLogger(__name__)

WAIT_FOR_STORE = timedelta(minutes=10)

WORTH_A_WORKER = 100_000
"""Bytes of a delivery that is judged in less time than a worker takes to hear of it."""

FOLDERS_AT_ONCE = 4
"""So many actors are taken in at the same time where all sources are folders on disk; else `[pull] at_once`."""


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

    def released(self, actor: str) -> list[LandedExtract]:
        """The actor's held extracts that this run is asked to let through, from the landing zone.

        Raises `UsageError` for one that is there no more.
        """
        if not self.plan.release:
            return []
        extracts = []
        for held in self.store.held_extracts():
            if held.actor == actor and held.extract_id in self.plan.release:
                extract = find_landed(actor, held.file, held.sha256, held.created_at, self.settings.landing)
                if extract is None:
                    raise UsageError(f"{held.extract_id} is no longer in the landing zone: have it delivered again")
                extracts.append(extract)
        return extracts

    def extracts(self) -> list[ExtractSummary]:
        return [extract for delivery in self.deliveries().values() for extract in delivery.extracts]


@contextmanager
def begin(request: Request, workers: Workers) -> Iterator[Run]:
    """Hold the store for one run, finish what an earlier one left behind, and plan this one.

    Raises `UsageError` for a faulty configuration and `StoreBusy` when another run or load does not end in time.
    """
    settings = load_settings(request.config)
    actors = load_actors(settings)
    check_keys(settings, actors)
    check_sources(settings, actors)
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
        pulled = _pull(run, actor_id)
    except LoginRefused:
        refused = refuse_login(actor_id, run.plan.started_at)
        _note(run, actor_id, Delivery("delivered", None, (refused, *_judge(run, actor_id, []))))
        return
    _note(run, actor_id, Delivery("delivered" if pulled else "nothing", None, _judge(run, actor_id, pulled)))


def _pull(run: Run, actor_id: str) -> list[LandedExtract | LeftExtract]:
    aside = run.folder.landed if run.plan.dry_run else None
    return pull(run.actors[actor_id], run.settings.landing, run.plan.started_at, aside, run.settings.pull)


def _judge(run: Run, actor_id: str, pulled: list[LandedExtract | LeftExtract]) -> tuple[ExtractSummary, ...]:
    """Judge what an actor has delivered, and what of it is to be released though it delivers it no more."""
    again = {extract.sha256 for extract in pulled if isinstance(extract, LandedExtract)}
    delivered = [*pulled, *(extract for extract in run.released(actor_id) if extract.sha256 not in again)]
    return _judge_each(run, actor_id, delivered) if delivered else ()


def _judge_each(run: Run, actor_id: str, delivered: list[LandedExtract | LeftExtract]) -> tuple[ExtractSummary, ...]:
    """What comes of each extract of one actor's delivery."""
    workers = Workers() if _are_harmless(delivered) else run.workers
    applied = run.store.applied_digests(actor_id)
    held: dict[str, ExtractSummary] = {}
    extracts: list[ExtractSummary] = []
    for extract in delivered:
        if isinstance(extract, LeftExtract):
            summary = refuse_left(extract)
        elif extract.sha256 in applied:
            summary = summarise(extract, "already-applied")
        elif extract.sha256 in held:
            summary = summarise(extract, "held", hold=held[extract.sha256].hold)
        else:
            summary = _judge_unless_refused(run, workers, extract)
            if summary.state == "read":
                summary = _hold(run, summary)
                if summary.state == "held":
                    held[extract.sha256] = summary
                else:
                    applied.add(extract.sha256)
        extracts.append(summary)
    if read := were_read(extracts):  # a night without a delivery says nothing about the findings of the night before
        workers.call(remember_findings, run.folder.path, actor_id, tuple(read))
    return tuple(extracts)


def _judge_unless_refused(run: Run, workers: Workers, extract: LandedExtract) -> ExtractSummary:
    """Judge one extract of an actor that may write, and that has proved, where it is to, that it sent it."""
    actor = run.actors[extract.actor]
    if not permissions.has_any_access(run.permissions, actor.type):
        return refuse(extract, 1013)
    if actor.login == "manifest":
        from afstem.manifests import prove  # most actors sign nothing

        try:
            manifest = prove(extract.token, actor, extract.sha256, run.plan.started_at, extract.created_at)
        except ManifestRefused as refused:
            return refuse(extract, refused.code, refused.reason)
        extract = replace(extract, created_at=manifest.created_at, records=manifest.records)
    return _survive(run, workers, extract)


def _hold(run: Run, extract: ExtractSummary) -> ExtractSummary:
    """Hold an extract that looks like a mistake, unless it is released (SPEC 5.4)."""
    rejected = sum(tally.rejected for tally in extract.tallies)
    last_applied = run.store.last_applied(extract.actor, extract.sha256)
    reasons = reasons_to_hold(extract.records, extract.removals, rejected, last_applied, run.settings.hold)
    if extract.extract_id in run.plan.release:
        return replace(extract, hold=reasons, released=True)
    return replace(extract, hold=reasons, state="held" if reasons else "read")


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
def remember_findings(run_folder: Path, actor_id: str, read: tuple[ExtractSummary, ...]) -> None:
    """Stage what is remembered of an actor's findings after this run; ``read`` are its extracts that were."""
    run = open_run(run_folder)
    findings = (
        batch
        for extract in read
        for batch in read_batches(run.folder.extract(extract.extract_id) / "findings.arrow", list(NOTED))
    )
    before, previous_run = run.store.finding_memory(actor_id), run.store.previous_run_of(actor_id)
    returned = find_returned(run.folder, read, waiting(before, previous_run), run.token_key)
    run.folder.write_memory(actor_id, remember(findings, before, previous_run, run.plan.run_id, returned))


def set_aside(run: Run, actor_id: str, trouble: BaseException) -> None:
    """Record that an actor could not be taken in; the others go on, and the next run tries again.

    What is to be released of a source that cannot be reached is taken in all the same. Raises an `AfstemError` again: a
    store that failed or records that were lost are not the actor's trouble. A bug that one delivery brings out is.
    """
    if isinstance(trouble, AfstemError) and not isinstance(trouble, InternalError):
        raise trouble
    log.warning("%s: unavailable: %s", actor_id, said(trouble))
    if isinstance(trouble, SourceUnavailable):
        _note(run, actor_id, Delivery("unavailable", trouble.reason, _judge(run, actor_id, [])))
    else:
        _note(run, actor_id, Delivery("unavailable", "internal-error", ()))


def _note(run: Run, actor_id: str, delivery: Delivery) -> None:
    run.folder.write_delivery(actor_id, delivery.to_json())


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
    folder = publication.begin(reports, run_id)
    parts = [run.workers.begin(part, run.folder.path) for part in (report_findings, report_records)]

    def finish() -> None:
        for is_written in parts:
            is_written()
        run.workers.let_go()  # to give back so much memory takes as long as half a commit
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
        run = stack.enter_context(begin(request, beside))
        with _timed("take in", run), ThreadPoolExecutor(max_workers=_at_once(run)) as threads:
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
        return summarise_run(run.manifest(), run.settings.reports)


def _at_once(run: Run) -> int:
    remote = any(is_remote(actor.source) for actor in run.actors.values())
    return run.settings.pull.at_once if remote else min(FOLDERS_AT_ONCE, run.settings.pull.at_once)


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
