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
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    column,
    table,
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

reference_columns = Table(
    "reference_columns",
    metadata,
    Column("name", Text, nullable=False, doc="``citizens``, ``relations`` or ``subscriptions``"),
    Column("part", Text, nullable=False, doc="what is read at once"),
    Column("rows", BigInteger, nullable=False, doc="how many rows it holds"),
    Column("content", LargeBinary, nullable=False, doc="the columns, packed"),
    PrimaryKeyConstraint("name", "part"),
)
"""Citizens, relations and subscriptions as sorted columns (`packed`): written whole by a load, read whole by every run.

As rows of their own, a country's 18 million relations took minutes to load and a second a million to read back.
``part`` is what is read at once: an actor's id for relations, a channel for subscriptions, "" for citizens.
"""

# --- what runs have made of it ----------------------------------------------------------------------------------------

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, nullable=False, doc="``YYYYMMDDTHHMMSSZ-xxxxxx``"),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime, nullable=False, doc="when it was settled, before it was applied"),
    Column("as_of", Date, nullable=False, doc="the day that permissions and subscriptions were judged on"),
    Column("status", Text, nullable=False, doc="``completed`` or ``completed-with-refusals``"),
    Column("report_published", Boolean, nullable=False, doc="false: the next run publishes it"),
    Column("records", BigInteger, nullable=False),
    Column("counts", Text, nullable=False, doc="outcomes and findings, as JSON"),
    Column("manifest_sha256", Text, doc="of its ``run.json``"),
    PrimaryKeyConstraint("run_id"),
)
"""The runs that were applied. ``manifest_sha256`` is of bytes, and the next run's manifest names it as well."""

forgotten_runs = Table(
    "forgotten_runs",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("manifest_sha256", Text, nullable=False, doc="of its ``run.json``"),
    Column("previous_run_id", Text, doc="the run that its manifest names as the one before"),
    Column("previous_sha256", Text, doc="of that run's ``run.json``"),
    Column("forgotten_at", UtcTime, nullable=False, doc="when its report was removed"),
    PrimaryKeyConstraint("run_id"),
)
"""What is kept of a report that was removed for its age: its place in the chain of manifests."""

extracts = Table(
    "extracts",
    metadata,
    Column("extract_no", Integer, nullable=False, autoincrement=False, doc="rises from run to run"),
    Column("extract_id", Text, nullable=False, doc="actor and beginning of the digest"),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False, doc="the run that it was delivered to"),
    Column("actor", Text, nullable=False),
    Column("file", Text, nullable=False, doc="its name at the source, as it may be told"),
    Column("sha256", Text, nullable=False, doc="of the bytes as delivered"),
    Column("state", Text, nullable=False, doc="``applied``, ``held`` or ``refused``"),
    Column("code", Integer, doc="why it was refused"),
    Column("created_at", UtcTime, nullable=False, doc="its manifest's time, else when it was first pulled"),
    Column("priority", Integer, nullable=False, doc="the actor's, as it was then"),
    Column("records", BigInteger, nullable=False),
    PrimaryKeyConstraint("extract_no"),
    # The ledger of SPEC 5.5: an extract that was applied is never applied again. PostgreSQL's index has the same
    # condition, which its migration says: said here it would have SQLAlchemy import that dialect for every command.
    Index(
        "uq_extracts_applied_once",
        "actor",
        "sha256",
        unique=True,
        sqlite_where=text("state = 'applied'"),
    ),
)
"""What runs were delivered, but for what had been applied before."""

# What SPEC 5.2 calls `contacts` and `contact_history` are views over narrow tables: 12 million contacts are then 0.5 GB
# instead of 1.9 GB, which every night that reads them and every load that writes them feels.

CONTACT = BigInteger().with_variant(Integer, "sqlite")
"""Citizen and contact type as one integer (`reconcile.contact_numbers`). SQLite's INTEGER, and only that, makes a
primary key the number of the row itself: nothing is kept or compared beside it."""

contact_sources = Table(
    "contact_sources",
    metadata,
    Column("source_no", Integer, nullable=False, autoincrement=False),
    Column("actor", Text, nullable=False),
    Column("run_id", Text, doc="null for a reference load"),
    Column("verified_at", UtcTime, doc="when that run was settled; null for a reference load"),
    PrimaryKeyConstraint("source_no"),
)
"""Where stored contacts come from. An applied extract has its ``extract_no`` as ``source_no``; the contacts that a
reference load brings for one actor are a source without a run, older than any extract (SPEC 5.3)."""


# No foreign keys from contacts and history: they would be checked once for each of up to 18 million rows a night,
# and the rows come from `apply`, which takes actor and extract from the ledger rows it writes itself.
def _contacts(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("contact", CONTACT, nullable=False, autoincrement=False, doc="citizen and contact type"),
        Column("value", Text, doc="null: removed"),
        Column("registered_at", BigInteger, doc="microseconds since 1970 in UTC; null where a load gave none"),
        Column("source_no", Integer, nullable=False, doc="who wrote it"),
        Column("record_no", BigInteger, nullable=False, doc="the record that wrote it"),
        PrimaryKeyConstraint("contact"),
    )


contact_rows = _contacts("contact_rows")
"""``value`` null: removed. ``registered_at`` in microseconds since 1970 UTC, null where a load gave none.
``record_no`` is `NO_RECORD` for what was loaded. Source and record are those that wrote the row."""

recent_contact_rows = _contacts("recent_contact_rows")
"""What stands in place of rows of the same contact in ``contact_rows`` (`recent_contacts`)."""

confirmations = Table(
    "confirmations",
    metadata,
    Column("day", Integer, nullable=False, autoincrement=False, doc="the leading two digits of the CPR numbers"),
    Column("content", LargeBinary, nullable=False, doc="packed"),
    PrimaryKeyConstraint("day"),
)
"""Which record of the same actor has said the same since, with the same time: by leading two digits of the CPR number,
the columns of `CONFIRMATION_SCHEMA` (`packed`).

A full extract repeats itself every night. The repetition changes nothing that anybody can read, but it decides a tie
with a record that comes later and was created earlier (SPEC 5.3). Kept in the rows, it would rewrite all of them.
"""

history_rows = Table(
    "history_rows",
    metadata,
    Column(
        "history_no",
        BigInteger().with_variant(Integer, "sqlite"),
        nullable=False,
        autoincrement=True,
        doc="in the order of the changes",
    ),
    Column("contact", BigInteger, nullable=False, doc="citizen and contact type"),
    Column("before", Text, doc="null: there was none"),
    Column("after", Text, doc="null: removed"),
    Column("extract_no", Integer, nullable=False, doc="the extract that changed it"),
    Column("record_no", BigInteger, nullable=False, doc="its record"),
    PrimaryKeyConstraint("history_no"),
    Index(None, "extract_no"),
    sqlite_autoincrement=True,
)
"""Append-only: triggers made by the migration refuse UPDATE, DELETE and (PostgreSQL) TRUNCATE."""

VIEWS = {
    "contacts": {
        "personnummer": "the citizen's CPR number",
        "contact_type": "``mobile``, ``landline`` or ``email``",
        "value": "in E.164, or a normalised address; null: removed",
        "registered_at": "``registreret``, else when the extract was created; null where a load gave none",
        "actor": "who delivered the value",
        "verified_at": "when the run was settled that wrote it; null for a reference load",
        "run_id": "that run",
    },
    "contact_history": {
        "history_no": "in the order of the changes",
        "personnummer": "the citizen's CPR number",
        "contact_type": "``mobile``, ``landline`` or ``email``",
        "before": "null: there was none",
        "after": "null: removed",
        "actor": "who delivered the change",
        "extract_id": "in which extract",
        "record_no": "and in which of its records",
        "run_id": "the run that applied it",
        "changed_at": "when that run was settled",
    },
}
"""What SPEC 5.2 has others read beside ``runs`` and ``extracts``; the migrations make them."""

contact_history = table(
    "contact_history",
    *(column(name) for name in ("actor", "contact_type", "run_id", "before", "after")),
)
"""As much of the view as the program itself reads."""

finding_memory = Table(
    "finding_memory",
    metadata,
    Column("actor", Text, nullable=False),
    Column("content", LargeBinary, nullable=False, doc="packed"),
    PrimaryKeyConstraint("actor"),
)
"""Since when the same finding has been raised: an actor's `finding_memory.MEMORY_SCHEMA` (`packed`)."""

settings_kept = Table(
    "settings_kept",
    metadata,
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("name"),
)
"""What the store itself must remember: the key of the CPR tokens, and when reference data were loaded."""
