"""The folder in which one run gathers what it has worked out before anything of it is final.

It lies in the landing zone (it holds personal data) and survives a crash until the run's report is published::

    <landing>/.runs/<run_id>/
      plan.json                       what the run was asked to do
      actors/<actor>.json             what came of an actor's delivery: summaries, counts
      extracts/<extract_id>/          accepted.arrow  rejected.parquet  findings.parquet
      outcomes/  changes/             one Parquet file a range of citizens
      manifest.json                   what became of it, once it is settled
      confirmed/<day>                 which records confirm what the store holds, packed as the store keeps it
      memory/<actor>                  what is remembered of the actor's findings after this run, likewise
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afstem.packed import pack, unpack
from afstem.private_files import private_folder, read_json, write_json

COMPRESSION = "lz4"
"""Staged files live for minutes: quick to write counts, small does not."""


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do; ``config`` is the path of ``afstem.toml``."""

    run_id: str
    started_at: datetime
    as_of: date
    config: Path
    actors: tuple[str, ...]
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "started_at": self.started_at.isoformat(),
            "as_of": self.as_of.isoformat(),
            "config": str(self.config),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        return cls(
            run_id=content["run_id"],
            started_at=datetime.fromisoformat(content["started_at"]),
            as_of=date.fromisoformat(content["as_of"]),
            config=Path(content["config"]),
            actors=tuple(content["actors"]),
            dry_run=content["dry_run"],
        )


@dataclass(frozen=True)
class RunFolder:
    """One run's staging folder."""

    path: Path

    @classmethod
    def of(cls, landing: Path, run_id: str) -> Self:
        return cls(landing / ".runs" / run_id)

    @classmethod
    def all(cls, landing: Path) -> "list[RunFolder]":
        return [cls(path) for path in sorted((landing / ".runs").glob("*"))]

    @property
    def run_id(self) -> str:
        return self.path.name

    def begin(self, plan: Plan) -> None:
        for part in ("actors", "extracts", "outcomes", "changes", "confirmed", "memory"):
            private_folder(self.path / part)
        write_json(self.path / "plan.json", plan.to_json())

    def plan(self) -> Plan:
        return Plan.from_json(read_json(self.path / "plan.json"))

    def write_delivery(self, actor: str, delivery: dict[str, Any]) -> None:
        write_json(self.path / "actors" / f"{actor}.json", delivery)

    def deliveries(self) -> dict[str, dict[str, Any]]:
        """What came of each actor's delivery, by actor id, in the order of the ids."""
        return {path.stem: read_json(path) for path in sorted((self.path / "actors").glob("*.json"))}

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        write_json(self.path / "manifest.json", manifest)

    def manifest(self) -> dict[str, Any] | None:
        """What became of the run; None while it is not settled, and when this folder is gone."""
        path = self.path / "manifest.json"
        return read_json(path) if path.exists() else None

    def extract(self, extract_id: str) -> Path:
        return self.path / "extracts" / extract_id

    @property
    def outcomes(self) -> Path:
        return self.path / "outcomes"

    @property
    def changes(self) -> Path:
        return self.path / "changes"

    def write_confirmed(self, day: int, confirmed: pa.Table) -> None:
        self._write_packed(self.path / "confirmed" / str(day), confirmed)

    def confirmed(self) -> Iterator[tuple[int, bytes]]:
        """The confirmations that replace those in the store, by day, packed."""
        for path in sorted((self.path / "confirmed").iterdir()):
            yield int(path.name), path.read_bytes()

    def write_memory(self, actor: str, memory: pa.Table) -> None:
        self._write_packed(self.path / "memory" / actor, memory)

    def memory(self, actor: str) -> pa.Table | None:
        """What is remembered of an actor's findings after this run; None if it delivered nothing that could be read."""
        path = self.path / "memory" / actor
        return unpack(path.read_bytes()) if path.exists() else None

    def memories(self) -> Iterator[tuple[str, bytes]]:
        """What is remembered of each actor's findings after this run, packed."""
        for path in sorted((self.path / "memory").iterdir()):
            yield path.name, path.read_bytes()

    def _write_packed(self, path: Path, rows: pa.Table) -> None:
        with open_private(path) as file:
            file.write(pack(rows))

    def remove(self) -> None:
        shutil.rmtree(self.path)


def open_private(path: Path) -> IO[bytes]:
    """A new file of mode 0600 to write, whatever stood there before."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


class PrivateParquet:
    """Writes tables of one schema to one Parquet file with mode 0600, batch by batch."""

    def __init__(self, path: Path, schema: pa.Schema, compression: str = COMPRESSION, **options: Any) -> None:
        self._file = open_private(path)
        self._writer = pq.ParquetWriter(self._file, schema, compression=compression, **options)
        self._schema = schema

    def write(self, table: pa.Table) -> None:
        if len(table):
            self._writer.write_table(table.cast(self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._file.close()


class PrivateArrow(PrivateParquet):
    """Writes tables of one schema to one Arrow file with mode 0600: large, but read without decoding."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = open_private(path)
        self._writer = pa.ipc.new_file(self._file, schema)
        self._schema = schema


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of one Parquet file, one at a time."""
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(path))
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)


def read_sorted(path: Path, column: str, low: int, high: int) -> Iterator[pa.RecordBatch]:
    """The rows with low <= column < high of an Arrow file whose batches are each sorted by that column.

    Nothing but these rows is read.
    """
    with pa.memory_map(str(path)) as mapped:
        file = pa.ipc.open_file(mapped)
        for place in range(file.num_record_batches):
            batch = file.get_batch(place)
            begin, end = np.searchsorted(batch[column].to_numpy(), (low, high))
            if begin < end:
                yield batch.slice(begin, end - begin)


def count_rows(path: Path) -> int:
    """How many rows an Arrow file has."""
    with pa.memory_map(str(path)) as mapped:
        file = pa.ipc.open_file(mapped)
        return sum(file.get_batch(place).num_rows for place in range(file.num_record_batches))
