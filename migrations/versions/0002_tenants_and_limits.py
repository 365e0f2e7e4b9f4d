"""tenants and limits"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Limits of tenants and keys, the life of a key, the audit log, and the buckets of the rate limits. Nobody is limited yet."""
    op.create_table(
        "rate_bucket",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_bucket")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("tenant_id", sa.String(length=200), nullable=False),
        sa.Column("key_id", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("request_id", sa.String(length=200), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_audit_log_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_log_tenant_id_id"), ["tenant_id", "id"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_tenant_id_state"), ["tenant_id", "state"], unique=False)

    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("hint", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("replaces", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("expires_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("revoked_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("last_used_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("max_requests_per_minute", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("tenant", schema=None) as batch_op:
        batch_op.add_column(sa.Column("day", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        batch_op.add_column(sa.Column("day_seconds", sa.Double(), server_default=sa.text("0"), nullable=False))
        batch_op.add_column(sa.Column("max_queued_jobs", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("max_running_jobs", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("max_stored_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("max_parameters", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("max_worker_seconds_per_day", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("max_requests_per_minute", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("tenant", schema=None) as batch_op:
        batch_op.drop_column("max_requests_per_minute")
        batch_op.drop_column("max_worker_seconds_per_day")
        batch_op.drop_column("max_parameters")
        batch_op.drop_column("max_stored_bytes")
        batch_op.drop_column("max_running_jobs")
        batch_op.drop_column("max_queued_jobs")
        batch_op.drop_column("day_seconds")
        batch_op.drop_column("day")

    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_column("max_requests_per_minute")
        batch_op.drop_column("last_used_at")
        batch_op.drop_column("revoked_at")
        batch_op.drop_column("expires_at")
        batch_op.drop_column("replaces")
        batch_op.drop_column("hint")

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_tenant_id_state"))

    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_log_tenant_id_id"))

    op.drop_table("audit_log")
    op.drop_table("rate_bucket")
