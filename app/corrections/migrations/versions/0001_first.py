"""The first form: answers that are kept, corrections, and the salts of days."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the three tables."""
    op.create_table(
        "kept",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("client", sa.String(80), nullable=False),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("single", sa.Boolean, nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("boxes", sa.Text, nullable=False),
        sa.Column("glyphs", sa.LargeBinary, nullable=False),
        sa.Column("picture", sa.LargeBinary),
        sa.Column("bytes", sa.Integer, nullable=False),
    )
    op.create_index("kept_by_age", "kept", ["created", "bytes"])
    op.create_index("kept_by_client", "kept", ["client"])
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(32), sa.ForeignKey("kept.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("truth", sa.Text, nullable=False),
        sa.Column("client", sa.String(80), nullable=False),
        sa.Column("sent", sa.Float(53), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("disputed", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("corrections_by_status", "corrections", ["status"])
    op.create_table("salts", sa.Column("day", sa.Integer, primary_key=True), sa.Column("salt", sa.LargeBinary, nullable=False))


def downgrade() -> None:
    """Removes them."""
    for table in ("salts", "corrections", "kept"):
        op.drop_table(table)
