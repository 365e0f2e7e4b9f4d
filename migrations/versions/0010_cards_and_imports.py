"""What fingerprints are digests of, and versions of models that no job has trained."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table of environments; let a version be without a job."""
    op.create_table(
        "environment",
        sa.Column("fingerprint", sa.String(length=200), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("first_seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_environment")),
    )
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.add_column(sa.Column("imported", sa.JSON(), nullable=True))
        batch_op.alter_column("job_id", existing_type=sa.String(length=200), nullable=True)
        batch_op.alter_column("step", existing_type=sa.BigInteger(), nullable=True)
        batch_op.alter_column("epoch", existing_type=sa.BigInteger(), nullable=True)


def downgrade() -> None:
    """Drop the table, and with it the versions that no job has trained."""
    op.execute("DELETE FROM model_version WHERE job_id IS NULL")
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.alter_column("epoch", existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column("step", existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column("job_id", existing_type=sa.String(length=200), nullable=False)
        batch_op.drop_column("imported")
    op.drop_table("environment")
