"""The digest of each run's manifest, and the place in their chain of those that were forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("manifest_sha256", sa.Text))
    op.create_table(
        "forgotten_runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("previous_run_id", sa.Text),
        sa.Column("previous_sha256", sa.Text),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_forgotten_runs"),
    )
