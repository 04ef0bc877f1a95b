"""Taking in one actor's delivery: pull, decode, validate, authorise; its verdicts are staged.

Pulling needs the secrets of the sources and happens in the process of the run. Judging is for workers, beside it or on
other machines: they are handed the path of the staging folder and what was landed, read the rest themselves, and may
be asked twice.
"""

import logging
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from afstem import permissions
from afstem.errors import (
    AfstemError,
    InternalError,
    LoginRefused,
    ManifestRefused,
    SourceUnavailable,
    WorkerDied,
    said,
    told_without_content,
)
from afstem.evaluate import Terms
from afstem.finding_memory import NOTED, remember, waiting
from afstem.hold import reasons_to_hold
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
from afstem.pull import LandedExtract, LeftExtract, pull
from afstem.returning import find_returned
from afstem.staging import read_batches
from afstem.under_way import Run, open_run
from afstem.workers import Workers, count_records

log = logging.getLogger(__name__)

WORTH_A_WORKER = 100_000
"""Bytes of a delivery that is judged in less time than a worker takes to hear of it."""


@told_without_content()
def take_in(run: Run, actor_id: str) -> None:
    """Pull, decode, validate and authorise one actor's delivery; its verdicts are staged.

    Pulling waits for the network in this thread, judging is for a worker. Raises `SourceUnavailable` where the source
    cannot be reached; `set_aside` records that.
    """
    try:
        with run.pulling:
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
    workers = Workers() if _are_harmless(delivered) else run.judges
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
            return call(judge, run.folder.path, replace(extract, token=None))  # which is proved, and said no more
        except WorkerDied as error:
            of = {"actor": extract.actor, "extract": extract.extract_id}
            log.warning("%s: a worker died while it read this extract", extract.extract_id, extra=of)
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
    actor, terms = run.actors[extract.actor], _terms(run_folder, extract.actor)
    return validate_extract(extract, actor, terms, run.token_key, run.folder, count_records, run.stages_elsewhere)


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
    memory = remember(findings, before, previous_run, run.plan.run_id, returned)
    run.folder.write_memory(actor_id, memory, lasting=run.stages_elsewhere)


def set_aside(run: Run, actor_id: str, trouble: BaseException) -> None:
    """Record that an actor could not be taken in; the others go on, and the next run tries again.

    What is to be released of a source that cannot be reached is taken in all the same. Raises an `AfstemError` again: a
    store that failed or records that were lost are not the actor's trouble. A bug that one delivery brings out is.
    """
    if isinstance(trouble, AfstemError) and not isinstance(trouble, InternalError):
        raise trouble
    of = {"actor": actor_id, "reason": said(trouble)}
    log.warning("%s: unavailable: %s", actor_id, said(trouble), extra=of)
    if isinstance(trouble, SourceUnavailable):
        _note(run, actor_id, Delivery("unavailable", trouble.reason, _judge(run, actor_id, [])))
    else:
        _note(run, actor_id, Delivery("unavailable", "internal-error", ()))


def _note(run: Run, actor_id: str, delivery: Delivery) -> None:
    run.folder.write_delivery(actor_id, delivery.to_json())
