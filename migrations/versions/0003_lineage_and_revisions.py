"""lineage and revisions of jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Say of each job what it goes on from, and how often its name, tags or priority were changed."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("parent", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_column("revision")
        batch_op.drop_column("parent")
