"""Clean records in bulk: which are drawn for an extract, and how they are spelt."""

import datetime
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem.sample.actors import Delivery
from afstem.sample.contact_values import CODES, STORED_VERSION, email_addresses, phone_numbers
from afstem.sample.layouts import DEPARTMENTS, Layout, department_cells, time_texts
from afstem.sample.population import Bools, Population
from afstem.sample.surroundings import Surroundings
from afstem.sample.text_columns import Ints, spell
from afstem.schema import ContactType

_SENT_SHARES = np.array([0.75, 0.25, 0.65])
"""How often an actor has a mobile number, a landline number and an email of a citizen of its own."""
_CONFIRMED_SHARE = 0.5


@dataclass(frozen=True)
class Bulk:
    """Clean records by column, in the order of their citizens; ``starts`` says where each citizen begins.

    ``news`` says which records bring something that the store does not hold, if that was asked for: then what looks
    odd and is accepted stands in the place of news only, and what is rejected in the place of the others.
    """

    number: Ints
    contact_type: npt.NDArray[np.int8]
    value: pa.StringArray
    seconds: Ints
    reference: Ints
    starts: Ints
    news: Bools | None = None


def draw_ordinary(
    population: Population,
    citizens: Ints,
    around: Surroundings,
    delivery: Delivery,
    rng: np.random.Generator,
    today: datetime.date,
) -> Bulk:
    """Records of these citizens in an extract that shows everything: half of them confirm what is stored."""
    sent = rng.random((len(citizens), len(ContactType))) < _SENT_SHARES
    row, contact_type = np.nonzero(sent)
    ordinal = citizens[row]
    # A version of its own for each actor, so that actors contradict each other.
    own_version = 1 + around.position % 50
    version = np.where(rng.random(len(ordinal)) < _CONFIRMED_SHARE, STORED_VERSION, own_version)
    if delivery.corrections:
        version = np.full(len(ordinal), 51)
    protected = (contact_type == ContactType.EMAIL) & population.email_subscribed[ordinal]
    removes = (rng.random(len(ordinal)) < delivery.removed) & ~protected
    midnight = np.datetime64(today, "s").astype(np.int64)
    oldest = 10 if delivery.corrections else 150
    starts = np.concatenate([[0], np.cumsum(sent.sum(axis=1))])
    return Bulk(
        number=population.number[ordinal],
        contact_type=contact_type.astype(np.int8),
        value=values_of(ordinal, contact_type, version, removes, delivery.layout, population.seed, rng),
        seconds=midnight - rng.integers(1, oldest * 86_400, size=len(ordinal)),
        reference=rng.integers(0, 10_000_000, size=len(ordinal)),
        starts=np.unique(starts),
    )


def values_of(
    ordinal: Ints,
    contact_type: Ints,
    version: Ints,
    removes: Bools,
    layout: Layout,
    seed: int,
    rng: np.random.Generator,
) -> pa.StringArray:
    """What stands as ``kontaktdata``, null for a removal."""
    parts, rows = [], []
    for kind in ContactType:
        at = np.flatnonzero(contact_type == kind)
        rows.append(at)
        if kind == ContactType.EMAIL:
            parts.append(email_addresses(ordinal[at], version[at], seed))
        else:
            numbers = phone_numbers(ordinal[at], kind, version[at], seed)
            parts.append(spell(numbers, 8, layout.phone, rng.integers(0, len(layout.phone), size=len(at))))
    back = np.argsort(np.concatenate(rows), kind="stable")
    values = pa.concat_arrays(parts).take(pa.array(back))
    return pc.if_else(pa.array(removes), pa.scalar(None, pa.string()), values)


def columns_of(bulk: Bulk, layout: Layout, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Every column as text, by its name in lower case; others than those of SPEC 2.3 are ready for their format."""
    size = len(bulk.number)
    codes = pa.array([CODES[contact_type] for contact_type in ContactType])
    departments = department_cells(layout) if layout.format == "csv" else pa.array(DEPARTMENTS)
    columns = {
        "personnummer": spell(bulk.number, 10, layout.cpr, rng.integers(0, len(layout.cpr), size=size)),
        "kontaktdatatype": codes.take(pa.array(bulk.contact_type)),
        "kontaktdata": bulk.value,
        "registreret": time_texts(bulk.seconds, layout),
        "reference": spell(bulk.reference, 7, ["S#######"]),
    }
    others = {
        field: departments.take(pa.array(rng.integers(0, len(DEPARTMENTS), size=size)))
        for field in layout.fields
        if field not in columns
    }
    return columns | others
