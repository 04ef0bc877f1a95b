"""Pull: an actor's source folder -> the landing zone, each file under its digest.

The landing zone keeps, per actor, ``<sha256><ending>`` with the bytes as delivered and ``<sha256>.json`` with the name
and the time of the first pull, which is the extract's creation time (SPEC 5.3). Nothing reads a file before it is
complete and on disk. A dry run pulls into a folder of its own and notes nothing, as if it had never been.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from afstem.decode import FORMATS, is_extract_name
from afstem.errors import LoginRefused, SourceUnavailable
from afstem.masking import mask_file_name
from afstem.private_files import lasting_folder, private_file, private_folder, read_json, sync, write_json
from afstem.settings import Actor

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LandedExtract:
    """One extract in the landing zone."""

    actor: str
    file: str
    """Its name at the source with anything like a CPR number masked; the ending tells the format."""
    sha256: str
    path: Path
    bytes: int
    created_at: datetime
    """When it was first pulled, in UTC."""

    @property
    def extract_id(self) -> str:
        return f"{self.actor}-{self.sha256[:12]}"


def pull(actor: Actor, landing: Path, pulled_at: datetime, aside: Path | None = None) -> list[LandedExtract]:
    """Land every extract of the actor's source folder; in the order of their names.

    ``pulled_at`` is the start of the run, the same for all its extracts, so that the order of pulling decides
    nothing. A dry run says where to put the files ``aside`` from the landing zone. Raises `SourceUnavailable` or
    `LoginRefused`.
    """
    try:
        file_system, folder = fsspec.url_to_fs(actor.source)
        entries = file_system.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceUnavailable("no-such-folder", transient=False) from None
    except PermissionError:
        raise LoginRefused from None
    names = sorted((entry["name"] for entry in entries if entry["type"] == "file"), key=_base_name)
    zone = lasting_folder(landing / actor.id) if aside is None else private_folder(aside / actor.id)
    extracts = []
    for path in names:
        if is_extract_name(_base_name(path)):
            extract = _land(file_system, path, actor.id, zone, pulled_at)
            first_pulled_at = _first_pulled(landing / actor.id, extract.sha256, pulled_at, note=aside is None)
            extracts.append(replace(extract, created_at=first_pulled_at))
    return extracts


def find_landed(actor: str, file: str, sha256: str, created_at: datetime, landing: Path) -> LandedExtract | None:
    """An extract that was pulled by an earlier run, from the landing zone; None if it is there no more, or altered."""
    paths = (landing / actor / f"{sha256}{ending}" for ending in FORMATS)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
            return None
    return LandedExtract(actor, file, sha256, path, path.stat().st_size, created_at)


def _land(file_system: Any, source: str, actor: str, zone: Path, pulled_at: datetime) -> LandedExtract:
    name = _base_name(source)
    ending = next(ending for ending in FORMATS if name.endswith(ending))
    incoming = zone / f".incoming{ending}"
    digest = hashlib.sha256()
    size = 0
    with _at_the_source():
        before, stream = _stamp(file_system, source), file_system.open(source, "rb")
    with private_file(incoming) as landed, stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            landed.write(chunk)
            size += len(chunk)
    with _at_the_source():
        changed = _stamp(file_system, source) != before
    if changed:
        incoming.unlink()
        raise SourceUnavailable("changed-while-read", transient=True)
    sha256 = digest.hexdigest()
    path = zone / f"{sha256}{ending}"
    incoming.replace(path)
    sync(zone)
    return LandedExtract(actor, mask_file_name(_printable(name)), sha256, path, size, pulled_at)


def _first_pulled(zone: Path, sha256: str, pulled_at: datetime, *, note: bool) -> datetime:
    """When the extract was first pulled; if never before, now, which is noted."""
    path = zone / f"{sha256}.json"
    if not path.exists():
        if not note:
            return pulled_at
        write_json(path, {"first_pulled_at": pulled_at.isoformat()})
    return datetime.fromisoformat(read_json(path)["first_pulled_at"])


def first_pulled_at(landed: Path) -> datetime:
    """When the extract at a path in the landing zone was first pulled; where its note was lost, when it was last."""
    note = landed.with_name(landed.name.partition(".")[0] + ".json")
    if note.exists():
        return datetime.fromisoformat(read_json(note)["first_pulled_at"])
    return datetime.fromtimestamp(landed.stat().st_mtime, UTC)


def _stamp(file_system: Any, path: str) -> tuple[Any, ...]:
    entry = file_system.info(path)
    return entry.get("size"), entry.get("mtime"), entry.get("ino")


@contextmanager
def _at_the_source() -> Iterator[None]:
    """Tell trouble with a listed file at the source from trouble with our own landing zone."""
    try:
        yield
    except PermissionError:
        raise LoginRefused from None
    except FileNotFoundError:
        raise SourceUnavailable("changed-while-read", transient=True) from None


def _printable(name: str) -> str:
    """A file name as text that can be written: the bytes of one that is not UTF-8 as ``\\xe6``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
