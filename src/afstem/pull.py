"""Pull: an actor's source folder -> the landing zone, each file under its digest.

The landing zone keeps, per actor, ``<sha256><ending>`` with the bytes as delivered and ``<sha256>.json`` with the name
and the time of the first pull, which is the extract's creation time (SPEC 5.3); for an actor that signs also
``<sha256>.jwt``, its manifest (SPEC 2.4), which may say another. Nothing reads a file before it is complete and on
disk. A dry run pulls into a folder of its own and notes nothing, as if it had never been.
"""

import hashlib
import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from afstem import clock
from afstem.decode import FORMATS, is_extract_name
from afstem.errors import SourceUnavailable
from afstem.masking import tell_file_name
from afstem.private_files import lasting_folder, private_file, private_folder, read_json, sync, write_json
from afstem.settings import Actor, PullSettings
from afstem.sources import NOT_HAD, Entry, NotHad, Source, Stamp, is_remote, open_source

MANIFEST_ENDING = ".jwt"
MAX_TOKEN_BYTES = 65_536

TOO_LARGE = "too-large"
"""What is larger than an extract may be is not even copied: a file with holes holds terabytes, and takes no room where
it lies."""

REASONS = (*NOT_HAD, TOO_LARGE)
"""Why a file of a source folder could not be landed."""


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


Extract = LandedExtract | LeftExtract

Landed = dict[str, tuple[Stamp, Extract]]
"""What has come of the files of a source so far, by name; without a stamp what is to be tried again."""


@dataclass(frozen=True)
class Landing:
    """Where one actor's extracts land, and when."""

    actor: Actor
    zone: Path
    """The actor's folder in the landing zone."""
    pulled_at: datetime
    limits: PullSettings
    aside: Path | None = None
    """Where a dry run puts them instead."""

    def land(self, source: Source, entry: Entry) -> tuple[Stamp, Extract]:
        """One file of the source, whatever comes of it, and its stamp; `FileNotFoundError` if it is gone."""
        try:
            stamp = source.stamp(entry.name) if entry.stamp is None else entry.stamp
            extract = _land(source, entry, stamp, self)
        except NotHad as trouble:
            told, digest = tell_file_name(entry.name), hashlib.sha256(os.fsencode(entry.name)).hexdigest()
            return (), LeftExtract(self.actor.id, told, digest, trouble.reason, self.pulled_at)
        if extract.token is not None:
            _keep_token(extract.path.with_name(extract.sha256 + MANIFEST_ENDING), extract.token)
        first_pulled_at = _first_pulled(self.zone, extract.sha256, self.pulled_at, note=self.aside is None)
        return stamp, replace(extract, created_at=first_pulled_at)


def pull(
    actor: Actor, landing: Path, pulled_at: datetime, aside: Path | None = None, limits: PullSettings | None = None
) -> list[Extract]:
    """Land every extract of the actor's source folder; in the order of their names.

    ``pulled_at`` is the start of the run, the same for all its extracts, so that the order of pulling decides
    nothing. A dry run says where to put the files ``aside`` from the landing zone. What may be better a moment later is
    tried again, as ``limits`` say; what has landed by then is not read again. Raises `SourceUnavailable`, or
    `LoginRefused` where the folder cannot be entered.
    """
    limits = limits or PullSettings()
    deadline = time.monotonic() + limits.actor_seconds
    landed: Landed = {}
    place = Landing(actor, landing / actor.id, pulled_at, limits, aside and aside / actor.id)

    def attempt() -> list[Extract]:
        with open_source(actor, limits, deadline) as source:
            return _land_all(source, place, landed)

    try:
        return attempt()
    except SourceUnavailable as trouble:
        if not trouble.transient or limits.tries == 1:
            raise
        return _try_again(attempt, limits, deadline)


def _try_again(attempt: Callable[[], list[Extract]], limits: PullSettings, deadline: float) -> list[Extract]:
    """All tries but the first, after longer and longer waits; what the last one raises is no longer transient."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    def sleep(seconds: float) -> None:
        time.sleep(min(seconds, max(0.0, deadline - time.monotonic())))

    wait = wait_exponential(2 * limits.wait_seconds, max=600) + wait_random(0, limits.wait_seconds)
    sleep(limits.wait_seconds * random.uniform(1, 2))  # noqa: S311 - so that not all come back at once
    tries = Retrying(
        stop=stop_after_attempt(limits.tries - 1),
        wait=wait,
        sleep=sleep,
        retry=retry_if_exception(lambda error: isinstance(error, SourceUnavailable) and error.transient),
        reraise=True,
    )
    try:
        return tries(attempt)
    except SourceUnavailable as trouble:
        trouble.transient = False
        raise


def _land_all(source: Source, place: Landing, landed: Landed) -> list[Extract]:
    """Land what the source lists and ``landed`` does not hold yet, as it is listed."""
    entries = sorted(source.entries(), key=lambda entry: entry.name)
    listed_at = clock.now().timestamp()
    if place.aside is None:
        lasting_folder(place.zone)
    else:
        private_folder(place.aside)
    extracts: list[Extract] = []
    fresh: dict[str, Stamp] = {}
    for entry in entries:
        if not is_extract_name(entry.name) or entry.kind == "directory":
            continue
        try:
            known = landed.get(entry.name)
            if known is None or not known[0] or known[0] != (entry.stamp or source.stamp(entry.name)):
                known = landed[entry.name] = place.land(source, entry)
        except FileNotFoundError:
            raise SourceUnavailable("changed-while-read", transient=True) from None
        extracts.append(known[1])
        if entry.changed_at is not None and entry.changed_at > listed_at - place.limits.settle_seconds:
            fresh[entry.name] = known[0]
    if fresh and is_remote(place.actor.source):
        _let_settle(source, fresh, listed_at + place.limits.settle_seconds - clock.now().timestamp())
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


def _land(source: Source, entry: Entry, stamp: Stamp, place: Landing) -> LandedExtract:
    if entry.kind != "file":
        raise NotHad("not-a-file")
    if (entry.size or 0) > place.limits.max_bytes:
        raise NotHad(TOO_LARGE)
    zone = place.aside or place.zone
    ending = next(ending for ending in FORMATS if entry.name.endswith(ending))
    incoming = zone / f".incoming{ending}"
    digest = hashlib.sha256()
    size = 0
    with private_file(incoming) as landed, closing(source.read(entry.name)) as chunks:
        for chunk in chunks:
            digest.update(chunk)
            landed.write(chunk)
            size += len(chunk)
            if size > place.limits.max_bytes:
                raise NotHad(TOO_LARGE)
    token = _token_beside(source, entry.name) if place.actor.login == "manifest" else None
    if source.stamp(entry.name) != stamp:
        incoming.unlink()
        raise SourceUnavailable("changed-while-read", transient=True)
    sha256 = digest.hexdigest()
    path = zone / f"{sha256}{ending}"
    incoming.replace(path)
    sync(zone)
    return LandedExtract(place.actor.id, tell_file_name(entry.name), sha256, path, size, place.pulled_at, token)


def _let_settle(source: Source, fresh: dict[str, Stamp], seconds: float) -> None:
    """Look again at what was written to just before it was listed: its actor may be sending it still."""
    time.sleep(max(0.0, seconds))
    for name, stamp in fresh.items():
        try:
            changed = source.stamp(name) != stamp
        except FileNotFoundError:
            changed = True
        if changed:
            raise SourceUnavailable("changed-while-read", transient=True)


def _token_beside(source: Source, name: str) -> str | None:
    """The manifest beside an extract; None if there is none, and nothing of what cannot be one."""
    token = b""
    try:
        with closing(source.read(name + MANIFEST_ENDING)) as chunks:
            for chunk in chunks:
                token += chunk
                if len(token) > MAX_TOKEN_BYTES:
                    return ""
    except FileNotFoundError:
        return None
    except NotHad:
        return ""
    return token.decode("latin-1")


def _keep_token(path: Path, token: str) -> None:
    if not path.exists() or path.read_text("latin-1") != token:
        with private_file(path) as stream:
            stream.write(token.encode("latin-1"))


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
