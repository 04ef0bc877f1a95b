"""A source folder behind a network: every wait has an end, and every trouble one of our own words.

The libraries are asynchronous, because what waits in an event loop can be given up at any moment. Each source has a
loop of its own in the thread that pulls from it, and nothing outlives it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Generator
from typing import Any, Self, TypeVar

from afstem.errors import LoginRefused, SourceUnavailable
from afstem.settings import PullSettings
from afstem.sources import Entry, NotHad, Remote, Stamp

Result = TypeVar("Result")

CHUNK_BYTES = 1 << 18
"""Read at once, and so the least that a server must give within ``read_seconds``."""

CLOSING_SECONDS = 2.0

OURS = (SourceUnavailable, LoginRefused, NotHad, FileNotFoundError)


class RemoteSource:
    """A `Source` behind one kind of server (`Remote`)."""

    def __init__(self, remote: Remote, settings: PullSettings, deadline: float) -> None:
        self._remote = remote
        self._settings = settings
        self._deadline = deadline
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        for library in ("asyncssh", "aiobotocore", "botocore", "aiohttp", "asyncio"):
            # They tell hosts and users, and asyncio the words of what nobody waited for.
            logging.getLogger(library).setLevel(logging.CRITICAL)
        try:
            self._run(self._remote.connect(), self._settings.connect_seconds)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def entries(self) -> list[Entry]:
        return self._run(self._remote.entries(), self._settings.read_seconds)

    def stamp(self, name: str) -> Stamp:
        return self._run(self._remote.stamp(name), self._settings.read_seconds, name)

    def read(self, name: str) -> Generator[bytes, None, None]:
        seconds = self._settings.read_seconds
        self._run(self._remote.open(name), seconds, name)
        try:
            while chunk := self._run(self._chunk(), seconds, name):
                yield chunk
        finally:
            self._quietly(self._remote.shut())

    async def _chunk(self) -> bytes:
        """As much as is read at once, or what there is up to the file's end."""
        chunk = await self._remote.read(CHUNK_BYTES)
        while chunk and len(chunk) < CHUNK_BYTES and (more := await self._remote.read(CHUNK_BYTES - len(chunk))):
            chunk += more
        return chunk

    def _run(self, call: Coroutine[Any, Any, Result], seconds: float, name: str | None = None) -> Result:
        left = self._deadline - time.monotonic()
        if left <= 0:
            call.close()
            raise SourceUnavailable("too-slow", transient=False)
        try:
            return self._runner.run(asyncio.wait_for(call, min(seconds, left)))
        except OURS:
            raise
        except TimeoutError:
            raise SourceUnavailable("silent", transient=True) from None
        except Exception as error:
            trouble = self._remote.explain(error, name)
            if trouble is None:
                raise
            raise trouble from None

    def _close(self) -> None:
        self._quietly(self._remote.close())
        self._runner.close()

    def _quietly(self, call: Coroutine[Any, Any, None]) -> None:
        """To end what has come to its end: a server that does not take part in that changes nothing."""
        with contextlib.suppress(Exception):
            self._runner.run(asyncio.wait_for(call, CLOSING_SECONDS))
