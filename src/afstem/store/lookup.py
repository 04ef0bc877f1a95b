"""What a run needs to know from the store before it decides anything, as columns."""

import json
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, func, select

from afstem.finding_memory import MEMORY_SCHEMA
from afstem.lookup import Citizens
from afstem.packed import unpack
from afstem.permissions import Relations
from afstem.reconcile import CANDIDATE_SCHEMA, CONTACTS_PER_DAY
from afstem.schema import NO_TIME
from afstem.store.bulk_read import read_arrow
from afstem.store.columns import microseconds, read_columns
from afstem.store.tables import (
    confirmations,
    contact_rows,
    contact_sources,
    extracts,
    finding_memory,
    recent_contact_rows,
    reference_columns,
)
from afstem.subscriptions import PROTECTED_CHANNEL, active

DEAD = "90"
"""The CPR status code of a dead citizen (SPEC 2.6)."""

NO_RECORD = -1
"""The ``record_no`` of a stored contact that came from the reference data."""

RECORD_BITS = 32
"""A ``record_no`` needs fewer (`schema.MAX_RECORD_NO`)."""

RELATION_SCHEMA = pa.schema(
    [("number", pa.int64()), ("kind", pa.uint8()), ("valid_from", pa.int32()), ("valid_to", pa.int32())]
)
"""One actor's relations as they are packed, sorted by CPR number; see `permissions.Relations`."""

_RELATION_COLUMNS = {"numbers": "number", "kinds": "kind", "valid_from": "valid_from", "valid_to": "valid_to"}

SOURCE_SCHEMA = pa.schema(
    [
        ("source_no", pa.int64()),
        ("actor", pa.string()),
        ("sha256", pa.string()),
        ("created_at", pa.int64()),
        ("priority", pa.int64()),
    ]
)
"""Where stored contacts come from: an applied extract (``created_at`` in microseconds UTC), or what a reference load
brought for one actor: then `NO_TIME`, and neither digest nor priority."""

CONFIRMATION_SCHEMA = pa.schema([("contact", pa.int64()), ("source_no", pa.int32()), ("record_no", pa.int32())])
"""By contact (`reconcile.contact_numbers`), the record that confirmed it last; sorted, each contact once."""

_STORED = {
    table: f"""
    SELECT contact, coalesce(value, ''), coalesce(registered_at, {NO_TIME + 1} - 1),
           (CAST(source_no AS BIGINT) << {RECORD_BITS}) + record_no
    FROM {table} WHERE contact
    """  # noqa: S608 - constants
    for table in (contact_rows.name, recent_contact_rows.name)
}
"""No nulls: ADBC tells the type of an SQLite column by the first rows. No stored value is empty.

A column fewer is a tenth less time, so source and record come as one integer.
"""

_BETWEEN = "BETWEEN ? AND ?"
_AMONG = {
    "sqlite": "IN (SELECT value FROM json_each(?))",
    "postgresql": "IN (SELECT json_array_elements_text(?::json)::bigint)",
}

SEARCH_COSTS = 6
"""Finding a contact takes as long as reading so many on the way past (3 million contacts: 3 to 7)."""


def read_citizens(connection: Connection) -> Citizens:
    """Every citizen, and those who are dead, sorted by CPR number."""
    packed = read_packed(connection, "citizens", "")
    if packed is None:
        return Citizens(np.empty(0, np.int64), np.empty(0, np.int64))
    numbers = _ints(packed["number"])
    return Citizens(numbers, numbers[pc.equal(packed["status"], DEAD).to_numpy()])


def read_relations(connection: Connection, actor: str) -> Relations:
    """The relations of one actor, past and future ones too, sorted by CPR number."""
    packed = read_packed(connection, "relations", actor)
    if packed is None:
        packed = RELATION_SCHEMA.empty_table()
    return Relations(**{field: packed[name].to_numpy() for field, name in _RELATION_COLUMNS.items()})


def read_email_subscribers(connection: Connection, as_of: date) -> npt.NDArray[np.int64]:
    """The CPR numbers, sorted and once each, of citizens with an email subscription on the as-of date."""
    packed = read_packed(connection, "subscriptions", PROTECTED_CHANNEL)
    if packed is None:
        return np.empty(0, np.int64)
    running = active(packed["valid_from"].to_numpy(), packed["valid_to"].to_numpy(), as_of)
    subscribed = _ints(packed["number"])[running]
    return subscribed[np.diff(subscribed, prepend=-1) != 0]


def read_packed(connection: Connection, name: str, part: str) -> pa.Table | None:
    """One part of a reference table; None where nothing of it was ever loaded."""
    kept = reference_columns.c
    content = connection.execute(select(kept.content).where(kept.name == name, kept.part == part)).scalar_one_or_none()
    return None if content is None else unpack(content)


def read_stored_contacts(engine: Engine, low: int, high: int) -> pa.Table:
    """Every stored contact with low <= contact < high, as `reconcile.CANDIDATE_SCHEMA`, sorted by contact."""
    return _read_contacts(engine, _BETWEEN, (low, high - 1))


def read_these_contacts(engine: Engine, contacts: npt.NDArray[np.int64]) -> pa.Table:
    """Those of these contacts (sorted, once each) that are stored, as `read_stored_contacts`."""
    return _read_contacts(engine, _AMONG[engine.dialect.name], (json.dumps(contacts.tolist()),))


def _read_contacts(engine: Engine, chosen: str, parameters: tuple[str | int, ...]) -> pa.Table:
    # Two transactions; nobody writes between them, since whoever wants to know holds the store (`Store.exclusive`).
    rows, recent = (_as_candidates(read_arrow(engine, stored + chosen, parameters)) for stored in _STORED.values())
    return _with_recent(rows, recent) if len(recent) else rows


def _with_recent(rows: pa.Table, recent: pa.Table) -> pa.Table:
    """Both tables as one, each sorted by contact; what is recent takes the place of the row of the same contact."""
    contacts, changed = rows["contact"].to_numpy(), recent["contact"].to_numpy()
    place = np.searchsorted(contacts, changed)
    replaced = np.append(contacts, -1)[place] == changed
    kept = np.delete(np.arange(len(rows)), place[replaced])
    before = np.cumsum(replaced) - replaced  # rows that are gone before each place
    chosen = np.insert(kept, place - before, len(rows) + np.arange(len(recent)))
    return pa.concat_tables([rows, recent]).take(pa.array(chosen))


def estimate_contacts(connection: Connection, low: int, high: int) -> int:
    """About how many contacts of low <= contact < high are stored, told by the citizens born in June of one day.

    A count of all would read them all.
    """
    month = CONTACTS_PER_DAY // 100
    june = low // CONTACTS_PER_DAY * CONTACTS_PER_DAY + 6 * month
    counted: int = connection.execute(
        select(func.count()).where(contact_rows.c.contact.between(june, june + month - 1))
    ).scalar_one()
    return counted * 12 * (high - low) // CONTACTS_PER_DAY


def _as_candidates(rows: pa.Table) -> pa.Table:
    if not len(rows):
        return CANDIDATE_SCHEMA.empty_table()
    contact, value, registered_at, origin = rows.columns
    value = pc.if_else(pc.equal(value, ""), None, value)
    # The record_no of what was loaded is -1, so the source is found by what is left when it is taken away.
    source_no = (origin.to_numpy() - NO_RECORD) >> RECORD_BITS
    record_no = origin.to_numpy() - (source_no << RECORD_BITS)
    columns = [contact, value, registered_at, source_no, record_no]
    stored = pa.table(columns, CANDIDATE_SCHEMA.names).cast(CANDIDATE_SCHEMA)
    # SQLite reads along the primary key, which is this order; PostgreSQL as its rows lie.
    in_order = (np.diff(contact.to_numpy()) > 0).all()
    return stored if in_order else stored.take(pa.array(np.argsort(contact.to_numpy(), kind="stable")))


def read_confirmations(connection: Connection, days: range) -> dict[int, pa.Table]:
    """What was confirmed since it was stored, as `CONFIRMATION_SCHEMA`, by the leading two digits of the citizens."""
    kept = confirmations.c
    chosen = select(kept.day, kept.content).where(kept.day >= days.start, kept.day < days.stop)
    return {day: unpack(content) for day, content in connection.execute(chosen)}


def read_sources(connection: Connection) -> pa.Table:
    """Everything that a stored contact may come from, as `SOURCE_SCHEMA`."""
    every = select(
        contact_sources.c.source_no,
        contact_sources.c.actor,
        extracts.c.sha256,
        microseconds(extracts.c.created_at),
        extracts.c.priority,
    ).join_from(contact_sources, extracts, contact_sources.c.source_no == extracts.c.extract_no, isouter=True)
    return read_columns(connection, every.order_by(contact_sources.c.source_no), SOURCE_SCHEMA)


def read_finding_memory(connection: Connection, actor: str) -> pa.Table:
    """What is remembered of one actor's findings, as `finding_memory.MEMORY_SCHEMA`."""
    kept = select(finding_memory.c.content).where(finding_memory.c.actor == actor)
    content = connection.execute(kept).scalar_one_or_none()
    if content is None:
        return MEMORY_SCHEMA.empty_table()
    memory = unpack(content)
    for field in MEMORY_SCHEMA:
        if field.name not in memory.column_names:  # written before so much was remembered
            memory = memory.append_column(field, pa.nulls(len(memory), field.type))
    return memory


def _ints(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = column.to_numpy()
    return numbers
