"""Load reference data: each file replaces the table of its name, all of a folder in one transaction (SPEC 2.6)."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, delete, insert, select

from afstem.codelist import Codelist, contact_types
from afstem.errors import UsageError
from afstem.packed import pack, unpack
from afstem.periods import OPEN_END
from afstem.permissions import RELATION_KINDS
from afstem.reconcile import CONTACTS_PER_DAY, contact_numbers
from afstem.registration_time import read_times
from afstem.schema import NO_TIME, UNKNOWN_TYPE, ContactType
from afstem.store.columns import insert_new_columns, upsert_columns
from afstem.store.ledger import next_source_no
from afstem.store.lookup import NO_RECORD
from afstem.store.recent_contacts import move, remember_size
from afstem.store.reference_files import ReferenceBatch, find_files, read_reference
from afstem.store.tables import confirmations, contact_rows, contact_sources, reference_columns, settings_kept
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


def was_loaded(connection: Connection, rows: Mapping[str, int], loaded_at: datetime) -> bool:
    """Whether this load is in the store: its stamps tell, for it replaces all of its files or none."""
    stamps = read_stamps(connection)
    return all(name in stamps and stamps[name].loaded_at == loaded_at for name in rows)


def _load_citizens(load: _Load, path: Path) -> int:
    seen = _Seen(path, "personnummer", "the citizen stands twice")
    statuses = []
    for batch in read_reference(path):
        seen.add(batch.numbers(), batch.lines)
        statuses.append(batch.statuses())
    numbers, order = seen.sorted_once()
    status = pa.chunked_array(statuses, pa.string()).combine_chunks().take(pa.array(order))
    return _replace(load, "citizens", {"": pa.table({"number": numbers, "status": status})})


def _load_relations(load: _Load, path: Path) -> int:
    def split(batch: ReferenceBatch) -> tuple[pa.StringArray, dict[str, pa.Array]]:
        kind = pc.index_in(batch.one_of("kind", RELATION_KINDS), value_set=pa.array(RELATION_KINDS))
        return batch.actors(), {"kind": kind.cast(pa.uint8())}

    return _load_periods(load, "relations", path, split)


def _load_subscriptions(load: _Load, path: Path) -> int:
    def split(batch: ReferenceBatch) -> tuple[pa.StringArray, dict[str, pa.Array]]:
        return batch.one_of("channel", CHANNELS), {"type": batch.texts["type"]}

    return _load_periods(load, "subscriptions", path, split)


Split = Callable[[ReferenceBatch], tuple[pa.StringArray, dict[str, pa.Array]]]
"""From a batch to the part that each line belongs to, and its columns beside number and period."""


def _load_periods(load: _Load, name: str, path: Path, split: Split) -> int:
    """Pack what holds for a time, each part by itself and sorted by CPR number."""
    parts: dict[str, list[pa.Table]] = {}
    for batch in read_reference(path):
        part, columns = split(batch)
        valid_from, valid_to = batch.periods()
        period = {"valid_from": valid_from.cast(pa.int32()), "valid_to": valid_to.cast(pa.int32()).fill_null(OPEN_END)}
        codes = part.dictionary_encode()
        keys = codes.dictionary.to_pylist()
        for code, rows in _grouped(codes.indices.to_numpy(), pa.table({"number": batch.numbers()} | columns | period)):
            parts.setdefault(keys[code], []).append(rows)
    return _replace(load, name, {key: _by(pa.concat_tables(parts[key]), "number") for key in sorted(parts)})


def _load_contacts(load: _Load, path: Path) -> int:
    """Replace what was loaded before; a contact that came from an extract, or that one has confirmed, is newer and
    stays (SPEC 5.3)."""
    move(load.connection)
    _write_confirmations(load.connection)
    loaded = select(contact_sources.c.source_no).where(contact_sources.c.run_id.is_(None))
    load.connection.execute(delete(contact_rows).where(contact_rows.c.source_no.in_(loaded)))
    load.connection.execute(delete(contact_sources).where(contact_sources.c.run_id.is_(None)))
    next_no = next_source_no(load.connection)
    sources: dict[str, int] = {}
    by_day: dict[int, list[pa.Table]] = {}
    seen = _Seen(path, "personnummer", "the contact stands twice")
    for batch in read_reference(path):
        types = contact_types(batch.texts["kontaktdatatype"], load.codelist)
        batch.refuse(types == UNKNOWN_TYPE, "kontaktdatatype", "is not in the codelist")
        times, unreadable = read_times(batch.texts["registreret"], load.zone)
        batch.refuse(unreadable, "registreret", "is no time (ISO 8601)")
        contact = contact_numbers(batch.numbers(), types)
        seen.add(contact, batch.lines)
        actors = batch.actors().dictionary_encode()
        numbered = [sources.setdefault(actor, next_no + len(sources)) for actor in actors.dictionary.to_pylist()]
        rows = pa.table(
            {
                "contact": contact,
                "value": _stored_values(batch.texts["kontaktdata"], types, load.normalise),
                "registered_at": pa.array(times, mask=times == NO_TIME),
                "source_no": np.array(numbered, np.int32)[actors.indices.to_numpy()],
            }
        )
        for day, of_day in _grouped(contact // CONTACTS_PER_DAY, rows):
            by_day.setdefault(day, []).append(of_day)
    # All of them in the order of the key: a country's, inserted as they come, would rewrite the whole tree many times.
    for day in sorted(by_day):
        _insert_loaded(load.connection, _by(pa.concat_tables(by_day.pop(day)), "contact"))
    if sources:
        named = [{"source_no": source_no, "actor": actor} for actor, source_no in sources.items()]
        load.connection.execute(insert(contact_sources), named)
    remember_size(load.connection)
    return len(seen.sorted_once()[0])


def _write_confirmations(connection: Connection) -> None:
    """Put what was confirmed since into the rows, so that each tells by itself whether an extract stands behind it."""
    for content in connection.execute(select(confirmations.c.content)).scalars().all():
        upsert_columns(connection, contact_rows, unpack(content))
    connection.execute(delete(confirmations))


def _insert_loaded(connection: Connection, loaded: pa.Table) -> None:
    record_no = pa.array(np.full(len(loaded), NO_RECORD))
    insert_new_columns(connection, contact_rows, loaded.append_column("record_no", record_no))


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
        self._keys = [np.empty(0, np.int64)]
        self._lines = [np.empty(0, np.int64)]

    def add(self, keys: Ints, lines: Ints) -> None:
        self._keys.append(keys)
        self._lines.append(lines)

    def sorted_once(self) -> tuple[Ints, Ints]:
        """The keys in order, and where each stood; raises `UsageError` for the first line whose key stood before."""
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        again = order[1:][keys[1:] == keys[:-1]]
        if len(again):
            line = np.concatenate(self._lines)[again.min()]
            raise UsageError(f"{self._path}: line {line}: {self._column}: {self._fault}")
        return keys, order


def _replace(load: _Load, name: str, parts: Mapping[str, pa.Table]) -> int:
    """Make these the parts of a reference table; returns their rows."""
    load.connection.execute(delete(reference_columns).where(reference_columns.c.name == name))
    for part, rows in parts.items():
        row = {"name": name, "part": part, "rows": len(rows), "content": pack(rows)}
        load.connection.execute(insert(reference_columns).values(row))
    return sum(map(len, parts.values()))


def _grouped(codes: npt.NDArray[np.integer], rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each small code, by one stable sort instead of a pass over all of them for each code."""
    narrow = codes.astype(np.int16)
    rows = rows.take(pa.array(np.argsort(narrow, kind="stable")))
    begin = 0
    for code, length in enumerate(np.bincount(narrow).tolist()):
        if length:
            yield code, rows.slice(begin, length)
            begin += length


def _by(rows: pa.Table, name: str) -> pa.Table:
    return rows.take(pa.array(np.argsort(rows[name].to_numpy(), kind="stable")))
