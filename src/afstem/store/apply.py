"""Apply a run: ledger, contacts, history and finding memory in one transaction, proved before it is committed.

The ledger row stands in the same transaction as the changes, so a COMMIT whose acknowledgement is lost can neither
be doubled nor be taken for a failure: the row is there, or nothing is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, Table, and_, case, delete, func, insert, select

from afstem.schema import NO_TIME, Change
from afstem.store.columns import insert_columns
from afstem.store.committing import commit
from afstem.store.connection import clean_errors, connected_to_write
from afstem.store.ledger import ExtractRow, RunRow, keep_manifest_digest, read_run, write_extracts, write_run
from afstem.store.recent_contacts import ContactWriter
from afstem.store.tables import (
    confirmations,
    contact_history,
    contact_sources,
    finding_memory,
    history_rows,
)

FIRST_OF_A_DRY_RUN = -(2**62)
"""Real rows have numbers from 1 on."""


@dataclass(frozen=True)
class AppliedCounts:
    """What the store itself says about a run: rows of ``contact_history`` by (actor, slug of the contact type) and by
    what they changed."""

    history: Mapping[tuple[str, str], Mapping[str, int]]


def apply_run(
    engine: Engine,
    run: RunRow,
    extracts: list[ExtractRow],
    changes: Iterable[pa.Table],
    confirmed: Iterable[tuple[int, bytes]],
    memory: Iterable[tuple[str, bytes]],
    verify: Callable[[AppliedCounts], str | None],
    still_held: Callable[[], None],
    *,
    dry_run: bool,
) -> AppliedCounts:
    """Write a whole run, or nothing; see `Store.apply`."""
    with clean_errors(engine), connected_to_write(engine) as connection:
        transaction = connection.begin()
        try:
            if read_run(connection, run.run_id) is not None:
                return count_history(connection, run.run_id)
            write_run(connection, run)
            write_extracts(connection, run.run_id, extracts)
            _write_sources(connection, run, extracts)
            sources = pa.array([extract.extract_no for extract in extracts], pa.int64())
            contacts, history = ContactWriter(connection), _HistoryWriter(connection, dry_run=dry_run)
            for batch in changes:
                _write_changes(contacts, history, sources, batch)
            contacts.finish()
            for day, content in confirmed:
                _replace(connection, confirmations, day, content)
            for actor, content in memory:
                _replace(connection, finding_memory, actor, content)
            counts = count_history(connection, run.run_id)
            sha256 = verify(counts)
            if sha256 is not None:
                keep_manifest_digest(connection, run.run_id, sha256)
            if dry_run:
                return counts
            still_held()
            commit(engine, transaction, lambda found: read_run(found, run.run_id) is not None)
        finally:
            transaction.close()  # rolls back what was not committed
    return counts


def count_history(connection: Connection, run_id: str) -> AppliedCounts:
    """Count the history rows of a run in the store."""
    group = (contact_history.c.actor, contact_history.c.contact_type)
    before, after = contact_history.c.before, contact_history.c.after
    kinds = {
        Change.NEW: and_(before.is_(None), after.is_not(None)),
        Change.REPLACED: and_(before.is_not(None), after.is_not(None)),
        Change.REMOVED: after.is_(None),
    }
    counted = (
        select(*group, *(func.sum(case((holds, 1), else_=0)) for holds in kinds.values()))
        .where(contact_history.c.run_id == run_id)
        .group_by(*group)
    )
    return AppliedCounts(
        {
            (actor, slug): {str(kind): int(rows) for kind, rows in zip(kinds, counts, strict=True)}
            for actor, slug, *counts in connection.execute(counted)
        }
    )


class _HistoryWriter:
    """Appends to the history.

    PostgreSQL hands out numbers for good, whatever becomes of the transaction, so the rows of a dry run, which are
    thrown away, bring numbers of their own that no other row has.
    """

    def __init__(self, connection: Connection, *, dry_run: bool) -> None:
        self._connection = connection
        self._next_no = FIRST_OF_A_DRY_RUN if dry_run else None

    def write(self, rows: pa.Table) -> None:
        """Append rows with the columns of ``history_rows`` but for the number."""
        if self._next_no is not None:
            numbers = np.arange(self._next_no, self._next_no + len(rows))
            rows = rows.append_column(history_rows.c.history_no.name, pa.array(numbers))
            self._next_no += len(rows)
        insert_columns(self._connection, history_rows, rows)


def _write_sources(connection: Connection, run: RunRow, extracts: list[ExtractRow]) -> None:
    """Each applied extract is a source that stored contacts may come from."""
    sources = [
        {"source_no": extract.extract_no, "actor": extract.actor, "run_id": run.run_id, "verified_at": run.finished_at}
        for extract in extracts
        if extract.state == "applied"
    ]
    if sources:
        connection.execute(insert(contact_sources), sources)


def _write_changes(contacts: ContactWriter, history: _HistoryWriter, sources: pa.Array, changes: pa.Table) -> None:
    """Contacts for all of the changes, history for those that changed the value."""
    if pc.index_in(changes["source_no"], value_set=sources).null_count:
        raise AssertionError("a change comes from an extract that is not of this run")
    rows = changes.select(["contact", "value", "registered_at", "source_no", "record_no"])
    known = pc.if_else(pc.equal(rows["registered_at"], NO_TIME), None, rows["registered_at"])
    contacts.write(rows.set_column(2, "registered_at", known))
    changed = changes.filter(changes["changed"]).select(["contact", "before", "value", "source_no", "record_no"])
    history.write(changed.rename_columns({"value": "after", "source_no": "extract_no"}))


def _replace(connection: Connection, table: Table, key: str | int, content: bytes) -> None:
    """Keep a packed value under its key, in place of the one before."""
    (column,) = table.primary_key
    connection.execute(delete(table).where(column == key))
    connection.execute(insert(table).values({column.name: key, "content": content}))
