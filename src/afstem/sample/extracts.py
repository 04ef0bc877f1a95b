"""One extract: clean records in bulk, odd ones put in the place of some of them.

Every clean record is about a citizen whom the actor may write. Each of the actor's ordinary citizens appears with a
mobile number, a landline number and an email, each by its share; about half the values are what the store holds
already, a few are removals. Written in chunks, so that memory does not grow with the actor.
"""

import datetime
import gzip
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.sample.actors import Delivery
from afstem.sample.contact_values import STORED_VERSION, email_addresses, phone_numbers
from afstem.sample.curiosities import CURIOSITIES
from afstem.sample.dirt import DIRT
from afstem.sample.layouts import (
    DEPARTMENTS,
    Draft,
    Layout,
    csv_lines,
    department_cells,
    encoded,
    header_line,
    json_lines,
    line_of,
    time_texts,
)
from afstem.sample.oddities import Oddity, Scene
from afstem.sample.population import Population
from afstem.sample.reference_files import CODES
from afstem.sample.surroundings import Surroundings
from afstem.sample.text_columns import Ints, content_of, replaced, spell
from afstem.schema import NAMED_COLUMNS, ContactType

CHUNK_CITIZENS = 150_000
CURIOUS_SHARE = 0.02
"""How many of the records look odd and are accepted, beside those placed on purpose."""

_SENT_SHARES = np.array([0.75, 0.25, 0.65])
"""How often an actor has a mobile number, a landline number and an email of a citizen of its own."""
_CORRECTED_SHARE = 0.10
_CONFIRMED_SHARE = 0.5
_REMOVED_SHARE = 0.02


@dataclass
class Written:
    """What was written into one extract: records, and odd ones by kind."""

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)

    def count(self, oddity: Oddity) -> None:
        self.kinds[oddity.name] += 1
        if oddity.code is not None:
            self.rejected[oddity.code] += oddity.records

    def add(self, other: "Written") -> None:
        self.records += other.records
        self.kinds += other.kinds
        self.rejected += other.rejected


@dataclass(frozen=True)
class _Bulk:
    """Clean records by column, in the order of their citizens; ``starts`` says where each citizen begins."""

    number: Ints
    contact_type: npt.NDArray[np.int8]
    value: pa.StringArray
    seconds: Ints
    reference: Ints
    starts: Ints


def fits(oddity: Oddity, layout: Layout, pools: dict[str, list[int]]) -> bool:
    """Whether this kind of record can stand in such an extract of such an actor."""
    written_as_line = oddity.line is None or layout.format != "parquet"
    return bool(pools.get(oddity.needs)) and written_as_line and oddity.where(layout)


def write_extract(
    path: Path,
    population: Population,
    around: Surroundings,
    delivery: Delivery,
    placed: Sequence[Oddity],
    dirty: float,
    today: datetime.date,
    entropy: tuple[int, ...],
) -> Written:
    """Write one extract: ``placed`` odd records on purpose, then so many more that ``dirty`` is their share.

    ``entropy`` is what makes this extract differ from others; the same gives the same bytes.
    """
    rng = np.random.Generator(np.random.PCG64(entropy))
    # Scalars are drawn much faster by Python's own generator.
    scene = Scene(random.Random(repr(entropy)), around.pools, Draft(None, None, None, None, None))  # noqa: S311
    citizens = around.citizens
    if delivery.corrections:
        citizens = citizens[rng.random(len(citizens)) < _CORRECTED_SHARE]
    more = [
        [kind for kind in kinds if fits(kind, delivery.layout, around.pools)]
        for kinds in (CURIOSITIES, DIRT if dirty > 0 else ())
    ]
    written = Written()
    with _writing(path, delivery.layout) as write:
        for begin in range(0, max(1, len(citizens)), CHUNK_CITIZENS):
            bulk = _draw_bulk(population, citizens[begin : begin + CHUNK_CITIZENS], around, delivery, rng, today)
            columns = _columns_of(bulk, delivery.layout, rng)
            chosen = list(placed) if begin == 0 else []
            by_code = sum(kind.records for kind in chosen if kind.code is not None)
            wanted = (round(len(bulk.number) * CURIOUS_SHARE), round(len(bulk.number) * dirty) - by_code)
            for kinds, number in zip(more, wanted, strict=True):
                if kinds and number > 0:
                    chosen += scene.rng.choices(kinds, [kind.weight for kind in kinds], k=number)
            write(bulk, columns, chosen, scene, rng, written)
    return written


class _LineWriter:
    """Writes CSV and JSON Lines: a unit is a line, in JSON one message with all the records of a citizen."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, layout: Layout) -> None:
        self._file, self._layout = file, layout
        if layout.format == "csv":
            file.write(header_line(layout))
        elif layout.byte_order_mark:
            file.write(b"\xef\xbb\xbf")

    def __call__(
        self,
        bulk: _Bulk,
        columns: dict[str, pa.Array],
        chosen: list[Oddity],
        scene: Scene,
        rng: np.random.Generator,
        written: Written,
    ) -> None:
        if self._layout.format == "csv":
            first = np.arange(len(bulk.number))
            size = np.ones(len(bulk.number), dtype=np.int64)
            lines = csv_lines(columns, self._layout)
        else:
            first, size = bulk.starts[:-1], np.diff(bulk.starts)
            lines = json_lines(columns, bulk.starts, self._layout)
        at, chosen = _places(len(first), chosen, rng)
        odd = []
        for oddity, draft in zip(chosen, _odd_drafts(columns, first, at, chosen, scene), strict=True):
            line = line_of(draft, self._layout)
            odd.append(encoded(oddity.line(line, draft) if oddity.line else line, self._layout))
            written.count(oddity)
        written.records += int(size.sum() - size[at].sum()) + sum(oddity.records for oddity in chosen)
        self._file.write(content_of(replaced(lines, at, pa.array(odd, pa.binary()))))


class _ParquetWriter:
    """Writes Parquet, a row group for each chunk."""

    def __init__(self, file: IO[bytes], layout: Layout) -> None:
        self._file, self._layout = file, layout
        self._writer: pq.ParquetWriter | None = None

    def __call__(
        self,
        bulk: _Bulk,
        columns: dict[str, pa.Array],
        chosen: list[Oddity],
        scene: Scene,
        rng: np.random.Generator,
        written: Written,
    ) -> None:
        at, chosen = _places(len(bulk.number), chosen, rng)
        drafts = _odd_drafts(columns, np.arange(len(bulk.number)), at, chosen, scene)
        mixed = {}
        for field_name in self._layout.fields:
            if field_name not in NAMED_COLUMNS:
                mixed[field_name] = columns[field_name]
                continue
            cells = [getattr(draft, field_name) for draft in drafts]
            odd = [None if cell is None else cell.encode("utf-8", "surrogateescape") for cell in cells]
            column = replaced(columns[field_name].cast(pa.binary()), at, pa.array(odd, pa.binary()))
            mixed[field_name] = self._as_delivered(field_name, column, bulk)
        for oddity in chosen:
            written.count(oddity)
        written.records += len(bulk.number)
        table = pa.table(mixed)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)

    def _as_delivered(self, field_name: str, column: pa.BinaryArray, bulk: _Bulk) -> pa.Array:
        if self._layout.typed and field_name == "kontaktdatatype":
            return column.cast(pa.string()).cast(pa.int32())
        if self._layout.typed and field_name == "registreret":
            return pa.array(bulk.seconds * 1_000_000, pa.int64()).cast(pa.timestamp("us"))
        # One kind of dirt is a cell that is not UTF-8: pyarrow must not look.
        return column.cast(pa.string(), safe=False)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextmanager
def _writing(path: Path, layout: Layout) -> Iterator[_LineWriter | _ParquetWriter]:
    with path.open("wb") as file:
        if layout.format == "parquet":
            parquet = _ParquetWriter(file, layout)
            yield parquet
            parquet.close()
        elif path.name.endswith(".gz"):
            # Neither name nor time in the header, so that the same content is the same file.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=4, mtime=0) as packed:
                yield _LineWriter(packed, layout)
        else:
            yield _LineWriter(file, layout)


def _draw_bulk(
    population: Population,
    citizens: Ints,
    around: Surroundings,
    delivery: Delivery,
    rng: np.random.Generator,
    today: datetime.date,
) -> _Bulk:
    sent = rng.random((len(citizens), len(ContactType))) < _SENT_SHARES
    row, contact_type = np.nonzero(sent)
    ordinal = citizens[row]
    # A version of its own for each actor, so that actors contradict each other.
    own_version = 1 + around.position % 50
    version = np.where(rng.random(len(ordinal)) < _CONFIRMED_SHARE, STORED_VERSION, own_version)
    if delivery.corrections:
        version = np.full(len(ordinal), 51)
    protected = (contact_type == ContactType.EMAIL) & population.email_subscribed[ordinal]
    removes = (rng.random(len(ordinal)) < _REMOVED_SHARE) & ~protected
    midnight = np.datetime64(today, "s").astype(np.int64)
    oldest = 10 if delivery.corrections else 150
    starts = np.concatenate([[0], np.cumsum(sent.sum(axis=1))])
    return _Bulk(
        number=population.number[ordinal],
        contact_type=contact_type.astype(np.int8),
        value=_values(ordinal, contact_type, version, removes, delivery.layout, population.seed, rng),
        seconds=midnight - rng.integers(1, oldest * 86_400, size=len(ordinal)),
        reference=rng.integers(0, 10_000_000, size=len(ordinal)),
        starts=np.unique(starts),
    )


def _values(
    ordinal: Ints,
    contact_type: Ints,
    version: Ints,
    removes: npt.NDArray[np.bool_],
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


def _columns_of(bulk: _Bulk, layout: Layout, rng: np.random.Generator) -> dict[str, pa.Array]:
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


def _places(units: int, chosen: list[Oddity], rng: np.random.Generator) -> tuple[Ints, list[Oddity]]:
    """Where the odd records stand, and those there is room for: only odd places, so that each has a clean neighbour."""
    chosen = chosen[: units // 2]
    return 1 + 2 * rng.permutation(units // 2)[: len(chosen)], chosen


def _odd_drafts(columns: dict[str, pa.Array], first: Ints, at: Ints, chosen: list[Oddity], scene: Scene) -> list[Draft]:
    """The records at those units, made odd; ``first`` says which record each unit begins with."""
    bases, neighbours = _drafts(columns, first[at]), _drafts(columns, first[at - 1])
    drafts = []
    for oddity, base, neighbour in zip(chosen, bases, neighbours, strict=True):
        scene.near = neighbour
        drafts.append(oddity.change(base, scene))
    return drafts


def _drafts(columns: dict[str, pa.Array], rows: Ints) -> list[Draft]:
    cells = [columns[name].take(pa.array(rows)).to_pylist() for name in NAMED_COLUMNS]
    return [Draft(*record) for record in zip(*cells, strict=True)]
