"""Sources: what an actor's folder holds, wherever it is (SPEC 2.2): on a disk, behind SFTP, HTTPS or S3.

`open_source` picks the kind by the URL. Each kind tells its trouble in the same few words: `LoginRefused` (1012),
`SourceUnavailable` with the slug of a reason, and `NotHad` for one file that is not to be had. None of them carries
what a server or a library said, which may quote a secret.

What a kind needs is imported when an actor has such a source. A source of a new kind is a `Remote`, a branch of
`_remote` and a row of `NEEDED`.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from afstem.errors import UsageError
from afstem.settings import Actor, PullSettings, Settings, SourceSecrets, source_secrets

CHUNK_BYTES = 1 << 20

NOT_HAD = ("not-a-file", "not-opened", "not-read")
"""Why one file of a source is not to be had: it is a link, a pipe or the like; we may not open it; its disk or its
server fails."""

MAX_FILES = 10_000
"""What lists more is no source folder, and a server may list without end."""

NEEDED = {"sftp": "asyncssh", "https": "aiohttp", "http": "aiohttp", "s3": "aiobotocore"}
"""Scheme -> the library for it, an extra of the same name (``http`` comes with ``https``)."""

Stamp = tuple[object, ...]
"""What tells one state of a file from another, such as size and time of change; empty where a server tells nothing."""


@dataclass(frozen=True)
class Entry:
    """One name of a source folder; ``stamp`` as it was listed, None where a listing tells none.

    ``changed_at`` is when it was last written, in seconds since 1970 by the server's clock; None if that is unknown.
    """

    name: str
    kind: str
    """``file``, ``directory`` or ``other``."""
    stamp: Stamp | None = None
    size: int | None = None
    changed_at: float | None = None


class NotHad(Exception):
    """One file that is not to be had; ``reason`` is one of `NOT_HAD`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Source(Protocol):
    """A source folder. Every method may raise `SourceUnavailable`; those about a file `NotHad`."""

    def entries(self) -> list[Entry]:
        """What the folder holds; raises `LoginRefused` where it cannot be entered."""

    def stamp(self, name: str) -> Stamp:
        """The file's stamp now; `FileNotFoundError` where it is gone."""

    def read(self, name: str) -> Generator[bytes, None, None]:
        """What the file holds; `FileNotFoundError` where it is gone."""


def open_source(actor: Actor, settings: PullSettings, deadline: float) -> AbstractContextManager[Source]:
    """The actor's source, to be closed; ``deadline`` is when pulling from it must end, by `time.monotonic`."""
    if not is_remote(actor.source):
        from afstem.sources.local import LocalSource

        return LocalSource(local_folder(actor.source))
    from afstem.sources.remote import RemoteSource

    return RemoteSource(_remote(actor, settings, source_secrets(actor)), settings, deadline)


def _remote(actor: Actor, settings: PullSettings, secrets: SourceSecrets) -> "Remote":
    scheme = urlsplit(actor.source).scheme
    if scheme == "sftp":
        from afstem.sources.sftp import Sftp

        return Sftp(actor, settings, secrets)
    if scheme == "s3":
        from afstem.sources.s3 import S3

        return S3(actor, settings, secrets)
    from afstem.sources.https import Https

    return Https(actor, settings, secrets)


class Remote(Protocol):
    """One kind of server, spoken to in one event loop; what it raises is `RemoteSource`'s to tell."""

    async def connect(self) -> None: ...

    async def entries(self) -> list[Entry]: ...

    async def stamp(self, name: str) -> Stamp: ...

    async def open(self, name: str) -> None:
        """Begin to read a file."""

    async def read(self, count: int) -> bytes:
        """At most so many more bytes of it; none at its end."""

    async def shut(self) -> None:
        """End reading the file."""

    async def close(self) -> None: ...

    def explain(self, error: Exception, name: str | None) -> Exception | None:
        """What an exception of its library means, of a file or of the whole source; None for a bug."""


def is_remote(source: str) -> bool:
    return "://" in source and not source.startswith("file://")


def local_folder(source: str) -> Path:
    return Path(unquote(urlsplit(source).path)) if source.startswith("file://") else Path(source)


def check_sources(settings: Settings, actors: dict[str, Actor]) -> None:
    """Raise `UsageError` for a source whose library is not installed."""
    for scheme in sorted({urlsplit(actor.source).scheme for actor in actors.values() if is_remote(actor.source)}):
        if find_spec(NEEDED[scheme]) is None:
            extra = "https" if scheme == "http" else scheme
            raise UsageError(f"{settings.actors}: a source is {scheme}://, which needs pip install 'afstem[{extra}]'")
