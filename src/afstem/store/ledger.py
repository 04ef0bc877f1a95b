"""The ledger: which extracts were applied or held by which run, and which runs are published (SPEC 5.2, 5.4, 5.5)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, exists, func, insert, or_, select, update

from afstem.store.tables import contact_sources, extracts, forgotten_runs, runs

ExtractState = Literal["applied", "held", "refused"]


SHORTEST_DIGEST = 8
"""So many characters of a digest are shown to people."""


@dataclass(frozen=True)
class RunRow:
    """One row of ``runs``. ``finished_at`` is also the time its changes and its verifications carry; times have a zone.

    ``counts`` is whatever the report wants to find again, as plain JSON.
    """

    run_id: str
    started_at: datetime
    finished_at: datetime
    as_of: date
    status: str
    records: int
    counts: Mapping[str, Any] = field(default_factory=dict)
    report_published: bool = False
    manifest_sha256: str | None = None


@dataclass(frozen=True)
class ExtractRow:
    """One row of ``extracts``; ``code`` is the finding about a refused one, ``created_at`` when it was first pulled."""

    extract_no: int
    extract_id: str
    actor: str
    file: str
    sha256: str
    state: ExtractState
    created_at: datetime
    priority: int
    records: int
    code: int | None = None


@dataclass(frozen=True)
class HeldExtract:
    """An extract that was held and not released since; ``created_at`` is when it was first pulled."""

    extract_id: str
    actor: str
    file: str
    sha256: str
    created_at: datetime

    def is_called(self, name: str) -> bool:
        """Whether somebody means this one. The pages of the report show the beginning of the digest alone: a whole
        extract id may, by chance, have ten digits in a row, which is what a CPR number looks like."""
        return name == self.extract_id or (len(name) >= SHORTEST_DIGEST and self.sha256.startswith(name))


@dataclass(frozen=True)
class ForgottenRun:
    """One row of ``forgotten_runs``: the digest of a manifest that is gone, and of the one that it named before it."""

    run_id: str
    manifest_sha256: str
    previous_run_id: str | None
    previous_sha256: str | None
    forgotten_at: datetime


def write_run(connection: Connection, run: RunRow) -> None:
    values = asdict(run) | {"counts": json.dumps(run.counts, ensure_ascii=False, sort_keys=True)}
    connection.execute(insert(runs).values(values))


def write_extracts(connection: Connection, run_id: str, delivered: list[ExtractRow]) -> None:
    if delivered:
        connection.execute(insert(extracts), [asdict(extract) | {"run_id": run_id} for extract in delivered])


def next_source_no(connection: Connection) -> int:
    """A number that no extract and no other source has; nobody takes it while the store is held exclusively."""
    numbers = (func.coalesce(func.max(column), 0) for column in (extracts.c.extract_no, contact_sources.c.source_no))
    return 1 + max(connection.execute(select(number)).scalar_one() for number in numbers)


def applied_digests(connection: Connection, actor: str) -> set[str]:
    """The SHA-256 of every extract of the actor that was applied."""
    applied = select(extracts.c.sha256).where(extracts.c.actor == actor, extracts.c.state == "applied")
    return set(connection.execute(applied).scalars())


def last_applied(connection: Connection, actor: str, sha256: str) -> int | None:
    """How many records the actor's last applied extract has, which this one is compared with; None without one.

    Of an extract that was held before, it is the one that was the last then: what came after it says nothing about it.
    Several that one run applied were applied at once: it is the one created last, and of several the largest.
    """
    first_held = (
        select(extracts.c.run_id)
        .where(extracts.c.actor == actor, extracts.c.sha256 == sha256, extracts.c.state == "held")
        .order_by(extracts.c.extract_no)
        .limit(1)
        .scalar_subquery()
    )
    # Numbers rise from run to run, which times need not do.
    run = extracts.alias()
    first_of_that_run = select(func.min(run.c.extract_no)).where(run.c.run_id == first_held).scalar_subquery()
    applied = select(extracts).where(
        extracts.c.actor == actor,
        extracts.c.state == "applied",
        or_(first_of_that_run.is_(None), extracts.c.extract_no < first_of_that_run),
    )
    latest = applied.order_by(extracts.c.extract_no.desc()).limit(1).with_only_columns(extracts.c.run_id)
    of_that_run = applied.where(extracts.c.run_id == latest.scalar_subquery())
    last = of_that_run.order_by(extracts.c.created_at.desc(), extracts.c.records.desc()).limit(1)
    return connection.execute(last.with_only_columns(extracts.c.records)).scalar_one_or_none()


def held_extracts(connection: Connection) -> list[HeldExtract]:
    """The extracts that wait for their release, each once, the one first held first."""
    applied = extracts.alias()
    is_applied = exists().where(
        applied.c.actor == extracts.c.actor, applied.c.sha256 == extracts.c.sha256, applied.c.state == "applied"
    )
    held = select(*(extracts.c[field.name] for field in fields(HeldExtract))).where(
        extracts.c.state == "held", ~is_applied
    )
    rows = (HeldExtract(*row) for row in connection.execute(held.order_by(extracts.c.extract_no)))
    return list({(row.actor, row.sha256): row for row in rows}.values())


def previous_run_of(connection: Connection, actor: str) -> str | None:
    """The last run in which an extract of the actor was read: applied, or held."""
    read = select(extracts.c.run_id).where(extracts.c.actor == actor, extracts.c.state.in_(("applied", "held")))
    return connection.execute(read.order_by(extracts.c.extract_no.desc()).limit(1)).scalar_one_or_none()


def read_runs(connection: Connection) -> list[RunRow]:
    """Every run that was committed, in the order in which they began."""
    return _runs(connection, select(runs).order_by(runs.c.started_at, runs.c.run_id))


def read_run(connection: Connection, run_id: str) -> RunRow | None:
    return next(iter(_runs(connection, select(runs).where(runs.c.run_id == run_id))), None)


def newest_run(connection: Connection) -> RunRow | None:
    """The run that was committed last."""
    newest = select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(1)
    return next(iter(_runs(connection, newest)), None)


def unpublished_runs(connection: Connection) -> list[str]:
    """Runs that were committed, but whose report did not get its name; in the order in which they began."""
    unpublished = select(runs.c.run_id).where(~runs.c.report_published)
    return list(connection.execute(unpublished.order_by(runs.c.started_at, runs.c.run_id)).scalars())


def mark_published(connection: Connection, run_id: str) -> None:
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(report_published=True))


def keep_manifest_digest(connection: Connection, run_id: str, sha256: str) -> None:
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(manifest_sha256=sha256))


def held_digests(connection: Connection) -> set[tuple[str, str]]:
    """Actor and SHA-256 of the extracts that are held, and may be released."""
    states: dict[str, set[tuple[str, str]]] = {"held": set(), "applied": set()}
    for state, actor, sha256 in connection.execute(
        select(extracts.c.state, extracts.c.actor, extracts.c.sha256).where(extracts.c.state.in_(states))
    ):
        states[state].add((actor, sha256))
    return states["held"] - states["applied"]


def digests_of_runs(connection: Connection, run_ids: list[str]) -> set[tuple[str, str]]:
    """Actor and SHA-256 of every extract that these runs took in."""
    taken_in = select(extracts.c.actor, extracts.c.sha256).where(extracts.c.run_id.in_(run_ids))
    return {(actor, sha256) for actor, sha256 in connection.execute(taken_in)}


def forget_runs(connection: Connection, forgotten: list[ForgottenRun]) -> None:
    if forgotten:
        connection.execute(insert(forgotten_runs), [asdict(run) for run in forgotten])


def read_forgotten_runs(connection: Connection) -> dict[str, ForgottenRun]:
    """What is kept of the runs whose reports were removed, by run id."""
    return {row.run_id: ForgottenRun(**row._asdict()) for row in connection.execute(select(forgotten_runs))}


def _runs(connection: Connection, chosen: Select[Any]) -> list[RunRow]:
    return [_run(row) for row in connection.execute(chosen)]


def _run(row: Row[Any]) -> RunRow:
    values = row._asdict()
    return RunRow(**values | {"counts": json.loads(values["counts"])})
