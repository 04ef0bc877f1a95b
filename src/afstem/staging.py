"""The folder in which one run gathers what it has worked out before anything of it is final.

It lies in the landing zone (it holds personal data) and stands until the run's report is published, so what it names
is found and cleared away. Its content, but for the plan, is not brought to disk: a power cut may take it, for a run
that has committed needs only its report. Only other machines bring to disk what they stage: they may be lost while the
run goes on.

What is judged on a cluster may be judged twice, also at the same time, or half. So each attempt at an extract writes
into a folder of its own, which gets the extract's name when it is whole; the first one does, and whoever comes later
gives the same answer. This is the folder::

    <landing>/.runs/<run_id>/
      plan.json                       what the run was asked to do
      actors/<actor>.json             what came of an actor's delivery: summaries, counts
      extracts/<extract_id>/          accepted.arrow  rejected.arrow  findings.arrow  notices.arrow  summary.json
      shared.arrow                    which records have a value that too many citizens have
      outcomes/  changes/  differing/ one file a range of citizens, the outcomes as the report has them
      attempts/                       extracts and memories on their way to their places, or that never got there
      landed/<actor>/                 what a dry run has pulled, which does not belong in the landing zone
      manifest.json                   what became of it, once it is settled
      confirmed/<day>                 which records confirm what the store holds, packed as the store keeps it
      memory/<actor>                  what is remembered of the actor's findings after this run, likewise
"""

import base64
import errno
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afstem.packed import pack, unpack
from afstem.private_files import (
    as_json,
    lasting_folder,
    open_private,
    private_folder,
    read_json,
    remove_folder,
    sync,
    write_json,
)


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do; ``config`` is the path of ``afstem.toml``, ``release`` are ids of extracts."""

    run_id: str
    started_at: datetime
    as_of: date
    config: Path
    actors: tuple[str, ...]
    release: tuple[str, ...]
    dry_run: bool
    store: str
    """Which store it is for (`Store.name`): another one may use the same landing zone."""
    configuration: str = ""
    """A digest of what else decides how records are judged (`under_way.configuration`)."""

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
            release=tuple(content["release"]),
            dry_run=content["dry_run"],
            store=content["store"],
            configuration=content.get("configuration", ""),
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
        lasting_folder(self.path)
        for part in ("actors", "attempts", "extracts", "outcomes", "changes", "differing", "confirmed", "memory"):
            private_folder(self.path / part)
        write_json(self.path / "plan.json", plan.to_json())

    def plan(self) -> Plan:
        return Plan.from_json(read_json(self.path / "plan.json"))

    def is_of(self, store: str) -> bool:
        """Whether it is that store's to finish or to clear away; nobody needs one that died before it had a plan."""
        try:
            return self.plan().store == store
        except (OSError, ValueError, KeyError):
            return True

    def write_delivery(self, actor: str, delivery: dict[str, Any]) -> None:
        self._write(self.path / "actors" / f"{actor}.json", as_json(delivery))

    def deliveries(self) -> dict[str, dict[str, Any]]:
        """What came of each actor's delivery, by actor id, in the order of the ids."""
        return {path.stem: read_json(path) for path in sorted((self.path / "actors").glob("*.json"))}

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        self._write(self.path / "manifest.json", as_json(manifest))

    def manifest(self) -> dict[str, Any] | None:
        """What became of the run; None while it is not settled, and when this folder is gone."""
        path = self.path / "manifest.json"
        return read_json(path) if path.exists() else None

    def extract(self, extract_id: str) -> Path:
        return self.path / "extracts" / extract_id

    def summary(self, extract_id: str) -> dict[str, Any] | None:
        """What the attempt that came first made of an extract; None before one did."""
        try:
            return read_json(self.extract(extract_id) / "summary.json")
        except FileNotFoundError:
            return None

    def begin_attempt(self, extract_id: str) -> Path:
        """A new folder for one attempt at an extract; `FileNotFoundError` where the run is over and its folder gone."""
        attempt = self._attempt(extract_id)
        attempt.mkdir(mode=0o700)
        attempt.chmod(0o700)
        return attempt

    def end_attempt(self, attempt: Path, extract_id: str, summary: dict[str, Any], *, lasting: bool) -> None:
        """Give an attempt the extract's name, unless another one has it: then it is thrown away.

        ``lasting`` brings it to disk before.
        """
        self._write(attempt / "summary.json", as_json(summary))
        if lasting:
            for path in (*attempt.iterdir(), attempt):
                sync(path)
        place = self.extract(extract_id)
        try:
            attempt.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            remove_folder(attempt)
        if lasting:
            sync(place.parent)

    def _attempt(self, name: str) -> Path:
        return self.path / "attempts" / f"{name}.{secrets.token_hex(4)}"

    @property
    def landed(self) -> Path:
        return self.path / "landed"

    @property
    def outcomes(self) -> Path:
        return self.path / "outcomes"

    @property
    def changes(self) -> Path:
        return self.path / "changes"

    @property
    def shared(self) -> Path:
        return self.path / "shared.arrow"

    @property
    def differing(self) -> Path:
        return self.path / "differing"

    def write_confirmed(self, day: int, confirmed: pa.Table) -> None:
        self._write(self.path / "confirmed" / str(day), pack(confirmed))

    def confirmed(self) -> Iterator[tuple[int, bytes]]:
        """The confirmations that replace those in the store, by day, packed."""
        for path in sorted((self.path / "confirmed").iterdir()):
            yield int(path.name), path.read_bytes()

    def write_memory(self, actor: str, memory: pa.Table, *, lasting: bool) -> None:
        """Whole or not at all; the next attempt, which writes the same, takes the place of the one before."""
        attempt, place = self._attempt(actor), self.path / "memory" / actor
        self._write(attempt, pack(memory))
        if lasting:
            sync(attempt)
        attempt.replace(place)
        if lasting:
            sync(place.parent)

    def memory(self, actor: str) -> pa.Table | None:
        """What is remembered of an actor's findings after this run; None if it delivered nothing that could be read."""
        path = self.path / "memory" / actor
        return unpack(path.read_bytes()) if path.exists() else None

    def memories(self) -> Iterator[tuple[str, bytes]]:
        """What is remembered of each actor's findings after this run, packed."""
        for path in sorted((self.path / "memory").iterdir()):
            yield path.name, path.read_bytes()

    def _write(self, path: Path, content: bytes) -> None:
        with open_private(path) as file:
            file.write(content)

    def remove(self) -> None:
        """Throw it away; nothing happens if it is gone."""
        remove_folder(self.path)


class _PrivateWriter:
    """Writes tables of one schema to one file with mode 0600, batch by batch."""

    def __init__(self, path: Path, schema: pa.Schema, open_writer: Callable[[IO[bytes]], Any]) -> None:
        self._file = open_private(path)
        self._writer = open_writer(self._file)
        self._schema = schema

    def write(self, table: pa.Table) -> None:
        if len(table):
            self._writer.write_table(table.cast(self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._writer.close()


class PrivateArrow(_PrivateWriter):
    """An Arrow file: it lives for minutes, so large and quick is better than small."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(path, schema, lambda file: pa.ipc.new_file(file, schema))


class PrivateParquet(_PrivateWriter):
    """A Parquet file, to be kept and read by others, who see it in the schema ``shown``, however it is written."""

    def __init__(self, path: Path, schema: pa.Schema, shown: pa.Schema) -> None:
        super().__init__(
            path, schema, lambda file: pq.ParquetWriter(file, schema, compression="zstd", store_schema=False)
        )
        # Where Arrow itself keeps it (https://arrow.apache.org/docs/cpp/parquet.html), which it must be kept from.
        kept = {b"ARROW:schema": base64.b64encode(shown.serialize())}
        self._writer.add_key_value_metadata({**(shown.metadata or {}), **kept})


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The batches of one Arrow file, one at a time; nothing but these columns is read."""
    for batch in _batches_of(path):
        yield pa.table(batch if columns is None else batch.select(columns))


def read_sorted(path: Path, column: str, low: int, high: int) -> Iterator[pa.RecordBatch]:
    """The rows with low <= column < high of an Arrow file whose batches are each sorted by that column.

    Nothing but these rows is read.
    """
    for batch in _batches_of(path):
        begin, end = np.searchsorted(batch[column].to_numpy(), (low, high))
        if begin < end:
            yield batch.slice(begin, end - begin)


def count_rows(path: Path) -> int:
    """How many rows an Arrow file has."""
    return sum(batch.num_rows for batch in _batches_of(path))


def _batches_of(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as mapped:
        file = pa.ipc.open_file(mapped)
        for place in range(file.num_record_batches):
            yield file.get_batch(place)
