"""Load reference data: each file replaces the table of its name, all of a folder in one transaction (SPEC 2.6)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Table, delete, insert, select

from afstem.codelist import Codelist, contact_types
from afstem.errors import UsageError
from afstem.permissions import RELATION_KINDS
from afstem.registration_time import read_times
from afstem.schema import NO_TIME, UNKNOWN_TYPE, ContactType
from afstem.store.columns import contact_type_slugs, insert_columns, insert_new_columns, personnummer_text
from afstem.store.reference_files import ReferenceBatch, find_files, read_reference
from afstem.store.tables import citizens, contacts, relations, settings_kept, subscriptions
from afstem.subscriptions import CHANNELS

Normalise = Callable[[int, pa.StringArray], pa.StringArray]
"""From a contact type and values to the values as they are stored, null where one is not acceptable."""

Ints = npt.NDArray[np.int64]

STAMP = "reference."
"""``settings_kept`` remembers each load under this and the table's name."""


@dataclass(frozen=True)
class ReferenceStamp:
    """When a reference table was last replaced, and with how many rows."""

    loaded_at: datetime
    rows: int


@dataclass(frozen=True)
class _Load:
    """One load: where it writes, and what contacts are read by."""

    connection: Connection
    codelist: Codelist
    normalise: Normalise
    zone: ZoneInfo


def load_folder(
    connection: Connection, folder: Path, codelist: Codelist, normalise: Normalise, zone: ZoneInfo, loaded_at: datetime
) -> dict[str, int]:
    """Replace the tables for which the folder has a file; the rows of each file, by name.

    Runs in the caller's transaction. Raises `UsageError`, after which that must be rolled back.
    """
    load = _Load(connection, codelist, normalise, zone)
    rows = {name: _LOADERS[name](load, path) for name, path in find_files(folder).items()}
    for name, count in rows.items():
        stamp = json.dumps({"loaded_at": loaded_at.astimezone(UTC).isoformat(), "rows": count})
        connection.execute(delete(settings_kept).where(settings_kept.c.name == STAMP + name))
        connection.execute(insert(settings_kept).values(name=STAMP + name, value=stamp))
    return rows


def read_stamps(connection: Connection) -> dict[str, ReferenceStamp]:
    """The last load of each reference table that was ever loaded."""
    kept = select(settings_kept.c.name, settings_kept.c.value).where(settings_kept.c.name.startswith(STAMP))
    stamps = {name.removeprefix(STAMP): json.loads(value) for name, value in connection.execute(kept)}
    return {
        name: ReferenceStamp(datetime.fromisoformat(stamp["loaded_at"]), stamp["rows"])
        for name, stamp in stamps.items()
    }


def _load_citizens(load: _Load, path: Path) -> int:
    _empty(load.connection, citizens)
    seen = _Seen(path, "personnummer", "the citizen stands twice")
    for batch in read_reference(path):
        numbers = batch.numbers()
        seen.add(numbers, batch.lines)
        rows = pa.table({"personnummer": personnummer_text(pa.array(numbers)), "status": batch.statuses()})
        # A citizen who stands twice is refused below, with the line, rather than here by the database.
        insert_new_columns(load.connection, citizens, _in_order(rows, numbers))
    return seen.refuse_twice()


def _load_relations(load: _Load, path: Path) -> int:
    _empty(load.connection, relations)
    count = 0
    for batch in read_reference(path):
        columns = {"actor": batch.actors(), "kind": batch.one_of("kind", RELATION_KINDS)}
        count += _insert_periods(load, relations, batch, columns)
    return count


def _load_subscriptions(load: _Load, path: Path) -> int:
    _empty(load.connection, subscriptions)
    count = 0
    for batch in read_reference(path):
        columns = {"channel": batch.one_of("channel", CHANNELS), "type": batch.texts["type"]}
        count += _insert_periods(load, subscriptions, batch, columns)
    return count


def _insert_periods(load: _Load, table: Table, batch: ReferenceBatch, columns: dict[str, pa.StringArray]) -> int:
    numbers = batch.numbers()
    valid_from, valid_to = batch.periods()
    personnummer = personnummer_text(pa.array(numbers))
    rows = pa.table({"personnummer": personnummer, **columns, "valid_from": valid_from, "valid_to": valid_to})
    insert_columns(load.connection, table, rows)
    return len(numbers)


def _load_contacts(load: _Load, path: Path) -> int:
    """Replace what was loaded before; a contact that came from an extract is newer and stays (SPEC 5.3)."""
    load.connection.execute(delete(contacts).where(contacts.c.extract_no.is_(None)))
    seen = _Seen(path, "personnummer", "the contact stands twice")
    for batch in read_reference(path):
        numbers = batch.numbers()
        types = contact_types(batch.texts["kontaktdatatype"], load.codelist)
        batch.refuse(types == UNKNOWN_TYPE, "kontaktdatatype", "is not in the codelist")
        times, unreadable = read_times(batch.texts["registreret"], load.zone)
        batch.refuse(unreadable, "registreret", "is no time (ISO 8601)")
        seen.add(numbers * len(ContactType) + types, batch.lines)
        rows = pa.table(
            {
                "personnummer": personnummer_text(pa.array(numbers)),
                "contact_type": contact_type_slugs(pa.array(types)),
                "value": _stored_values(batch.texts["kontaktdata"], types, load.normalise),
                "registered_at": pa.array(times, mask=times == NO_TIME).cast(pa.timestamp("us", tz="UTC")),
                "actor": batch.actors(),
            }
        )
        insert_new_columns(load.connection, contacts, _in_order(rows, numbers))
    return seen.refuse_twice()


_LOADERS: dict[str, Callable[[_Load, Path], int]] = {
    "citizens": _load_citizens,
    "relations": _load_relations,
    "subscriptions": _load_subscriptions,
    "contacts": _load_contacts,
}


def _stored_values(given: pa.StringArray, types: npt.NDArray[np.int8], normalise: Normalise) -> pa.StringArray:
    """Values as they are stored: normalised where possible, else as given; null (removed) where empty."""
    is_given = np.asarray(pc.not_equal(given, ""), dtype=np.bool_)
    parts, places = [given], np.arange(len(given))
    filled = len(given)
    for contact_type in ContactType:
        chosen = np.flatnonzero(is_given & (types == contact_type))
        values = given.take(pa.array(chosen))
        parts.append(pc.coalesce(normalise(contact_type, values), values))
        places[chosen] = filled + np.arange(len(chosen))
        filled += len(chosen)
    return pa.concat_arrays(parts).take(pa.array(places, mask=~is_given))


class _Seen:
    """The keys of all the lines of one file, to find one that stands twice: 16 bytes a line."""

    def __init__(self, path: Path, column: str, fault: str) -> None:
        self._path, self._column, self._fault = path, column, fault
        self._keys: list[Ints] = []
        self._lines: list[Ints] = []

    def add(self, keys: Ints, lines: Ints) -> None:
        self._keys.append(keys)
        self._lines.append(lines)

    def refuse_twice(self) -> int:
        """Raise `UsageError` for the first line whose key stood before it; returns how many keys there are."""
        if not self._keys:
            return 0
        keys, lines = np.concatenate(self._keys), np.concatenate(self._lines)
        order = np.argsort(keys, kind="stable")
        again = order[1:][keys[order][1:] == keys[order][:-1]]
        if len(again):
            raise UsageError(f"{self._path}: line {lines[again.min()]}: {self._column}: {self._fault}")
        return len(keys)


def _empty(connection: Connection, table: Table) -> None:
    if connection.dialect.name == "postgresql":
        # DELETE would leave a country's dead rows behind at every load.
        connection.exec_driver_sql(f"TRUNCATE {table.name}")
    else:
        connection.execute(delete(table))


def _in_order(rows: pa.Table, numbers: Ints) -> pa.Table:
    return rows.take(pa.array(np.argsort(numbers, kind="stable")))
