"""The trash, what was found out about an upload, and jobs that validate each other."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Say of each dataset what its file was like and whether it is in the trash or gone, and of each job what it is a fold of."""
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sniffed", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("trashed_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("purged_at", sa.Double(), nullable=True))
        batch_op.create_index(batch_op.f("ix_dataset_tenant_id_digest"), ["tenant_id", "digest"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cross_validation_id", sa.String(length=200), nullable=True))
        batch_op.create_index(
            "ix_job_cross_validation",
            ["cross_validation_id"],
            unique=False,
            sqlite_where=sa.text("cross_validation_id IS NOT NULL"),
            postgresql_where=sa.text("cross_validation_id IS NOT NULL"),
        )
        batch_op.create_index(batch_op.f("ix_job_dataset_id"), ["dataset_id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_dataset_id"))
        batch_op.drop_index(
            "ix_job_cross_validation",
            sqlite_where=sa.text("cross_validation_id IS NOT NULL"),
            postgresql_where=sa.text("cross_validation_id IS NOT NULL"),
        )
        batch_op.drop_column("cross_validation_id")

    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_tenant_id_digest"))
        batch_op.drop_column("purged_at")
        batch_op.drop_column("trashed_at")
        batch_op.drop_column("sniffed")
