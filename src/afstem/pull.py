"""Pull: an actor's source folder -> the landing zone, each file under its digest.

The landing zone keeps, per actor, ``<sha256><ending>`` with the bytes as delivered and ``<sha256>.json`` with the name
and the time of the first pull, which is the extract's creation time (SPEC 5.3); for an actor that signs also
``<sha256>.jwt``, its manifest (SPEC 2.4), which may say another. Nothing reads a file before it is complete and on
disk. A dry run pulls into a folder of its own and notes nothing, as if it had never been.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from afstem.decode import FORMATS, MAX_UNPACKED_BYTES, is_extract_name
from afstem.errors import LoginRefused, SourceUnavailable
from afstem.masking import tell_file_name
from afstem.private_files import lasting_folder, private_file, private_folder, read_json, sync, write_json
from afstem.settings import Actor

CHUNK_BYTES = 1 << 20
MANIFEST_ENDING = ".jwt"
MAX_TOKEN_BYTES = 65_536
MAX_FILE_BYTES = MAX_UNPACKED_BYTES
"""What is larger is not even copied: a file with holes holds terabytes and takes no room where it lies."""

REASONS = ("not-a-file", "not-opened", "not-read", "too-large")
"""Why a file of a source folder could not be landed: it is a link, a pipe or the like; we may not open it; its disk or
its server fails; it is larger than any extract."""


@dataclass(frozen=True)
class LandedExtract:
    """One extract in the landing zone."""

    actor: str
    file: str
    """Its name at the source as it may be told (`masking.tell_file_name`)."""
    sha256: str
    path: Path
    """Its ending tells the format."""
    bytes: int
    created_at: datetime
    """When it was first pulled, in UTC; once its manifest is proved, when that was made."""
    token: str | None = None
    """Its manifest as delivered, if the actor's login is one; not proved yet."""
    records: int | None = None
    """How many its proved manifest tells."""

    @property
    def extract_id(self) -> str:
        return f"{self.actor}-{self.sha256[:12]}"


@dataclass(frozen=True)
class LeftExtract:
    """One extract that could not be landed; ``reason`` is one of `REASONS`.

    It is that extract's trouble (1014) and no other's: we were let in at the source, or it would not be listed. The
    next run tries it again, as every refused extract.
    """

    actor: str
    file: str
    name_digest: str
    """SHA-256 of its name at the source: the same file, the same id, whatever may be told of its name."""
    reason: str
    created_at: datetime

    @property
    def extract_id(self) -> str:
        return f"{self.actor}-file-{self.name_digest[:12]}"


def pull(
    actor: Actor, landing: Path, pulled_at: datetime, aside: Path | None = None
) -> list[LandedExtract | LeftExtract]:
    """Land every extract of the actor's source folder; in the order of their names.

    ``pulled_at`` is the start of the run, the same for all its extracts, so that the order of pulling decides
    nothing. A dry run says where to put the files ``aside`` from the landing zone. Raises `SourceUnavailable`, or
    `LoginRefused` where the folder cannot be entered.
    """
    try:
        file_system, folder = fsspec.url_to_fs(actor.source)
        entries = file_system.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceUnavailable("no-such-folder", transient=False) from None
    except PermissionError:
        raise LoginRefused from None
    except OSError:
        raise SourceUnavailable("not-reached", transient=True) from None
    zone = lasting_folder(landing / actor.id) if aside is None else private_folder(aside / actor.id)
    extracts: list[LandedExtract | LeftExtract] = []
    for entry in sorted(entries, key=lambda entry: _base_name(entry["name"])):
        name = _base_name(entry["name"])
        if is_extract_name(name) and entry["type"] != "directory":
            try:
                extract = _land(file_system, entry, actor, zone, pulled_at)
            except _CannotLand as trouble:
                told, digest = tell_file_name(name), hashlib.sha256(os.fsencode(name)).hexdigest()
                extracts.append(LeftExtract(actor.id, told, digest, trouble.reason, pulled_at))
            else:
                if extract.token is not None:
                    _keep_token(zone / f"{extract.sha256}{MANIFEST_ENDING}", extract.token)
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
    manifest = path.with_name(sha256 + MANIFEST_ENDING)
    token = manifest.read_text("latin-1") if manifest.exists() else None
    return LandedExtract(actor, file, sha256, path, path.stat().st_size, created_at, token)


class _CannotLand(Exception):
    """A file that is not to be had; ``reason`` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _land(file_system: Any, entry: dict[str, Any], actor: Actor, zone: Path, pulled_at: datetime) -> LandedExtract:
    source, name = entry["name"], _base_name(entry["name"])
    if entry["type"] != "file":
        raise _CannotLand("not-a-file")
    ending = next(ending for ending in FORMATS if name.endswith(ending))
    incoming = zone / f".incoming{ending}"
    digest = hashlib.sha256()
    size = 0
    with _at_the_source():
        before = _stamp(file_system, source)
    with private_file(incoming) as landed:
        for chunk in _read(file_system, source):
            digest.update(chunk)
            landed.write(chunk)
            size += len(chunk)
            if max(size, before[0] or 0) > MAX_FILE_BYTES:
                raise _CannotLand("too-large")
    token = _token_beside(file_system, source) if actor.login == "manifest" else None
    with _at_the_source():
        changed = _stamp(file_system, source) != before
    if changed:
        incoming.unlink()
        raise SourceUnavailable("changed-while-read", transient=True)
    sha256 = digest.hexdigest()
    path = zone / f"{sha256}{ending}"
    incoming.replace(path)
    sync(zone)
    return LandedExtract(actor.id, tell_file_name(name), sha256, path, size, pulled_at, token)


def _token_beside(file_system: Any, source: str) -> str | None:
    """The manifest beside an extract; None if there is none, and nothing of what cannot be one."""
    try:
        with _open(file_system, source + MANIFEST_ENDING) as stream:
            token = stream.read(MAX_TOKEN_BYTES + 1)
    except FileNotFoundError:
        return None
    except (OSError, _CannotLand):
        return ""
    return token.decode("latin-1") if len(token) <= MAX_TOKEN_BYTES else ""


def _keep_token(path: Path, token: str) -> None:
    if not path.exists() or path.read_text("latin-1") != token:
        with private_file(path) as stream:
            stream.write(token.encode("latin-1"))


def _read(file_system: Any, source: str) -> Iterator[bytes]:
    """The bytes of a listed file; what goes wrong here is the source's trouble, not that of our own landing zone."""
    with _at_the_source():
        stream = _open(file_system, source)
    with stream:
        while True:
            with _at_the_source():
                chunk = stream.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


def _open(file_system: Any, source: str) -> IO[bytes]:
    if not isinstance(file_system, LocalFileSystem):
        return file_system.open(source, "rb")
    # Since the file was listed its actor may have put a link to another actor's file in its place, or a pipe, which
    # would make us wait for ever.
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # as open(2) says of a link, and of a socket
            raise _CannotLand("not-a-file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _CannotLand("not-a-file")
    return os.fdopen(descriptor, "rb")


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
    """Tell trouble with a listed file at the source from trouble with our own landing zone.

    Raises `_CannotLand`, or `SourceUnavailable` where the file is gone: the actor is changing its delivery.
    """
    try:
        yield
    except PermissionError:
        raise _CannotLand("not-opened") from None
    except FileNotFoundError:
        raise SourceUnavailable("changed-while-read", transient=True) from None
    except OSError:
        raise _CannotLand("not-read") from None


def _base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
