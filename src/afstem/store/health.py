"""What an operator should know of a store before a night: looked at, never changed."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from afstem.store import migrations, rights
from afstem.store.connection import reading, sqlite_file


@dataclass(frozen=True)
class Health:
    """``version`` is None where there is no store yet; ``is_newest``, it is the one of this program.

    ``may_upgrade``: the role may make or alter the tables, which any that reaches an SQLite store may. ``lacks`` and
    ``exceeds`` are what PostgreSQL's role may not do of what a run does, and may do beyond it.
    """

    version: str | None
    is_newest: bool
    is_newer: bool
    may_upgrade: bool
    role: str | None = None
    lacks: tuple[str, ...] = ()
    exceeds: tuple[str, ...] = ()
    moment: datetime | None = None
    """By the clock of the database server; SQLite has none of its own."""


def look_at(engine: Engine) -> Health:
    """Raises `StoreFailed` for a store that cannot be reached, or that is none."""
    file = sqlite_file(engine)
    if file is not None and not file.exists():
        return Health(None, is_newest=False, is_newer=False, may_upgrade=True)
    with reading(engine) as connection:
        version = migrations.version(connection)
        is_newest = version == migrations.NEWEST
        health = Health(
            version,
            is_newest=is_newest,
            is_newer=version is not None and version > migrations.NEWEST,
            may_upgrade=rights.may_upgrade(connection),
        )
        return health if file is not None else _with_role(connection, health)


def _with_role(connection: Connection, health: Health) -> Health:
    role, moment = connection.execute(text("SELECT current_user, clock_timestamp()")).one()
    return replace(
        health,
        role=role,
        lacks=tuple(rights.lacking(connection, "run")) if health.is_newest else (),
        exceeds=tuple(rights.excess(connection)),
        moment=moment.astimezone(UTC),
    )


def size(engine: Engine) -> int:
    """Bytes on disk: an SQLite file with its log, or all of a PostgreSQL database."""
    file = sqlite_file(engine)
    if file is None:
        with reading(engine) as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    return sum(path.stat().st_size for path in (file, _log_of(file)) if path.exists())


def files(engine: Engine) -> list[Path]:
    """The files of an SQLite store that are there; none of PostgreSQL."""
    file = sqlite_file(engine)
    if file is None:
        return []
    beside = (file.with_name(f"{file.name}{ending}") for ending in ("-shm", ".lock"))
    return [path for path in (file, _log_of(file), *beside) if path.exists()]


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")
