"""Connections to the store, and the one place where a driver's exception is turned into a clean one.

A driver quotes the row it refuses: PostgreSQL's DETAIL carries the key or all of the row, COPY adds the line, and
all of it stands in ``str(exception)``. Nothing of that may get out, so every statement of the store runs inside
`reading`, `writing` or `clean_errors`, which let through the SQLSTATE (or SQLite's error name) and the constraint.
"""

import os
import re
import sqlite3
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    NullPool,
    QueuePool,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, StatementError

from afstem.errors import DiskTrouble, StoreFailed, UsageError
from afstem.private_files import lasting_folder, sync

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}

SQLITE_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    # FULL, not NORMAL: in WAL mode NORMAL may lose the last commit in a power cut, after its receipts were
    # published. A run has one commit, so FULL costs one fsync a night.
    "PRAGMA synchronous = FULL",
    # 64 MB of page cache: the upper levels of a country's contacts stay in memory through a bulk upsert.
    "PRAGMA cache_size = -65536",
    # What SQLite spills stays out of the folder for temporary files, which is no place for personal data.
    "PRAGMA temp_store = MEMORY",
)

# What a pool cannot reset it logs, with all that the driver's exception quotes. No connection comes back within a
# transaction, so none needs it.
_NO_RESET: Mapping[str, Any] = {"pool_reset_on_return": None}

SQLITE_POOL: Mapping[str, Any] = {
    # None kept open: `other_copy_of_sqlite`.
    "poolclass": NullPool,
    **_NO_RESET,
}

POSTGRESQL_POOL: Mapping[str, Any] = {
    # A new connection takes as long as thirty small questions, and its first one is slow. Forked workers inherit none,
    # because they are forked before the store is opened.
    "poolclass": QueuePool,
    "max_overflow": -1,
    "pool_use_lifo": True,
    # The server may have been started anew since.
    "pool_pre_ping": True,
    **_NO_RESET,
}

SQLITE_PREFIX = "sqlite:///"

BUSY_SECONDS = 30
"""How long SQLite waits for an outsider (a shell, a backup) that writes to the file."""

WRITING_KEY = 0x61667374656E
"""The key of the advisory lock that every transaction that writes to PostgreSQL shares, and holds to its end."""

ANSWER_SECONDS = 600
"""A server that has not answered a statement for so long will not: the longest of a country's night takes a tenth."""

LIFE_SIGNS = {"connect_timeout": "30", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
LIFE_SIGNS |= {"tcp_user_timeout": "60000"}
"""libpq's parameters, so that a host or a network that is gone is noticed within a minute; a URL may set others."""

SERVER_SETTINGS = {
    "timezone": "UTC",
    "client_encoding": "UTF8",
    # The same from the other side: a client that is gone must not hold the store for hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": f"{ANSWER_SECONDS}s",
    # Nobody waits for the answer any more.
    "statement_timeout": f"{ANSWER_SECONDS}s",
}
"""Given before what a URL's own ``options`` say, such as a search path."""

WAIT_SECONDS = 60
"""How long a change of tables waits for those who read them: while it waits, everybody waits behind it."""

_SQLITE_CONSTRAINT = re.compile(r"[A-Z ]+ constraint failed: ([\w., ]+)")


def open_engine(url: str) -> Engine:
    """An engine for a store URL of SPEC 2.1; connects to nothing yet.

    Raises `UsageError` for a URL that is none, for another database, and for SQLite without a file. The URL may
    hold a password, so no message quotes it.
    """
    if url.startswith(SQLITE_PREFIX) and url.removeprefix(SQLITE_PREFIX) not in ("", ":memory:"):
        # A path, not parsed as a URL: a folder's name may hold a question mark.
        return _sqlite_engine(Path(url.removeprefix(SQLITE_PREFIX)))
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError("store.url is no database URL") from None
    backend = parsed.get_backend_name()
    if backend not in DRIVERS or parsed.drivername not in (backend, DRIVERS[backend]):
        raise UsageError(f"store.url must begin with sqlite:/// or {DRIVERS['postgresql']}://")
    if backend == "postgresql":
        return _postgresql_engine(parsed.set(drivername=DRIVERS[backend]))
    if parsed.host or parsed.database is None or parsed.database in ("", ":memory:"):
        raise UsageError("store.url must name a file: sqlite:///path/to/afstem.db")
    return _sqlite_engine(Path(parsed.database))


def sqlite_file(engine: Engine) -> Path | None:
    """The file of an SQLite store; None for PostgreSQL."""
    return Path(engine.url.database) if engine.dialect.name == "sqlite" and engine.url.database else None


def make_sqlite_file(path: Path) -> None:
    """Make an SQLite store's file, mode 0600, and its folder, 0700, whatever the umask; one that is there stays."""
    try:
        lasting_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        sync(path.parent)
    except FileExistsError:
        if path.stat().st_nlink > 1:
            raise UsageError(
                f"store.url: {path} has two names (a hard link), and SQLite would keep a log for each: remove the other"
            ) from None
        return
    except OSError as error:
        if trouble := DiskTrouble.of(error):
            raise trouble from None
        raise UsageError(f"store.url: {path} cannot be made: {error.strerror}") from None


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers of an SQLite store (a report, an analyst) go on while a run writes; the file remembers it."""
    with clean_errors(engine), _connected(engine) as connection:
        # The driver's own cursor: within a transaction, which SQLAlchemy would begin, the mode cannot change.
        connection.connection.cursor().execute("PRAGMA journal_mode = WAL")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads: all of its statements see the same state."""
    with clean_errors(engine), _connected(engine) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: committed at the end, rolled back by any exception."""
    with clean_errors(engine), connected_to_write(engine) as connection, connection.begin():
        yield connection


@contextmanager
def connected_to_write(engine: Engine, *, alone: bool = False) -> Iterator[Connection]:
    """A connection whose transactions take SQLite's write lock at BEGIN, or share PostgreSQL's `WRITING_KEY`.

    An SQLite transaction that reads first and asks for the lock later is refused at once, without waiting, when
    somebody else has written in between. ``alone`` waits for every other transaction that writes.
    """
    with _connected(engine) as connection:
        yield connection.execution_options(afstem_writes="alone" if alone else "shared")


def limit_waiting(connection: Connection) -> None:
    """Let the statements of this transaction give up when a lock of PostgreSQL's is not free in time."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_TIMEOUT, {"time": f"{WAIT_SECONDS}s"})


_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :time, true)")


def libpq_words(engine: Engine) -> str:
    """Where a PostgreSQL store is and how it is spoken to, password included, in libpq's own words."""
    from psycopg.conninfo import make_conninfo

    _, words = engine.dialect.create_connect_args(engine.url)
    return make_conninfo(**{name: word for name, word in words.items() if name != "context"})


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    with _copies.shared(), engine.connect() as connection:
        yield connection


class _SharedOrAlone:
    """Lets in any number of threads that share, or one that wants to be alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._sharing)
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


_copies = _SharedOrAlone()


def other_copy_of_sqlite() -> AbstractContextManager[None]:
    """Keep Python's connections closed while another library's copy of SQLite has the file open.

    Locks on a file belong to the process, so the first of two copies to close it drops the locks of the other (SQLite,
    "How To Corrupt An SQLite Database File", 2.2.1). Never to be entered with a connection open in the same thread.
    """
    return _copies.alone()


@contextmanager
def clean_errors(engine: Engine) -> Iterator[None]:
    """Turn what a driver raises into `StoreFailed` without a word of the data."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (StatementError, *_driver_errors())):
            raise
        raise StoreFailed(describe(error, engine)) from None


def _driver_errors() -> tuple[type[Exception], ...]:
    """What a driver raises; psycopg, which takes a while to import, only where it has been."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error, psycopg.Error) if psycopg else (sqlite3.Error,)


def describe(error: Exception, engine: Engine) -> str:
    """One line about a driver's exception that holds no content: error name or SQLSTATE, constraint, what to do."""
    original = error.orig if isinstance(error, StatementError) and error.orig else error
    psycopg = sys.modules.get("psycopg")
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", None) or type(original).__name__
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return (
                f"the store failed: {name}: another program has kept the file locked for {BUSY_SECONDS} s: "
                "end what it does, and run again"
            )
        broken = _SQLITE_CONSTRAINT.fullmatch(str(original))
        constraint = broken[1] if broken else None
    elif psycopg and isinstance(original, psycopg.OperationalError) and not original.sqlstate:
        return f"the store failed: {LOST}"
    elif psycopg and isinstance(original, psycopg.Error) and (original.sqlstate or "").startswith(GOING_AWAY):
        return f"the store failed: {LOST} (SQLSTATE {original.sqlstate})"
    elif psycopg and isinstance(original, psycopg.Error):
        name = f"SQLSTATE {original.sqlstate}" if original.sqlstate else type(original).__name__
        constraint = original.diag.constraint_name
    else:
        name, constraint = type(original).__name__, None
    said = f"the store failed: {name}" + (f" ({constraint})" if constraint else "")
    remedy = next((remedy for known, remedy in _REMEDIES.items() if name.startswith(known)), None)
    file = sqlite_file(engine)
    return f"{said}: {remedy.format(folder=file.parent if file else '')}" if remedy else said


_REMEDIES = {
    "SQLITE_FULL": "make room in {folder}, and run again",
    "SQLITE_IOERR": "the disk of {folder} is full or broken, or a limit on the size of files is reached (ulimit -f)",
    "SQLITE_READONLY": "let the user that runs afstem write in {folder}",
    "SQLITE_CANTOPEN": "let the user that runs afstem write in {folder}, and see that there is room (df, df -i)",
    "SQLITE_CORRUPT": "restore the store in {folder} from its backup",
    "SQLITE_NOTADB": "restore the store in {folder} from its backup",
    "SQLSTATE 42501": "this role lacks a right: have the store's owner run 'afstem store init' and name it there",
    "SQLSTATE 55P03": "somebody kept a table locked: end what they do, and run again",
    "SQLSTATE 53100": "make room on the disk of the database server, and run again",
}
"""What to do about an error name or SQLSTATE that begins like this."""


LOST = "PostgreSQL cannot be reached, or the connection was lost"
GOING_AWAY = ("08", "57P", "25P03")
"""SQLSTATEs of a lost connection, of a server that is shut down or starts, and of a session ended for idling."""


def _sqlite_engine(path: Path) -> Engine:
    path = path.resolve()  # whatever links lead to it, the store has one log and one lock beside it

    def connect() -> sqlite3.Connection:
        # mode=rw: a connection never creates the file, so that it cannot come into being with the umask's mode.
        # No isolation level: the driver begins no transaction of its own; `_begin` does, DDL included.
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        for pragma in SQLITE_PRAGMAS:
            connection.execute(pragma)
        return connection

    url = URL.create("sqlite+pysqlite", database=str(path))
    engine = create_engine(url, creator=connect, **SQLITE_POOL, hide_parameters=True)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> Any:
    writes = connection.get_execution_options().get("afstem_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    options = [f"-c {name}={value}" for name, value in SERVER_SETTINGS.items()]
    query = LIFE_SIGNS | url.query | {"options": " ".join([*options, str(url.query.get("options", ""))]).rstrip()}
    engine = create_engine(url.set(query=query), **POSTGRESQL_POOL, hide_parameters=True)
    event.listen(engine, "do_connect", _connect_to_postgresql)
    event.listen(engine, "handle_error", _notice_that_the_server_goes)
    weakref.finalize(engine, engine.pool.dispose)  # whoever has forgotten the store keeps no connection of it open
    event.listen(engine, "begin", _say_that_it_writes)
    return engine


def _notice_that_the_server_goes(context: ExceptionContext) -> None:
    """No connection of the pool outlives a server that says that it ends, which SQLAlchemy takes for a mere error."""
    if (getattr(context.original_exception, "sqlstate", None) or "").startswith(GOING_AWAY):
        context.is_disconnect = True


def _connect_to_postgresql(_: Any, __: Any, arguments: Any, parameters: Any) -> Any:
    return _answering_connection().connect(*arguments, **parameters)


@cache
def _answering_connection() -> Any:
    """psycopg's connection, which takes a while to import, but for this: it does not wait for an answer for ever."""
    import psycopg

    class AnsweringConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
            except psycopg.errors._WaitTimeout:
                self.pgconn.finish()
                raise psycopg.OperationalError from None

    return AnsweringConnection


def _say_that_it_writes(connection: Connection) -> None:
    writes = connection.get_execution_options().get("afstem_writes")
    if writes:
        shared = "" if writes == "alone" else "_shared"
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock{shared}({WRITING_KEY})")
