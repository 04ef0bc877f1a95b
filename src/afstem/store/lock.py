"""One run or reference load at a time (SPEC 5.5): the second waits, or stops with a clear line.

The lock belongs to the process: the kernel (SQLite) or the server (PostgreSQL) releases it when the process dies,
however it dies, so nobody ever has to remove one by hand.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from afstem.errors import DiskTrouble, StoreBusy
from afstem.store.connection import clean_errors, sqlite_file

ADVISORY_KEY = 0x61667374656D
"""The key of PostgreSQL's advisory lock, ``afstem`` in ASCII; such locks belong to one database."""

SECONDS_BETWEEN_TRIES = 0.1

StillHeld = Callable[[], None]
"""Returns if the lock is still held, raises `RunError` if the connection that held it is gone."""


def exclusive(engine: Engine, wait_seconds: float, on_wait: Callable[[], None]) -> AbstractContextManager[StillHeld]:
    """Hold the store alone; ``on_wait`` is called once if somebody else has it.

    Raises `StoreBusy` when it is not free after ``wait_seconds``.
    """
    file = sqlite_file(engine)
    if file is None:
        return _advisory_lock(engine, wait_seconds, on_wait)
    return _file_lock(file.with_name(file.name + ".lock"), wait_seconds, on_wait)


@contextmanager
def _file_lock(path: Path, wait_seconds: float, on_wait: Callable[[], None]) -> Iterator[StillHeld]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if trouble := DiskTrouble.of(error):
            raise trouble from None
        raise
    try:

        def try_lock() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait_for(try_lock, wait_seconds, on_wait)
        yield lambda: None  # a file lock is not lost while the process lives
    finally:
        os.close(descriptor)


@contextmanager
def _advisory_lock(engine: Engine, wait_seconds: float, on_wait: Callable[[], None]) -> Iterator[StillHeld]:
    # Its own connection, in no transaction: the lock belongs to the session and outlives the run's commits.
    with clean_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

        def try_lock() -> bool:
            locked: bool = connection.execute(_TRY_LOCK, {"key": ADVISORY_KEY}).scalar_one()
            return locked

        def still_held() -> None:
            with clean_errors(engine):
                connection.execute(text("SELECT 1"))

        _wait_for(try_lock, wait_seconds, on_wait)
        try:
            yield still_held
        finally:
            # At once: the server notices a closed connection only a little later. One that is lost holds nothing.
            with suppress(SQLAlchemyError):
                connection.execute(_UNLOCK, {"key": ADVISORY_KEY})


_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")


def _wait_for(attempt: Callable[[], bool], wait_seconds: float, on_wait: Callable[[], None]) -> None:
    deadline = time.monotonic() + wait_seconds
    if attempt():
        return
    on_wait()
    while not attempt():
        if time.monotonic() >= deadline:
            raise StoreBusy(
                f"another run or reference load holds the store (waited {wait_seconds:g} s): try again when it is done"
            )
        time.sleep(SECONDS_BETWEEN_TRIES)
