"""The store: what is known about citizens and what runs have made of it. The only SQL of the project is in here.

SQLite and PostgreSQL, one set of tables (`tables`), brought up to date by `migrations`. Nothing that a driver
raises gets out (`connection`).
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Engine, insert, select

from afstem.codelist import Codelist
from afstem.errors import UsageError
from afstem.file_lock import StillHeld
from afstem.lookup import Citizens
from afstem.permissions import Relations
from afstem.store import health, ledger, lookup, migrations, rights
from afstem.store.apply import AppliedCounts, apply_run
from afstem.store.bulk_read import close_readers
from afstem.store.committing import commit
from afstem.store.connection import (
    clean_errors,
    connected_to_write,
    limit_waiting,
    make_sqlite_file,
    open_engine,
    reading,
    sqlite_file,
    use_write_ahead_log,
    writing,
)
from afstem.store.health import Health
from afstem.store.ledger import ExtractRow, ExtractState, ForgottenRun, HeldExtract, RunRow
from afstem.store.lock import exclusive
from afstem.store.lookup import CONFIRMATION_SCHEMA
from afstem.store.reference_load import Normalise, ReferenceStamp, load_folder, read_stamps, was_loaded
from afstem.store.rights import Roles
from afstem.store.tables import settings_kept

__all__ = [
    "CONFIRMATION_SCHEMA",
    "AppliedCounts",
    "ExtractRow",
    "ExtractState",
    "ForgottenRun",
    "Health",
    "HeldExtract",
    "ReferenceStamp",
    "Roles",
    "RunRow",
    "Store",
]

TOKEN_KEY = "token_key"  # noqa: S105 - the name of a row, not a key

UPGRADE_WAIT_SECONDS = 60.0


def _for_the_owner(found: str | None) -> str:
    """What to say to a role that may not alter the tables, which are not those of this version of the program."""
    if found is None:
        return "there is no store yet, and this role may not make it: have its owner run 'afstem store init'"
    if found > migrations.NEWEST:
        return migrations.NEWER
    return (
        f"the store is of an older version ({found}, needed is {migrations.NEWEST}), and this role may not alter it: "
        "have its owner run 'afstem store upgrade'"
    )


class Store:
    """One store. Methods read or write in a transaction of their own; all raise `RunError` when the database fails.

    Whoever decides by what they read and writes it back holds the store `exclusive` from the reading to the writing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._still_held: StillHeld | None = None

    @classmethod
    def open(cls, url: str) -> Self:
        """The store of a URL (SPEC 2.1), which need not exist yet; raises `UsageError` for a URL of another kind."""
        return cls(open_engine(url))

    def close(self) -> None:
        close_readers(self._engine)
        self._engine.dispose()

    def upgrade(self) -> None:
        """Make the store, or bring its tables up to date; never under a run.

        Raises `UsageError` when its file cannot be made, a newer version of the program has changed it, or its tables
        are for another role to change.
        """
        file = sqlite_file(self._engine)
        if file is not None:
            make_sqlite_file(file)
        with reading(self._engine) as connection:
            found = migrations.version(connection)
            if found == migrations.NEWEST:
                return
            if not rights.may_upgrade(connection):
                raise UsageError(_for_the_owner(found))
        if self._still_held is not None:
            self._migrate()
            return
        with self.exclusive(UPGRADE_WAIT_SECONDS, lambda: None):
            self._migrate()

    def _migrate(self) -> None:
        if sqlite_file(self._engine) is not None:
            use_write_ahead_log(self._engine)
        with writing(self._engine) as connection:
            limit_waiting(connection)
            migrations.upgrade(connection)
            kept = select(settings_kept.c.value).where(settings_kept.c.name == TOKEN_KEY)
            if connection.execute(kept).first() is None:
                connection.execute(insert(settings_kept).values(name=TOKEN_KEY, value=secrets.token_hex(32)))
            if any(rights.remembered(connection).values()):
                rights.grant(connection, {})

    def version(self) -> str | None:
        """The last step of `migrations` that the store has taken; None where there is no store yet."""
        file = sqlite_file(self._engine)
        if file is not None and not file.exists():
            return None
        with reading(self._engine) as connection:
            return migrations.version(connection)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite store, there or not; None for PostgreSQL."""
        return sqlite_file(self._engine)

    def health(self) -> Health:
        """What an operator should know of it; nothing is made or changed."""
        return health.look_at(self._engine)

    def size(self) -> int:
        """Bytes on disk."""
        return health.size(self._engine)

    def files(self) -> list[Path]:
        """The files of an SQLite store that are there; none of PostgreSQL."""
        return health.files(self._engine)

    def grant(self, roles: Roles) -> Roles:
        """Give PostgreSQL's roles what their work needs and no more; all roles with rights, by kind (`rights`)."""
        with writing(self._engine) as connection:
            limit_waiting(connection)
            return rights.grant(connection, roles)

    @contextmanager
    def exclusive(self, wait_seconds: float, on_wait: Callable[[], None]) -> Iterator[None]:
        """Keep out every other run and reference load; ``on_wait`` is called once if one of them is under way.

        Raises `StoreBusy` when it does not end within ``wait_seconds``.
        """
        with exclusive(self._engine, wait_seconds, on_wait) as still_held:
            self._still_held = still_held
            try:
                yield
            finally:
                self._still_held = None

    # --- what a run needs to know -----------------------------------------------------------------------------------

    def knows_citizens(self) -> bool:
        """Whether citizens were ever loaded."""
        stamp = self.reference_stamps().get("citizens")
        return stamp is not None and stamp.rows > 0

    def citizens(self) -> Citizens:
        """Every citizen, and who of them is dead."""
        with reading(self._engine) as connection:
            return lookup.read_citizens(connection)

    def relations(self, actor: str) -> Relations:
        """The relations of one actor, whenever valid."""
        with reading(self._engine) as connection:
            return lookup.read_relations(connection, actor)

    def email_subscribers(self, as_of: date) -> npt.NDArray[np.int64]:
        """The sorted CPR numbers of citizens with an email subscription on the as-of date."""
        with reading(self._engine) as connection:
            return lookup.read_email_subscribers(connection, as_of)

    def stored_contacts(self, low: int, high: int) -> pa.Table:
        """Every stored contact with low <= contact < high, as `reconcile.CANDIDATE_SCHEMA`, sorted by contact; each
        with the source and the record that wrote its row. Not to be called from within a transaction."""
        return lookup.read_stored_contacts(self._engine, low, high)

    def stored_contacts_for(self, contacts: npt.NDArray[np.int64], low: int, high: int) -> pa.Table:
        """The same, and at least those of the given ones (sorted, once each): only them, where looking for them is
        quicker than reading them all."""
        with reading(self._engine) as connection:
            stored = lookup.estimate_contacts(connection, low, high)
        if len(contacts) * lookup.SEARCH_COSTS < stored:
            return lookup.read_these_contacts(self._engine, contacts)
        return self.stored_contacts(low, high)

    def confirmations(self, days: range) -> dict[int, pa.Table]:
        """Which records have confirmed stored contacts since, as `lookup.CONFIRMATION_SCHEMA`, by the leading two
        digits of the citizens' numbers."""
        with reading(self._engine) as connection:
            return lookup.read_confirmations(connection, days)

    def sources(self) -> pa.Table:
        """Everything that stored contacts may come from, as `lookup.SOURCE_SCHEMA`."""
        with reading(self._engine) as connection:
            return lookup.read_sources(connection)

    def finding_memory(self, actor: str) -> pa.Table:
        """What is remembered of an actor's findings, as `finding_memory.MEMORY_SCHEMA`."""
        with reading(self._engine) as connection:
            return lookup.read_finding_memory(connection, actor)

    def token_key(self) -> bytes:
        """The key of the CPR tokens: made with the store, so that a citizen keeps their token from run to run."""
        with reading(self._engine) as connection:
            kept = select(settings_kept.c.value).where(settings_kept.c.name == TOKEN_KEY)
            return bytes.fromhex(connection.execute(kept).scalar_one())

    def name(self) -> str:
        """A name that no other store has, and that tells nothing of it."""
        return hashlib.sha256(b"afstem store " + self.token_key()).hexdigest()[:16]

    # --- the ledger -------------------------------------------------------------------------------------------------

    def next_source_no(self) -> int:
        """The first number that no extract has yet; numbers of a run go on from there."""
        with reading(self._engine) as connection:
            return ledger.next_source_no(connection)

    def applied_digests(self, actor: str) -> set[str]:
        """The SHA-256 of every extract of the actor that was applied, and never will be again (SPEC 5.5)."""
        with reading(self._engine) as connection:
            return ledger.applied_digests(connection, actor)

    def last_applied(self, actor: str, sha256: str) -> int | None:
        """How many records the actor's last applied extract has, which this one is compared with; None without one."""
        with reading(self._engine) as connection:
            return ledger.last_applied(connection, actor, sha256)

    def held_extracts(self) -> list[HeldExtract]:
        """The extracts that wait for their release (SPEC 5.4)."""
        with reading(self._engine) as connection:
            return ledger.held_extracts(connection)

    def previous_run_of(self, actor: str) -> str | None:
        """The last run in which an extract of the actor was read: applied, or held."""
        with reading(self._engine) as connection:
            return ledger.previous_run_of(connection, actor)

    def runs(self) -> list[RunRow]:
        """Every committed run, the oldest first."""
        with reading(self._engine) as connection:
            return ledger.read_runs(connection)

    def run(self, run_id: str) -> RunRow | None:
        with reading(self._engine) as connection:
            return ledger.read_run(connection, run_id)

    def unpublished_runs(self) -> list[str]:
        """Runs that are committed, but whose report is not: the next run publishes it."""
        with reading(self._engine) as connection:
            return ledger.unpublished_runs(connection)

    def newest_run(self) -> RunRow | None:
        """The run that was committed last."""
        with reading(self._engine) as connection:
            return ledger.newest_run(connection)

    def keep_manifest_digest(self, run_id: str, sha256: str) -> None:
        """Remember the manifest of a run whose report had to be made anew."""
        with writing(self._engine) as connection:
            ledger.keep_manifest_digest(connection, run_id, sha256)

    def extracts_still_needed(self) -> set[tuple[str, str]]:
        """Actor and SHA-256 of the extracts that a later run may want: held ones, and those of a run whose report is
        not out."""
        with reading(self._engine) as connection:
            unpublished = ledger.unpublished_runs(connection)
            return ledger.held_digests(connection) | ledger.digests_of_runs(connection, unpublished)

    def forget_runs(self, forgotten: list[ForgottenRun]) -> None:
        """Record that the reports of these runs are removed; their rows in the ledger stay."""
        with writing(self._engine) as connection:
            ledger.forget_runs(connection, forgotten)
            self._check_lock()

    def forgotten_runs(self) -> dict[str, ForgottenRun]:
        """The runs whose reports were removed, by run id."""
        with reading(self._engine) as connection:
            return ledger.read_forgotten_runs(connection)

    def mark_published(self, run_id: str) -> None:
        with writing(self._engine) as connection:
            ledger.mark_published(connection, run_id)

    # --- changes ----------------------------------------------------------------------------------------------------

    def load_reference(
        self, folder: Path, codelist: Codelist, normalise: Normalise, zone: ZoneInfo, loaded_at: datetime
    ) -> dict[str, int]:
        """Replace the reference tables for which the folder has a file (SPEC 2.6), all or none.

        ``normalise`` gives the stored form of contact values, ``zone`` the zone of times without an offset. Returns
        the rows by file. Raises `UsageError` naming file, line and column of the first fault.
        """
        with clean_errors(self._engine), connected_to_write(self._engine) as connection:
            transaction = connection.begin()
            try:
                rows = load_folder(connection, folder, codelist, normalise, zone, loaded_at)
                self._check_lock()
                commit(self._engine, transaction, lambda found: was_loaded(found, rows, loaded_at))
            finally:
                transaction.close()  # rolls back what was not committed
            return rows

    def reference_stamps(self) -> dict[str, ReferenceStamp]:
        """When each reference table was last loaded; a table that never was is left out."""
        with reading(self._engine) as connection:
            return read_stamps(connection)

    def apply(
        self,
        run: RunRow,
        extracts: list[ExtractRow],
        changes: Iterable[pa.Table],
        confirmed: Iterable[tuple[int, bytes]],
        memory: Iterable[tuple[str, bytes]],
        verify: Callable[[AppliedCounts], str | None],
        *,
        dry_run: bool = False,
    ) -> AppliedCounts:
        """Write a run in one transaction: its ledger rows, the contacts it changes and their history, what it
        remembers of findings.

        ``changes`` are tables of `reconcile.Settlement.changes`, in the order of the key; their extracts must be
        among ``extracts``. ``confirmed`` replaces the packed `confirmations` of the days it names, ``memory`` all that
        is remembered of the actors it names. Before the commit ``verify`` gets what the store itself counts, and raises
        to refuse; it gives the SHA-256 of the run's manifest, which the store keeps. A dry run ends there. A run that
        is in the store already is not written again; its counts are returned.
        """
        return apply_run(
            self._engine, run, extracts, changes, confirmed, memory, verify, self._check_lock, dry_run=dry_run
        )

    def _check_lock(self) -> None:
        if self._still_held is not None:
            self._still_held()
