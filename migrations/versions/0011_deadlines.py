"""Deadlines of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

HAS_DEADLINE = sa.text("deadline_at IS NOT NULL AND finished_at IS NULL")


def upgrade() -> None:
    """Let a job say when it fails unless it has ended."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deadline_at", sa.Double(), nullable=True))
        batch_op.create_index("ix_job_deadline", ["deadline_at"], sqlite_where=HAS_DEADLINE, postgresql_where=HAS_DEADLINE)


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index("ix_job_deadline", sqlite_where=HAS_DEADLINE, postgresql_where=HAS_DEADLINE)
        batch_op.drop_column("deadline_at")
