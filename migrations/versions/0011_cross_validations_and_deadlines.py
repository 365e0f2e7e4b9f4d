"""Cross-validations: a training that is asked for once for each of several folds. Deadlines of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

HAS_DEADLINE = sa.text("deadline_at IS NOT NULL AND finished_at IS NULL")


def upgrade() -> None:
    """Make their table; let a job name the one that it is a fold of, and say when it fails unless it has ended."""
    op.create_table(
        "cross_validation",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("tenant_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("dataset_id", sa.String(length=200), nullable=False),
        sa.Column("folds", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_cross_validation_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cross_validation")),
    )
    with op.batch_alter_table("cross_validation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cross_validation_tenant_id_id"), ["tenant_id", "id"], unique=False)
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deadline_at", sa.Double(), nullable=True))
        batch_op.create_index("ix_job_deadline", ["deadline_at"], sqlite_where=HAS_DEADLINE, postgresql_where=HAS_DEADLINE)
        batch_op.add_column(sa.Column("cross_validation_id", sa.String(length=200), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_job_cross_validation_id"), "cross_validation", ["cross_validation_id"], ["id"])
        batch_op.create_index(
            "ix_job_cross_validation",
            ["cross_validation_id"],
            unique=False,
            sqlite_where=sa.text("cross_validation_id IS NOT NULL"),
            postgresql_where=sa.text("cross_validation_id IS NOT NULL"),
        )


def downgrade() -> None:
    """Drop them; their jobs stay, each by itself."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_job_cross_validation",
            sqlite_where=sa.text("cross_validation_id IS NOT NULL"),
            postgresql_where=sa.text("cross_validation_id IS NOT NULL"),
        )
        batch_op.drop_constraint(batch_op.f("fk_job_cross_validation_id"), type_="foreignkey")
        batch_op.drop_column("cross_validation_id")
        batch_op.drop_index("ix_job_deadline", sqlite_where=HAS_DEADLINE, postgresql_where=HAS_DEADLINE)
        batch_op.drop_column("deadline_at")
    op.drop_table("cross_validation")
