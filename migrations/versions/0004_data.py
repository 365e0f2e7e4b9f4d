"""The trash, what was found out about an upload, and the jobs of a dataset."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Say of each dataset what its file was like and whether it is in the trash or gone; find its jobs quickly."""
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sniffed", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("trashed_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("purged_at", sa.Double(), nullable=True))
        batch_op.create_index(batch_op.f("ix_dataset_tenant_id_digest"), ["tenant_id", "digest"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_dataset_id"), ["dataset_id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_dataset_id"))

    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_tenant_id_digest"))
        batch_op.drop_column("purged_at")
        batch_op.drop_column("trashed_at")
        batch_op.drop_column("sniffed")
