"""One run or reference load at a time (SPEC 5.5): the second waits, or stops with a clear line.

The lock belongs to the process: the kernel (SQLite) or the server (PostgreSQL) releases it when the process dies,
however it dies, so nobody ever has to remove one by hand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from afstem.file_lock import StillHeld, held_alone, wait_for
from afstem.store.connection import WRITING_KEY, clean_errors, sqlite_file

ADVISORY_KEY = 0x61667374656D
"""The key of PostgreSQL's advisory lock, ``afstem`` in ASCII; such locks belong to one database."""

STORE = "the store"


@contextmanager
def exclusive(engine: Engine, wait_seconds: float, on_wait: Callable[[], None]) -> Iterator[StillHeld]:
    """Hold the store alone; ``on_wait`` is called once if somebody else has it.

    Raises `StoreBusy` when it is not free after ``wait_seconds``.
    """
    file = sqlite_file(engine)
    if file is None:
        with _advisory_lock(engine, wait_seconds, on_wait) as still_held:
            yield still_held
        return
    with held_alone(file.with_name(file.name + ".lock"), wait_seconds, on_wait, STORE) as still_held:
        yield still_held


@contextmanager
def _advisory_lock(engine: Engine, wait_seconds: float, on_wait: Callable[[], None]) -> Iterator[StillHeld]:
    # Its own connection, in no transaction: the lock belongs to the session and outlives the run's commits. Nobody gets
    # it afterwards: where the lock could not be released, the end of the session does it.
    with clean_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()

        def try_lock(key: int = ADVISORY_KEY) -> bool:
            locked: bool = connection.execute(_TRY_LOCK, {"key": key}).scalar_one()
            return locked

        def nobody_writes() -> bool:
            # The session that held the lock may be gone while its transaction, on another connection, is still on its
            # way: whoever begins now would decide by what is stored before it.
            if not try_lock(WRITING_KEY):
                return False
            connection.execute(_UNLOCK, {"key": WRITING_KEY})
            return True

        def still_held() -> None:
            with clean_errors(engine):
                connection.execute(text("SELECT 1"))

        wait_for(try_lock, wait_seconds, on_wait, STORE)
        try:
            wait_for(nobody_writes, wait_seconds, on_wait, STORE)
            yield still_held
        finally:
            # At once: the server notices a closed connection only a little later. One that is lost holds nothing.
            with suppress(SQLAlchemyError):
                connection.execute(_UNLOCK, {"key": ADVISORY_KEY})


_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")
