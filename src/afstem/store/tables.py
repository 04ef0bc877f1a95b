"""The tables of the store, for SQLite and PostgreSQL alike. SPEC 5.2 says which of them others may read.

Column types are the same words on both: texts TEXT (SQLite's INTEGER affinity would eat a CPR number's leading
zero), times `UtcTime`. A change here needs a migration; a test holds the two together.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    text,
)


class UtcTime(TypeDecorator[datetime]):
    """An instant. PostgreSQL keeps it as timestamptz, SQLite as ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the store needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        instant: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return instant


metadata = MetaData(
    # Named, so that an error can say which constraint was broken without quoting the row.
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# --- reference data (SPEC 2.6) ----------------------------------------------------------------------------------------

citizens = Table(
    "citizens",
    metadata,
    Column("personnummer", Text, nullable=False),
    Column("status", Text, nullable=False),
    PrimaryKeyConstraint("personnummer"),
    sqlite_with_rowid=False,
)

relations = Table(
    "relations",
    metadata,
    Column("personnummer", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
    Index(None, "actor", "personnummer"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("personnummer", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
)

# --- what runs have made of it ----------------------------------------------------------------------------------------

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("status", Text, nullable=False),
    Column("report_published", Boolean, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),
    PrimaryKeyConstraint("run_id"),
)

extracts = Table(
    "extracts",
    metadata,
    Column("extract_no", Integer, nullable=False, autoincrement=False),
    Column("extract_id", Text, nullable=False),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("code", Integer),
    Column("created_at", UtcTime, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("records", BigInteger, nullable=False),
    PrimaryKeyConstraint("extract_no"),
    # The ledger of SPEC 5.5: an extract that was applied is never applied again.
    Index(
        "uq_extracts_applied_once",
        "actor",
        "sha256",
        unique=True,
        sqlite_where=text("state = 'applied'"),
        postgresql_where=text("state = 'applied'"),
    ),
)

# No foreign keys from contacts and history: they would be checked once for each of up to 18 million rows a night,
# and the rows come from `apply`, which takes actor and extract from the ledger rows it writes itself.
contacts = Table(
    "contacts",
    metadata,
    Column("personnummer", Text, nullable=False),
    Column("contact_type", Text, nullable=False),
    Column("value", Text),
    Column("registered_at", UtcTime),
    Column("actor", Text, nullable=False),
    Column("verified_at", UtcTime),
    Column("run_id", Text),
    Column("extract_no", Integer),
    Column("record_no", BigInteger),
    PrimaryKeyConstraint("personnummer", "contact_type"),
    sqlite_with_rowid=False,
)
"""``value`` null: removed. ``extract_no`` null: loaded as reference data, older than any extract."""

contact_history = Table(
    "contact_history",
    metadata,
    Column("history_no", BigInteger().with_variant(Integer, "sqlite"), nullable=False, autoincrement=True),
    Column("personnummer", Text, nullable=False),
    Column("contact_type", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("actor", Text, nullable=False),
    Column("extract_id", Text, nullable=False),
    Column("record_no", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("history_no"),
    Index(None, "run_id"),
    sqlite_autoincrement=True,
)
"""Append-only: triggers made by the migration refuse UPDATE, DELETE and (PostgreSQL) TRUNCATE."""

finding_memory = Table(
    "finding_memory",
    metadata,
    Column("actor", Text, nullable=False),
    Column("cpr_token", Text, nullable=False),
    Column("contact_type", Text, nullable=False),
    Column("code", Integer, nullable=False),
    Column("first_seen_run", Text, nullable=False),
    Column("last_seen_run", Text, nullable=False),
    Column("runs_seen", BigInteger, nullable=False),
    PrimaryKeyConstraint("actor", "cpr_token", "contact_type", "code"),
    sqlite_with_rowid=False,
)
"""Since when the same finding has been raised; ``contact_type`` is empty for a finding without one."""

settings_kept = Table(
    "settings_kept",
    metadata,
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("name"),
)
"""What the store itself must remember: the key of the CPR tokens, and when reference data were loaded."""
