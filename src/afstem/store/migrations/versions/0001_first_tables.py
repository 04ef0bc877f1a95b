"""The first tables, and the triggers that keep the history append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reference_columns",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", "part", name="pk_reference_columns"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("report_published", sa.Boolean, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_table(
        "extracts",
        sa.Column("extract_no", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("extract_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("code", sa.Integer),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("extract_no", name="pk_extracts"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_extracts_run_id"),
    )
    applied = sa.text("state = 'applied'")
    op.create_index(
        "uq_extracts_applied_once",
        "extracts",
        ["actor", "sha256"],
        unique=True,
        sqlite_where=applied,
        postgresql_where=applied,
    )
    op.create_table(
        "contact_sources",
        sa.Column("source_no", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("verified_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("source_no", name="pk_contact_sources"),
    )
    op.create_table(
        "contact_rows",
        sa.Column("contact", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=False),
        sa.Column("value", sa.Text),
        sa.Column("registered_at", sa.BigInteger),
        sa.Column("source_no", sa.Integer, nullable=False),
        sa.Column("record_no", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("contact", name="pk_contact_rows"),
    )
    op.create_table(
        "confirmations",
        sa.Column("day", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_confirmations"),
    )
    op.create_table(
        "history_rows",
        sa.Column("history_no", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("contact", sa.BigInteger, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("extract_no", sa.Integer, nullable=False),
        sa.Column("record_no", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("history_no", name="pk_history_rows"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_history_rows_extract_no", "history_rows", ["extract_no"])
    op.create_table(
        "finding_memory",
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("actor", name="pk_finding_memory"),
    )
    op.create_table(
        "settings_kept",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings_kept"),
    )
    _make_views()
    _keep_history_append_only()


def _make_views() -> None:
    """The tables of SPEC 5.2 that others read, over the narrow ones that the program keeps."""
    contact_type = "CASE {0}.contact % 3 WHEN 0 THEN 'mobile' WHEN 1 THEN 'landline' ELSE 'email' END"
    if op.get_bind().dialect.name == "sqlite":
        # Division cuts off towards zero, but a time before 1970 has its microseconds after a full second too.
        microseconds = "((c.registered_at % 1000000 + 1000000) % 1000000)"
        second = f"strftime('%Y-%m-%d %H:%M:%S', (c.registered_at - {microseconds}) / 1000000, 'unixepoch')"
        registered_at = f"{second} || printf('.%06d', {microseconds})"
        personnummer = "printf('%010d', {0}.contact / 3)"
    else:
        # Intervals are multiplied as floating point numbers: exact for seconds, not for so many microseconds.
        registered_at = (
            "TIMESTAMPTZ 'epoch' + c.registered_at / 1000000 * INTERVAL '1 second'"
            " + c.registered_at % 1000000 * INTERVAL '1 microsecond'"
        )
        personnummer = "lpad(({0}.contact / 3)::text, 10, '0')"
    op.execute(
        f"""
        CREATE VIEW contacts AS
        SELECT {personnummer.format("c")} AS personnummer, {contact_type.format("c")} AS contact_type, c.value,
               {registered_at} AS registered_at, s.actor, s.verified_at, s.run_id
        FROM contact_rows AS c JOIN contact_sources AS s ON s.source_no = c.source_no
        """  # noqa: S608 - nothing in it comes from outside
    )
    op.execute(
        f"""
        CREATE VIEW contact_history AS
        SELECT h.history_no, {personnummer.format("h")} AS personnummer, {contact_type.format("h")} AS contact_type,
               h.before, h.after, e.actor, e.extract_id, h.record_no, e.run_id, s.verified_at AS changed_at
        FROM history_rows AS h
        JOIN extracts AS e ON e.extract_no = h.extract_no
        JOIN contact_sources AS s ON s.source_no = h.extract_no
        """  # noqa: S608 - nothing in it comes from outside
    )


def _keep_history_append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER history_rows_no_{what.lower()} BEFORE {what} ON history_rows "
                "BEGIN SELECT RAISE(ABORT, 'contact_history is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'contact_history is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER history_rows_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_history_change()"
    )
