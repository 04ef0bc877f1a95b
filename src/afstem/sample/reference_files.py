"""The folder ``reference``: citizens, relations, subscriptions and the first filling of contacts (SPEC 2.6).

Citizens and subscriptions are CSV, relations and contacts Parquet, so that both ways of loading are met. What holds
on the as-of date holds on every later day too: nothing current ends, and what is to come is ten years away.
"""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.sample.actors import InventedActor
from afstem.sample.contact_values import STORED_VERSION, email_addresses, phone_numbers
from afstem.sample.layouts import Layout, time_texts
from afstem.sample.population import NOBODY, STATUSES, Actors, Bools, Population
from afstem.sample.text_columns import Ints, content_of, spell
from afstem.schema import ContactType

CODES = {ContactType.MOBILE: "1", ContactType.LANDLINE: "2", ContactType.EMAIL: "3"}
"""Identifiers of the shipped codelist (SPEC 2.5)."""

_STORED_SHARES = {ContactType.MOBILE: 0.60, ContactType.LANDLINE: 0.15, ContactType.EMAIL: 0.45}
_SUBSCRIPTION_TYPES = np.array(["samtale", "cv", "jobforslag", "moede"])
_DAYS_TO_COME = 3652


def write_reference(
    folder: Path, population: Population, actors: list[InventedActor], today: datetime.date
) -> dict[str, int]:
    """Write the four files; returns the number of rows of each."""
    folder.mkdir(parents=True)
    rng = np.random.Generator(np.random.PCG64([population.seed, 1]))
    day = np.datetime64(today, "D").astype(np.int64)
    return {
        "citizens": _write_citizens(folder, population),
        "relations": _write_relations(folder, population, actors, int(day), rng),
        "subscriptions": _write_subscriptions(folder, population, int(day), rng),
        "contacts": _write_contacts(folder, population, actors, int(day), rng),
    }


def _write_citizens(folder: Path, population: Population) -> int:
    status = pa.array(STATUSES).take(pa.array(population.status))
    _write_csv(folder / "citizens.csv", {"personnummer": _numbers(population.number), "status": status})
    return len(population)


def _write_relations(
    folder: Path, population: Population, actors: list[InventedActor], today: int, rng: np.random.Generator
) -> int:
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
                "actor": pa.array([actor.id for actor in actors]).take(pa.array(chosen[at])),
                "kind": pa.array(kinds).take(pa.array(rng.integers(0, len(kinds), size=len(at)))),
                "valid_from": pa.array(begin.astype(np.int32), pa.date32()),
                "valid_to": pa.array(end.astype(np.int32), pa.date32(), mask=open_end),
            }
        )

    table = pa.concat_tables(
        [
            rows(population.kommune, ("own",), -7000, 1),
            rows(population.jobcenter, ("own",), -1500, 1),
            rows(population.fund, ("own",), -7000, 1),
            rows(population.former, ("own",), -3000, -1000, ended=True),
            rows(population.future, ("own",), _DAYS_TO_COME, _DAYS_TO_COME + 100),
            rows(population.guest, ("guest",), -200, 1),
            rows(population.external, ("external-own", "external-guest"), -200, 1),
        ]
    )
    pq.write_table(table, folder / "relations.parquet", compression="zstd")
    return int(table.num_rows)


def _write_subscriptions(folder: Path, population: Population, today: int, rng: np.random.Generator) -> int:
    groups = [
        (population.email_subscribed, "email", False),
        (population.email_expired, "email", True),
        (population.sms_subscribed, "sms", False),
    ]
    parts = []
    for subscribed, channel, expired in groups:
        at = np.flatnonzero(subscribed)
        begin = today - rng.integers(400, 2000, size=len(at))
        end = today - rng.integers(1, 300, size=len(at))
        parts.append(
            {
                "personnummer": _numbers(population.number[at]),
                "channel": pa.array([channel] * len(at)),
                "type": pa.array(_SUBSCRIPTION_TYPES).take(
                    pa.array(rng.integers(0, len(_SUBSCRIPTION_TYPES), len(at)))
                ),
                "valid_from": pa.array(begin.astype(np.int32), pa.date32()).cast(pa.string()),
                "valid_to": pa.array(end.astype(np.int32), pa.date32(), mask=np.full(len(at), not expired)).cast(
                    pa.string()
                ),
            }
        )
    columns = {name: pa.concat_arrays([part[name].cast(pa.string()) for part in parts]) for name in parts[0]}
    _write_csv(folder / "subscriptions.csv", columns)
    return len(columns["channel"])


def _write_contacts(
    folder: Path, population: Population, actors: list[InventedActor], today: int, rng: np.random.Generator
) -> int:
    parts = []
    for contact_type in ContactType:
        stored: Bools = (rng.random(len(population)) < _STORED_SHARES[contact_type]) & ~population.quiet
        at = np.flatnonzero(stored)
        version = np.full(len(at), STORED_VERSION)
        seconds = (today - 200) * 86_400 - rng.integers(0, 800 * 86_400, size=len(at))
        if contact_type == ContactType.EMAIL:
            value = email_addresses(at, version, population.seed)
        else:
            value = spell(phone_numbers(at, contact_type, version, population.seed), 8, ["+45########"])
        parts.append(
            pa.table(
                {
                    "personnummer": _numbers(population.number[at]),
                    "kontaktdatatype": pa.array([CODES[contact_type]] * len(at), pa.string()),
                    "kontaktdata": value,
                    "registreret": time_texts(seconds, Layout(time="utc")),
                    "actor": pa.array([actor.id for actor in actors]).take(pa.array(population.kommune[at])),
                }
            )
        )
    table = pa.concat_tables(parts)
    pq.write_table(table, folder / "contacts.parquet", compression="zstd")
    return int(table.num_rows)


def _numbers(numbers: Ints) -> pa.StringArray:
    return spell(numbers, 10, ["##########"])


def _write_csv(path: Path, columns: dict[str, pa.Array]) -> None:
    """Cells that need no quotes, with ``;`` between them; null is nothing."""
    cells = [column.cast(pa.binary()).fill_null(b"") for column in columns.values()]
    lines = pc.binary_join_element_wise(*cells, pa.scalar(b";", pa.binary()))
    ended = pc.binary_join_element_wise(lines, pa.scalar(b"\n", pa.binary()), pa.scalar(b"", pa.binary()))
    with path.open("wb") as file:
        file.write((";".join(columns) + "\n").encode())
        file.write(content_of(ended))
