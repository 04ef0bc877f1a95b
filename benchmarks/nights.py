"""The data: nights written by ``afstem sample``, kept between runs, and the same night once more in other bytes."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.measure import measure

AS_OF = "2026-11-23"
"""The day the samples are written for."""


@dataclass(frozen=True)
class Size:
    """A night as ``afstem sample`` is asked for it."""

    records: int
    citizens: int
    actors: int
    stored: int
    dirty: float
    changed: float


NIGHT = Size(records=1_000_000, citizens=1_250_000, actors=20, stored=3_000_000, dirty=0.03, changed=0.05)
COUNTRY = Size(records=18_000_000, citizens=6_000_000, actors=200, stored=12_000_000, dirty=0.03, changed=0.04)


def scaled(size: Size, records: int) -> Size:
    """The same night with another number of records: as many actors, citizens and contacts in proportion."""
    share = records / size.records
    return replace(size, records=records, citizens=round(size.citizens * share), stored=round(size.stored * share))


@dataclass(frozen=True)
class Program:
    """A version of the program: the one installed, or the source folder of another commit."""

    source: Path | None = None

    def command(self, *words: str | Path) -> list[str | Path]:
        return [sys.executable, "-m", "afstem", *words]

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(self.source)} if self.source else {}


@dataclass(frozen=True)
class Nights:
    """A folder of nights, each written once; ``written`` says in how many seconds (only of those written now)."""

    folder: Path
    program: Program = field(default_factory=Program)
    written: dict[str, float] = field(default_factory=dict)

    def night(self, size: Size, form: str) -> Path:
        """The workspace of a night of this size in this format."""
        workspace = self.folder / f"{form}-{size.records}-{size.actors}-dirty{size.dirty}-changed{size.changed}"
        stamp = workspace / "size.json"
        wanted = json.dumps(asdict(size))
        if stamp.is_file() and stamp.read_text() == wanted:
            return workspace
        shutil.rmtree(workspace, ignore_errors=True)
        options = [word for name, number in asdict(size).items() for word in (f"--{name}", str(number))]
        command = self.program.command("sample", workspace, "--night", form, *options)
        self.written[workspace.name] = measure(command, environment=self.program.environment).wall
        stamp.write_text(wanted)
        return workspace

    def in_other_bytes(self, workspace: Path) -> Path:
        """The same records in the same order, as new extracts: nothing changed, and nothing was applied before."""
        other = workspace.with_name(workspace.name + "-again")
        stamp = other / "size.json"
        if stamp.is_file():
            return other
        shutil.rmtree(other, ignore_errors=True)
        for path in sorted(workspace.glob("extracts/*/*")):
            target = other / path.relative_to(workspace)
            target.parent.mkdir(parents=True)
            if path.suffix == ".parquet":
                pq.write_table(pq.read_table(path, partitioning=None), target, compression="zstd", compression_level=4)
            else:
                target.write_bytes(path.read_bytes() + b"\n")  # a blank line is no record
        for name in ("afstem.toml", "actors.toml", "size.json"):
            shutil.copy(workspace / name, other)
        return other
