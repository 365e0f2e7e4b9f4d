"""What the best parameters of an ended job are worth."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Keep one for each job that ends with parameters."""
    op.create_table(
        "job_assessment",
        sa.Column("job_id", sa.String(length=200), nullable=False),
        sa.Column("assessment", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_assessment_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_assessment")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("job_assessment")
