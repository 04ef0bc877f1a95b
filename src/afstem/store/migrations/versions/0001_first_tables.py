"""The first tables, and the triggers that keep the history append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "citizens",
        sa.Column("personnummer", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("personnummer", name="pk_citizens"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "relations",
        sa.Column("personnummer", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_to", sa.Date),
    )
    op.create_index("ix_relations_actor_personnummer", "relations", ["actor", "personnummer"])
    op.create_table(
        "subscriptions",
        sa.Column("personnummer", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_to", sa.Date),
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
        "contacts",
        sa.Column("personnummer", sa.Text, nullable=False),
        sa.Column("contact_type", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("registered_at", sa.DateTime(timezone=True)),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True)),
        sa.Column("run_id", sa.Text),
        sa.Column("extract_no", sa.Integer),
        sa.Column("record_no", sa.BigInteger),
        sa.PrimaryKeyConstraint("personnummer", "contact_type", name="pk_contacts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contact_history",
        sa.Column("history_no", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("personnummer", sa.Text, nullable=False),
        sa.Column("contact_type", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("extract_id", sa.Text, nullable=False),
        sa.Column("record_no", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("history_no", name="pk_contact_history"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_contact_history_run_id", "contact_history", ["run_id"])
    op.create_table(
        "finding_memory",
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("cpr_token", sa.Text, nullable=False),
        sa.Column("contact_type", sa.Text, nullable=False),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("first_seen_run", sa.Text, nullable=False),
        sa.Column("last_seen_run", sa.Text, nullable=False),
        sa.Column("runs_seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("actor", "cpr_token", "contact_type", "code", name="pk_finding_memory"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settings_kept",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings_kept"),
    )
    _keep_history_append_only()


def _keep_history_append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER contact_history_no_{what.lower()} BEFORE {what} ON contact_history "
                "BEGIN SELECT RAISE(ABORT, 'contact_history is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'contact_history is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER contact_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON contact_history "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_history_change()"
    )
