"""A source folder on this machine's disks, or on what is mounted there."""

import errno
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Self

from afstem.errors import LoginRefused, SourceUnavailable
from afstem.sources import CHUNK_BYTES, Entry, NotHad, Stamp


class LocalSource:
    """A `Source` that needs neither a login nor a library."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def entries(self) -> list[Entry]:
        try:
            with os.scandir(self._folder) as listed:
                return [_entry_of(entry) for entry in listed]
        except (FileNotFoundError, NotADirectoryError):
            raise SourceUnavailable("no-such-folder", transient=False) from None
        except PermissionError:
            raise LoginRefused from None
        except OSError:
            raise SourceUnavailable("not-reached", transient=True) from None

    def stamp(self, name: str) -> Stamp:
        try:
            return _stamp_of((self._folder / name).lstat())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _not_had(error) from None

    def read(self, name: str) -> Generator[bytes, None, None]:
        try:
            descriptor = _open(self._folder / name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _not_had(error) from None
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotHad("not-a-file")
            while True:
                try:
                    chunk = stream.read(CHUNK_BYTES)
                except OSError as error:
                    raise _not_had(error) from None
                if not chunk:
                    return
                yield chunk


def _open(path: Path) -> int:
    # Since the file was listed its actor may have put a link to another actor's file in its place, or a pipe, which
    # would make us wait for ever.
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)


def _entry_of(entry: "os.DirEntry[str]") -> Entry:
    try:
        told = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return Entry(entry.name, "file")  # it is gone already, as whoever reads it will find
    kind = "file" if stat.S_ISREG(told.st_mode) else "directory" if stat.S_ISDIR(told.st_mode) else "other"
    return Entry(entry.name, kind, _stamp_of(told), told.st_size, told.st_mtime)


def _stamp_of(told: os.stat_result) -> Stamp:
    return told.st_size, told.st_mtime_ns, told.st_ino


def _not_had(error: OSError) -> NotHad:
    if isinstance(error, PermissionError):
        return NotHad("not-opened")
    return NotHad("not-a-file" if error.errno in (errno.ELOOP, errno.ENXIO) else "not-read")  # a link, or a socket
