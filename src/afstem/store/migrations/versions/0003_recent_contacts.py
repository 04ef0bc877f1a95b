"""Contacts that changed lately are gathered in a table of their own, and `contacts` shows both."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recent_contact_rows",
        sa.Column("contact", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=False),
        sa.Column("value", sa.Text),
        sa.Column("registered_at", sa.BigInteger),
        sa.Column("source_no", sa.Integer, nullable=False),
        sa.Column("record_no", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("contact", name="pk_recent_contact_rows"),
    )
    if op.get_bind().dialect.name == "sqlite":
        # Division cuts off towards zero, but a time before 1970 has its microseconds after a full second too.
        microseconds = "((c.registered_at % 1000000 + 1000000) % 1000000)"
        second = f"strftime('%Y-%m-%d %H:%M:%S', (c.registered_at - {microseconds}) / 1000000, 'unixepoch')"
        registered_at = f"{second} || printf('.%06d', {microseconds})"
        personnummer = "printf('%010d', c.contact / 3)"
    else:
        # Intervals are multiplied as floating point numbers: exact for seconds, not for so many microseconds.
        registered_at = (
            "TIMESTAMPTZ 'epoch' + c.registered_at / 1000000 * INTERVAL '1 second'"
            " + c.registered_at % 1000000 * INTERVAL '1 microsecond'"
        )
        personnummer = "lpad((c.contact / 3)::text, 10, '0')"
    op.execute("DROP VIEW contacts")
    op.execute(
        f"""
        CREATE VIEW contacts AS
        SELECT {personnummer} AS personnummer,
               CASE c.contact % 3 WHEN 0 THEN 'mobile' WHEN 1 THEN 'landline' ELSE 'email' END AS contact_type,
               c.value, {registered_at} AS registered_at, s.actor, s.verified_at, s.run_id
        FROM (
            SELECT * FROM recent_contact_rows
            UNION ALL
            SELECT * FROM contact_rows AS o
            WHERE NOT EXISTS (SELECT 1 FROM recent_contact_rows AS r WHERE r.contact = o.contact)
        ) AS c JOIN contact_sources AS s ON s.source_no = c.source_no
        """  # noqa: S608 - nothing in it comes from outside
    )
