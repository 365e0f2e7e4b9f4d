"""Models: trained networks under a name, with versions and aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables of models, of their versions and aliases, and of what the aliases stood for."""
    op.create_table(
        "model",
        sa.Column("tenant_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("newest_version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_model_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_model")),
    )
    op.create_table(
        "model_alias",
        sa.Column("tenant_id", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "model"], ["model.tenant_id", "model.name"], name=op.f("fk_model_alias_tenant_id_model")),
        sa.PrimaryKeyConstraint("tenant_id", "model", "alias", name=op.f("pk_model_alias")),
    )
    op.create_table(
        "model_alias_move",
        sa.Column("tenant_id", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("key_id", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "model", "alias"],
            ["model_alias.tenant_id", "model_alias.model", "model_alias.alias"],
            name=op.f("fk_model_alias_move_tenant_id_model_alias"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "model", "alias", "revision", name=op.f("pk_model_alias_move")),
    )
    op.create_table(
        "model_version",
        sa.Column("tenant_id", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.String(length=200), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(length=200), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("signature", sa.JSON(), nullable=False),
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_model_version_job_id")),
        sa.ForeignKeyConstraint(["tenant_id", "model"], ["model.tenant_id", "model.name"], name=op.f("fk_model_version_tenant_id_model")),
        sa.PrimaryKeyConstraint("tenant_id", "model", "version", name=op.f("pk_model_version")),
    )
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_version_blob_id"), ["blob_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_model_version_job_id"), ["job_id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_version_job_id"))
        batch_op.drop_index(batch_op.f("ix_model_version_blob_id"))

    op.drop_table("model_version")
    op.drop_table("model_alias_move")
    op.drop_table("model_alias")
    op.drop_table("model")
