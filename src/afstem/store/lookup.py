"""What a run needs to know from the store before it decides anything, as columns."""

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from afstem.finding_memory import MEMORY_SCHEMA
from afstem.lookup import Citizens
from afstem.periods import OPEN_END
from afstem.permissions import RELATION_KINDS, Relations
from afstem.reconcile import CANDIDATE_SCHEMA, LOADED
from afstem.schema import ContactType
from afstem.store.columns import PERSONNUMMER_DIGITS, days, microseconds, number, read_columns
from afstem.store.tables import citizens, contacts, extracts, finding_memory, relations, subscriptions
from afstem.subscriptions import PROTECTED_CHANNEL, active

DEAD = "90"
"""The CPR status code of a dead citizen (SPEC 2.6)."""

NO_RECORD = -1
"""The ``record_no`` of a stored contact that came from the reference data."""

EXTRACT_SCHEMA = pa.schema(
    [
        ("extract_no", pa.int64()),
        ("extract_id", pa.string()),
        ("actor", pa.string()),
        ("sha256", pa.string()),
        ("created_at", pa.int64()),
        ("priority", pa.int64()),
    ]
)
"""An applied extract; ``created_at`` in microseconds UTC."""


def read_citizens(connection: Connection) -> Citizens:
    """Every citizen, and those who are dead, sorted by CPR number."""
    rows = read_columns(
        connection,
        select(number(citizens.c.personnummer), case((citizens.c.status == DEAD, 1), else_=0)),
        pa.schema([("number", pa.int64()), ("dead", pa.int8())]),
    )
    rows = _sorted(rows)
    numbers = _ints(rows["number"])
    return Citizens(numbers, numbers[rows["dead"].to_numpy() == 1])


def read_relations(connection: Connection, actor: str) -> Relations:
    """The relations of one actor, past and future ones too, sorted by CPR number."""
    kind = relations.c.kind
    rows = read_columns(
        connection,
        select(
            number(relations.c.personnummer),
            case(*((kind == name, code) for code, name in enumerate(RELATION_KINDS))),
            days(relations.c.valid_from),
            func.coalesce(days(relations.c.valid_to), OPEN_END),
        ).where(relations.c.actor == actor),
        pa.schema([("number", pa.int64()), ("kind", pa.uint8()), ("valid_from", pa.int32()), ("valid_to", pa.int32())]),
    )
    rows = _sorted(rows)
    return Relations(
        _ints(rows["number"]), rows["kind"].to_numpy(), rows["valid_from"].to_numpy(), rows["valid_to"].to_numpy()
    )


def read_email_subscribers(connection: Connection, as_of: date) -> npt.NDArray[np.int64]:
    """The CPR numbers, sorted and once each, of citizens with an email subscription on the as-of date."""
    rows = read_columns(
        connection,
        select(
            number(subscriptions.c.personnummer),
            days(subscriptions.c.valid_from),
            func.coalesce(days(subscriptions.c.valid_to), OPEN_END),
        ).where(subscriptions.c.channel == PROTECTED_CHANNEL),
        pa.schema([("number", pa.int64()), ("valid_from", pa.int32()), ("valid_to", pa.int32())]),
    )
    running = active(rows["valid_from"].to_numpy(), rows["valid_to"].to_numpy(), as_of)
    return np.unique(_ints(rows["number"])[running])


def read_stored_contacts(connection: Connection, low: int, high: int) -> pa.Table:
    """The contacts of citizens with low <= CPR number < high, as `reconcile.CANDIDATE_SCHEMA`, sorted by citizen and
    contact type; extract_no `LOADED` and record_no `NO_RECORD` for what came from the reference data."""
    stored = select(
        number(contacts.c.personnummer),
        type_code(contacts.c.contact_type),
        contacts.c.value,
        microseconds(contacts.c.registered_at),
        func.coalesce(contacts.c.extract_no, LOADED),
        func.coalesce(contacts.c.record_no, NO_RECORD),
    )
    rows = read_columns(connection, _between(stored, low, high), CANDIDATE_SCHEMA)
    key = _ints(rows["number"]) * len(ContactType) + rows["contact_type"].to_numpy()
    return rows.take(pa.array(np.argsort(key, kind="stable")))


def read_known_extracts(connection: Connection) -> pa.Table:
    """Every extract that was applied, hence every one that a stored contact may come from, as `EXTRACT_SCHEMA`."""
    applied = select(
        extracts.c.extract_no,
        extracts.c.extract_id,
        extracts.c.actor,
        extracts.c.sha256,
        microseconds(extracts.c.created_at),
        extracts.c.priority,
    ).where(extracts.c.state == "applied")
    return read_columns(connection, applied.order_by(extracts.c.extract_no), EXTRACT_SCHEMA)


def read_finding_memory(connection: Connection, actor: str) -> pa.Table:
    """What is remembered of one actor's findings, as `finding_memory.MEMORY_SCHEMA`."""
    remembered = select(
        finding_memory.c.cpr_token,
        finding_memory.c.contact_type,
        finding_memory.c.code,
        finding_memory.c.first_seen_run,
        finding_memory.c.last_seen_run,
        finding_memory.c.runs_seen,
    ).where(finding_memory.c.actor == actor)
    return read_columns(connection, remembered, MEMORY_SCHEMA)


def type_code(contact_type: ColumnElement[str]) -> ColumnElement[int]:
    """A contact type's slug as its code; `schema.UNKNOWN_TYPE` for any other text."""
    return case(*((contact_type == member.slug, member.value) for member in ContactType), else_=-1)


def _between(stored: Select[Any], low: int, high: int) -> Select[Any]:
    """Bounds on the text, which the primary key can use: ten digits sort as their number does."""
    bounded = stored.where(contacts.c.personnummer >= f"{max(low, 0):0{PERSONNUMMER_DIGITS}d}")
    if high < 10**PERSONNUMMER_DIGITS:
        bounded = bounded.where(contacts.c.personnummer < f"{max(high, 0):0{PERSONNUMMER_DIGITS}d}")
    return bounded


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(np.argsort(_ints(rows["number"]), kind="stable")))


def _ints(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = column.to_numpy()
    return numbers
