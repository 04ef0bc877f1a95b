"""One extract: clean records in bulk, odd ones put in the place of some of them.

Every clean record is about a citizen whom the actor may write. Which they are is drawn in `bulk`, or in `night` if a
usual night is asked for. Written in chunks, so that memory does not grow with the actor.
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
import pyarrow as pa
import pyarrow.parquet as pq

from afstem.sample.actors import Delivery
from afstem.sample.bulk import Bulk, columns_of, draw_ordinary
from afstem.sample.curiosities import CURIOSITIES
from afstem.sample.dirt import DIRT
from afstem.sample.layouts import (
    Draft,
    Layout,
    csv_lines,
    encoded,
    header_line,
    json_lines,
    line_of,
)
from afstem.sample.night import Night
from afstem.sample.oddities import Oddity, Scene
from afstem.sample.population import Bools, Population
from afstem.sample.surroundings import Surroundings
from afstem.sample.text_columns import Ints, content_of, replaced
from afstem.schema import NAMED_COLUMNS

CHUNK_CITIZENS = 150_000
CURIOUS_SHARE = 0.02
"""How many of the records look odd and are accepted, beside those placed on purpose."""


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
    night: Night | None = None,
) -> Written:
    """Write one extract: ``placed`` odd records on purpose, then so many more that ``dirty`` is their share.

    ``entropy`` is what makes this extract differ from others; the same gives the same bytes. With a ``night`` the
    clean records are those of the night, else of every kind.
    """
    rng = np.random.Generator(np.random.PCG64(entropy))
    # Scalars are drawn much faster by Python's own generator.
    scene = Scene(random.Random(repr(entropy)), around.pools, Draft(None, None, None, None, None))  # noqa: S311
    citizens = around.citizens
    if delivery.told < 1:
        citizens = citizens[rng.random(len(citizens)) < delivery.told]
    more = [
        [kind for kind in kinds if fits(kind, delivery.layout, around.pools)]
        for kinds in (CURIOSITIES, DIRT if dirty > 0 else ())
    ]
    written = Written()
    with _writing(path, delivery.layout) as write:
        for begin in range(0, max(1, len(citizens)), CHUNK_CITIZENS):
            some = citizens[begin : begin + CHUNK_CITIZENS]
            if night:
                bulk = night.draw(some, around, delivery.layout, rng)
            else:
                bulk = draw_ordinary(population, some, around, delivery, rng, today)
            columns = columns_of(bulk, delivery.layout, rng)
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
        bulk: Bulk,
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
        at, chosen = _places(len(first), chosen, rng, bulk.news)
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
        bulk: Bulk,
        columns: dict[str, pa.Array],
        chosen: list[Oddity],
        scene: Scene,
        rng: np.random.Generator,
        written: Written,
    ) -> None:
        at, chosen = _places(len(bulk.number), chosen, rng, bulk.news)
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

    def _as_delivered(self, field_name: str, column: pa.BinaryArray, bulk: Bulk) -> pa.Array:
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


def _places(
    units: int, chosen: list[Oddity], rng: np.random.Generator, news: Bools | None
) -> tuple[Ints, list[Oddity]]:
    """Where the odd records stand, and those there is room for: only odd places, so that each has a clean neighbour."""
    places = 1 + 2 * rng.permutation(units // 2)
    if news is None:
        return places[: len(chosen)], chosen[: len(places)]
    among_news, among_others = places[news[places]], places[~news[places]]
    accepted = [oddity for oddity in chosen if oddity.code is None][: len(among_news)]
    rejected = [oddity for oddity in chosen if oddity.code is not None][: len(among_others)]
    return np.concatenate([among_news[: len(accepted)], among_others[: len(rejected)]]), accepted + rejected


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
