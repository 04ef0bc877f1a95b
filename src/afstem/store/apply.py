"""Apply a run: ledger, contacts, history and finding memory in one transaction, proved before it is committed.

The ledger row stands in the same transaction as the changes, so a COMMIT whose acknowledgement is lost can neither
be doubled nor be taken for a failure: the row is there, or nothing is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from afstem.errors import RunError
from afstem.schema import NO_TIME
from afstem.store.columns import contact_type_slugs, insert_columns, personnummer_text, upsert_columns
from afstem.store.connection import clean_errors, connected_to_write, describe
from afstem.store.ledger import ExtractRow, RunRow, read_run, write_extracts, write_run
from afstem.store.tables import contact_history, contacts, finding_memory


@dataclass(frozen=True)
class AppliedCounts:
    """What the store itself says about a run: rows of ``contact_history`` by (actor, slug of the contact type)."""

    history: Mapping[tuple[str, str], int]


def apply_run(
    engine: Engine,
    run: RunRow,
    extracts: list[ExtractRow],
    changes: Iterable[pa.Table],
    memory: Mapping[str, pa.Table],
    verify: Callable[[AppliedCounts], None],
    still_held: Callable[[], None],
    *,
    dry_run: bool,
) -> AppliedCounts:
    """Write a whole run, or nothing; see `Store.apply`."""
    uncertain: DBAPIError | None = None
    with clean_errors(), connected_to_write(engine) as connection:
        transaction = connection.begin()
        try:
            if read_run(connection, run.run_id) is not None:
                return count_history(connection, run.run_id)
            write_run(connection, run)
            write_extracts(connection, run.run_id, extracts)
            for batch in changes:
                _write_changes(connection, run, extracts, batch)
            for actor, remembered in memory.items():
                _replace_memory(connection, actor, remembered)
            counts = count_history(connection, run.run_id)
            verify(counts)
            if dry_run:
                return counts
            still_held()
            try:
                transaction.commit()
            except DBAPIError as error:
                uncertain = error
        finally:
            transaction.close()  # rolls back what was not committed
    if uncertain is not None:
        _settle_commit(engine, run, uncertain)
    return counts


def count_history(connection: Connection, run_id: str) -> AppliedCounts:
    """Count the history rows of a run in the store."""
    group = (contact_history.c.actor, contact_history.c.contact_type)
    counted = select(*group, func.count()).where(contact_history.c.run_id == run_id).group_by(*group)
    return AppliedCounts({(actor, slug): rows for actor, slug, rows in connection.execute(counted)})


def _settle_commit(engine: Engine, run: RunRow, failure: DBAPIError) -> None:
    """After a COMMIT that failed: return if the run is in the store, raise `RunError` if it is not.

    Inserting the same key waits for a commit that is still on its way, which reading would overlook.
    """
    try:
        with connected_to_write(engine) as connection, connection.begin() as transaction:
            write_run(connection, run)
            transaction.rollback()
    except IntegrityError:
        return
    except DBAPIError:
        raise RunError(
            f"{describe(failure)}; it was lost during COMMIT and does not answer: "
            "the next run finds out whether this one counts, and doubles nothing"
        ) from None
    raise RunError(describe(failure)) from None


def _write_changes(connection: Connection, run: RunRow, extracts: list[ExtractRow], changes: pa.Table) -> None:
    """Contacts for all of the changes, history for those that changed the value."""
    rows = changes.num_rows
    place = pc.index_in(
        changes["extract_no"], value_set=pa.array([extract.extract_no for extract in extracts], pa.int64())
    )
    if place.null_count:
        raise AssertionError("a change comes from an extract that is not of this run")
    shared = {
        "personnummer": personnummer_text(changes["number"]),
        "contact_type": contact_type_slugs(changes["contact_type"]),
        "actor": pa.array([extract.actor for extract in extracts], pa.string()).take(place),
        "record_no": changes["record_no"],
        "run_id": pa.repeat(run.run_id, rows),
    }
    finished_at = pa.repeat(_instant(run.finished_at), rows)
    upsert_columns(
        connection,
        contacts,
        pa.table(
            shared
            | {
                "value": changes["value"],
                "registered_at": _times(changes["registered_at"]),
                "verified_at": finished_at,
                "extract_no": changes["extract_no"],
            }
        ),
    )
    history = pa.table(
        shared
        | {
            "before": changes["before"],
            "after": changes["value"],
            "extract_id": pa.array([extract.extract_id for extract in extracts], pa.string()).take(place),
            "changed_at": finished_at,
        }
    )
    insert_columns(connection, contact_history, history.filter(changes["changed"]))


def _replace_memory(connection: Connection, actor: str, remembered: pa.Table) -> None:
    connection.execute(delete(finding_memory).where(finding_memory.c.actor == actor))
    insert_columns(connection, finding_memory, remembered.append_column("actor", pa.repeat(actor, remembered.num_rows)))


def _times(microseconds: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds UTC as timestamps, null for `NO_TIME`."""
    return pc.if_else(pc.equal(microseconds, NO_TIME), pa.scalar(None, pa.int64()), microseconds).cast(_UTC)


_UTC = pa.timestamp("us", tz="UTC")


def _instant(time: datetime) -> pa.Scalar:
    return pa.scalar(time, _UTC)
