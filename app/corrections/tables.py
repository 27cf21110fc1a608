"""The tables, as the newest migration leaves them."""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text, false

METADATA = MetaData()

KEPT = Table(
    "kept",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("created", Float(53), nullable=False),
    Column("client", String(80), nullable=False),
    Column("model", String(80), nullable=False),
    Column("text", Text, nullable=False),
    Column("single", Boolean, nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("boxes", Text, nullable=False),
    Column("glyphs", LargeBinary, nullable=False),
    Column("picture", LargeBinary),
    Column("bytes", Integer, nullable=False),
    Index("kept_by_age", "created", "bytes"),
    Index("kept_by_client", "client"),
)

CORRECTIONS = Table(
    "corrections",
    METADATA,
    Column("id", String(32), ForeignKey("kept.id", ondelete="CASCADE"), primary_key=True),
    Column("truth", Text, nullable=False),
    Column("client", String(80), nullable=False),
    Column("sent", Float(53), nullable=False),
    Column("status", String(8), nullable=False),
    Column("disputed", Boolean, nullable=False, server_default=false()),
    Index("corrections_by_status", "status"),
)

SALTS = Table("salts", METADATA, Column("day", Integer, primary_key=True), Column("salt", LargeBinary, nullable=False))
