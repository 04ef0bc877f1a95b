"""The folder ``reference``: citizens, relations, subscriptions and the first filling of contacts (SPEC 2.6).

Citizens and subscriptions are CSV, relations and contacts Parquet, so that both ways of loading are met; with a usual
night all are Parquet. What holds on the as-of date holds on every later day too: nothing current ends, and what is to
come is ten years away. Tables are made and written part by part, so that memory does not grow with the country.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.sample.actors import InventedActor
from afstem.sample.contact_values import CODES, STORED_VERSION, email_addresses, phone_numbers
from afstem.sample.held_contacts import HeldContacts
from afstem.sample.layouts import Layout, time_texts
from afstem.sample.population import NOBODY, STATUSES, Actors, Bools, Population
from afstem.sample.text_columns import Ints, content_of, spell
from afstem.schema import ContactType

_STORED_SHARES = {ContactType.MOBILE: 0.60, ContactType.LANDLINE: 0.15, ContactType.EMAIL: 0.45}
_SUBSCRIPTION_TYPES = np.array(["samtale", "cv", "jobforslag", "moede"])
_DAYS_TO_COME = 3652
_ROW_GROUP = 2**20
_CITIZENS_AT_ONCE = 500_000


def write_reference(
    folder: Path,
    population: Population,
    actors: list[InventedActor],
    today: datetime.date,
    held: HeldContacts | None = None,
) -> dict[str, int]:
    """Write the four files; returns the number of rows of each.

    With ``held``, what the store of a usual night holds, contacts are those, and every file is Parquet.
    """
    folder.mkdir(parents=True)
    rng = np.random.Generator(np.random.PCG64([population.seed, 1]))
    day = int(np.datetime64(today, "D").astype(np.int64))
    ids = pa.array([actor.id for actor in actors])
    write_plain, suffix = (_write_parquet, ".parquet") if held else (_write_csv, ".csv")
    return {
        "citizens": write_plain(folder / f"citizens{suffix}", _citizens(population)),
        "relations": _write_parquet(folder / "relations.parquet", _relations(population, ids, day, rng)),
        "subscriptions": write_plain(folder / f"subscriptions{suffix}", _subscriptions(population, day, rng)),
        "contacts": _write_parquet(
            folder / "contacts.parquet",
            _held_contacts(population, ids, held) if held else _drawn_contacts(population, ids, day, rng),
        ),
    }


def _citizens(population: Population) -> Iterator[pa.Table]:
    status = pa.array(STATUSES).take(pa.array(population.status))
    yield pa.table({"personnummer": _numbers(population.number), "status": status})


def _relations(population: Population, ids: pa.StringArray, today: int, rng: np.random.Generator) -> Iterator[pa.Table]:
    def rows(chosen: Actors, kinds: tuple[str, ...], first: int, last: int, ended: bool = False) -> pa.Table:
        """Relations that begin between two days, counted from today; ended ones end before today."""
        at = np.flatnonzero(chosen != NOBODY)
        begin = rng.integers(today + first, today + last, size=len(at))
        if ended:
            # The last day of a relation is included, so one that ended yesterday is only just over.
            end = today - 1 - rng.integers(0, 450, size=len(at)) * (rng.random(len(at)) < 0.9)
            open_end = np.zeros(len(at), dtype=np.bool_)
        else:
            end = np.full(len(at), today + _DAYS_TO_COME)
            open_end = rng.random(len(at)) < 0.9
        return pa.table(
            {
                "personnummer": _numbers(population.number[at]),
                "actor": ids.take(pa.array(chosen[at])),
                "kind": pa.array(kinds).take(pa.array(rng.integers(0, len(kinds), size=len(at)))),
                "valid_from": _days(begin),
                "valid_to": _days(end, open_end),
            }
        )

    yield rows(population.kommune, ("own",), -7000, 1)
    yield rows(population.jobcenter, ("own",), -1500, 1)
    yield rows(population.fund, ("own",), -7000, 1)
    yield rows(population.former, ("own",), -3000, -1000, ended=True)
    yield rows(population.future, ("own",), _DAYS_TO_COME, _DAYS_TO_COME + 100)
    yield rows(population.guest, ("guest",), -200, 1)
    yield rows(population.external, ("external-own", "external-guest"), -200, 1)


def _subscriptions(population: Population, today: int, rng: np.random.Generator) -> Iterator[pa.Table]:
    groups = [
        (population.email_subscribed, "email", False),
        (population.email_expired, "email", True),
        (population.sms_subscribed, "sms", False),
    ]
    for subscribed, channel, expired in groups:
        at = np.flatnonzero(subscribed)
        begin = today - rng.integers(400, 2000, size=len(at))
        end = today - rng.integers(1, 300, size=len(at))
        kinds = pa.array(_SUBSCRIPTION_TYPES).take(pa.array(rng.integers(0, len(_SUBSCRIPTION_TYPES), len(at))))
        yield pa.table(
            {
                "personnummer": _numbers(population.number[at]),
                "channel": pa.repeat(channel, len(at)),
                "type": kinds,
                "valid_from": _days(begin),
                "valid_to": _days(end, np.full(len(at), not expired)),
            }
        )


def _drawn_contacts(
    population: Population, ids: pa.StringArray, today: int, rng: np.random.Generator
) -> Iterator[pa.Table]:
    """A share of every contact type, from the municipalities."""
    for contact_type in ContactType:
        stored: Bools = (rng.random(len(population)) < _STORED_SHARES[contact_type]) & ~population.quiet
        at = np.flatnonzero(stored)
        seconds = (today - 200) * 86_400 - rng.integers(0, 800 * 86_400, size=len(at))
        yield _contacts(population, contact_type, at, seconds, ids.take(pa.array(population.kommune[at])))


def _held_contacts(population: Population, ids: pa.StringArray, held: HeldContacts) -> Iterator[pa.Table]:
    """What the extracts of the night will repeat."""
    for begin in range(0, len(population), _CITIZENS_AT_ONCE):
        citizens = np.arange(begin, min(begin + _CITIZENS_AT_ONCE, len(population)))
        for contact_type in ContactType:
            at = citizens[held.holds(citizens, contact_type)]
            actors = ids.take(pa.array(held.teller(at, contact_type)))
            yield _contacts(population, contact_type, at, held.seconds(at, contact_type), actors)


def _contacts(
    population: Population, contact_type: ContactType, at: Ints, seconds: Ints, actors: pa.StringArray
) -> pa.Table:
    """One type of contact of these citizens, each in the version that the store holds at first."""
    version = np.full(len(at), STORED_VERSION)
    if contact_type == ContactType.EMAIL:
        value = email_addresses(at, version, population.seed)
    else:
        value = spell(phone_numbers(at, contact_type, version, population.seed), 8, ["+45########"])
    return pa.table(
        {
            "personnummer": _numbers(population.number[at]),
            "kontaktdatatype": pa.repeat(CODES[contact_type], len(at)),
            "kontaktdata": value,
            "registreret": time_texts(seconds, Layout(time="utc")),
            "actor": actors,
        }
    )


def _numbers(numbers: Ints) -> pa.StringArray:
    return spell(numbers, 10, ["##########"])


def _days(days: Ints, missing: Bools | None = None) -> pa.Array:
    return pa.array(days.astype(np.int32), pa.date32(), mask=missing)


def _write_parquet(path: Path, tables: Iterator[pa.Table]) -> int:
    """Full row groups, however the rows are spread over the tables; returns how many rows there are."""
    rows = 0
    waiting = next(tables)
    with pq.ParquetWriter(path, waiting.schema, compression="zstd") as file:
        for table in tables:
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) > _ROW_GROUP:
                file.write_table(waiting.slice(0, _ROW_GROUP))
                rows, waiting = rows + _ROW_GROUP, waiting.slice(_ROW_GROUP)
        file.write_table(waiting, row_group_size=_ROW_GROUP)
    return rows + len(waiting)


def _write_csv(path: Path, tables: Iterator[pa.Table]) -> int:
    """Cells that need no quotes, with ``;`` between them; null is nothing. Returns how many rows there are."""
    rows = 0
    with path.open("wb") as file:
        for number, table in enumerate(tables):
            if number == 0:
                file.write((";".join(table.column_names) + "\n").encode())
            texts = [column.combine_chunks().cast(pa.string()) for column in table.columns]
            cells = [text.cast(pa.binary()).fill_null(b"") for text in texts]
            lines = pc.binary_join_element_wise(*cells, pa.scalar(b";", pa.binary()))
            ended = pc.binary_join_element_wise(lines, pa.scalar(b"\n", pa.binary()), pa.scalar(b"", pa.binary()))
            file.write(content_of(ended))
            rows += len(table)
    return rows
