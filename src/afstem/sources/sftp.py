"""SFTP, by a library that checks the host's key: fsspec's own takes any key of a host that it does not know."""

import stat
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncssh

from afstem.errors import LoginRefused, SourceUnavailable
from afstem.settings import Actor, PullSettings, SourceSecrets
from afstem.sources import MAX_FILES, Entry, NotHad, Stamp


class Sftp:
    """``sftp://user@host:port/folder``; a folder that begins with ``/~/`` lies in the user's own.

    Secrets: ``password``, or ``key`` with its ``passphrase``. The host must stand in the file of known hosts.
    """

    def __init__(self, actor: Actor, settings: PullSettings, secrets: SourceSecrets) -> None:
        self._url = urlsplit(actor.source)
        path = unquote(self._url.path)
        self._folder = path.removeprefix("/~/") or "." if path.startswith("/~") else path or "."
        self._settings = settings
        self._secrets = secrets
        self._connection: Any = None
        self._sftp: Any = None
        self._file: Any = None

    async def connect(self) -> None:
        known_hosts = Path(self._settings.known_hosts or "~/.ssh/known_hosts").expanduser()
        if not known_hosts.is_file():
            raise SourceUnavailable("not-trusted", transient=False)
        password, key = self._secrets.get("password"), self._secrets.get("key")
        if password is None and key is None:
            raise SourceUnavailable("no-credentials", transient=False)
        try:
            keys = None if key is None else [asyncssh.import_private_key(key, self._secrets.get("passphrase"))]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            raise SourceUnavailable("no-credentials", transient=False) from None
        self._connection = await asyncssh.connect(
            self._url.hostname or "",
            self._url.port or 22,
            username=self._secrets.get("user") or unquote(self._url.username or ""),
            password=password,
            client_keys=keys,
            known_hosts=str(known_hosts),
            agent_path=None,
            config=None,
            connect_timeout=self._settings.connect_seconds,
            login_timeout=self._settings.connect_seconds,
            keepalive_interval=self._settings.read_seconds,
        )
        self._sftp = await self._connection.start_sftp_client()

    async def entries(self) -> list[Entry]:
        entries: list[Entry] = []
        async for listed in self._sftp.scandir(self._folder):
            if len(entries) == MAX_FILES:
                raise SourceUnavailable("too-many-files", transient=False)
            told = listed.attrs
            entries.append(Entry(listed.filename, _kind(told), _stamp_of(told), told.size, told.mtime))
        return entries

    async def stamp(self, name: str) -> Stamp:
        return _stamp_of(await self._sftp.lstat(self._path(name)))

    async def open(self, name: str) -> None:
        # A link in the place of what was listed could lead to where only the server may read.
        if _kind(await self._sftp.lstat(self._path(name))) != "file":
            raise NotHad("not-a-file")
        self._file = await self._sftp.open(self._path(name), "rb")

    async def read(self, count: int) -> bytes:
        return bytes(await self._file.read(count))

    async def shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await file.close()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            await self._connection.wait_closed()

    def explain(self, error: Exception, name: str | None) -> Exception | None:
        match error:
            case asyncssh.HostKeyNotVerifiable():
                return SourceUnavailable("not-trusted", transient=False)
            case asyncssh.PermissionDenied():
                return LoginRefused()
            case asyncssh.SFTPConnectionLost() | asyncssh.SFTPNoConnection():
                return SourceUnavailable("not-reached", transient=True)
            case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
                return FileNotFoundError() if name else SourceUnavailable("no-such-folder", transient=False)
            case asyncssh.SFTPNotADirectory():
                return SourceUnavailable("no-such-folder", transient=False)
            case asyncssh.SFTPPermissionDenied():
                return NotHad("not-opened") if name else LoginRefused()
            case asyncssh.SFTPError():
                return NotHad("not-read") if name else SourceUnavailable("not-reached", transient=True)
            case asyncssh.Error() | OSError():
                return SourceUnavailable("not-reached", transient=True)
        return None

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"


def _kind(told: Any) -> str:
    if told.permissions is None:
        return {asyncssh.FILEXFER_TYPE_REGULAR: "file", asyncssh.FILEXFER_TYPE_UNKNOWN: "file"}.get(told.type, "other")
    return "file" if stat.S_ISREG(told.permissions) else "directory" if stat.S_ISDIR(told.permissions) else "other"


def _stamp_of(told: Any) -> Stamp:
    return told.size, told.mtime
