"""Accounts, keys, limits and detections."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")
NEW_ID = sa.text("uuidv7()")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, primary_key=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("daily_limit", sa.Integer()),
        sa.Column("burst_limit", sa.Integer()),
        sa.Column("burst_period_s", sa.Integer(), server_default="60", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended')", name="accounts_status_check"),
        sa.CheckConstraint("daily_limit >= 0", name="accounts_daily_limit_check"),
        sa.CheckConstraint("burst_limit > 0 AND burst_period_s > 0", name="accounts_burst_check"),
    )
    op.create_index("accounts_email_key", "accounts", [sa.text("lower(email)")], unique=True)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, primary_key=True),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_api_keys_account_id", "api_keys", ["account_id"])
    op.create_index(
        "api_keys_primary_key",
        "api_keys",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("is_primary AND revoked_at IS NULL"),
    )
    op.create_table(
        "usage_days",
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("charged", sa.Integer(), nullable=False),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "bursts",
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("arrival_at", sa.DateTime(timezone=True), nullable=False),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "detections",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, primary_key=True),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("key_id", sa.Uuid(), sa.ForeignKey("api_keys.id", ondelete="SET NULL")),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Uuid(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("charged_on", sa.Date(), nullable=False),
        sa.Column("refunded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("verdict", sa.Text()),
        sa.Column("p_fake", sa.Float()),
        sa.Column("model", sa.Text()),
        sa.Column("version", sa.Integer()),
        sa.Column("answer", postgresql.JSONB()),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="detections_status_check"),
    )
    op.create_index("detections_account_id_id_idx", "detections", ["account_id", sa.text("id DESC")])
    op.create_index(
        "detections_running_idx",
        "detections",
        ["deadline_at"],
        postgresql_where=sa.text("status = 'running'"),
    )


def downgrade() -> None:
    for table in ("detections", "bursts", "usage_days", "api_keys", "accounts"):
        op.drop_table(table)
