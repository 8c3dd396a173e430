"""Plans, sign-in, keys with scopes, meters, day counts, idempotency, audit; admission and the queue in the database."""

from importlib.resources import files
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHECKS = (
    ("accounts", "accounts_status_check", "status IN ('active', 'suspended', 'deleted')"),
    ("accounts", "accounts_role_check", "role IN ('user', 'super_admin')"),
    ("accounts", "accounts_daily_check", "daily_limit >= 0 AND daily_bytes >= 0"),
    ("accounts", "accounts_burst_check", "burst_limit > 0 AND burst_period_s > 0"),
    ("accounts", "accounts_concurrent_check", "concurrent_limit > 0"),
    ("api_keys", "api_keys_daily_check", "daily_limit >= 0 AND daily_bytes >= 0"),
    ("api_keys", "api_keys_burst_check", "burst_limit > 0 AND burst_period_s > 0"),
    ("detections", "detections_feedback_check", "feedback IN ('real', 'fake', 'unsure')"),
)

# A limit that is null was none; now it is the plan's. The burst period means nothing without a limit of one's own.
MOVE_LIMITS = """
UPDATE accounts SET
    plan = CASE WHEN daily_limit IS NULL AND burst_limit IS NULL THEN 'unlimited' ELSE 'standard' END,
    daily_limit = nullif(CASE WHEN burst_limit IS NULL THEN daily_limit ELSE coalesce(daily_limit, 2147483647) END, 100),
    burst_limit = CASE
        WHEN burst_limit = 100 AND burst_period_s = 60 THEN NULL
        WHEN burst_limit IS NULL AND daily_limit IS NOT NULL THEN 2147483647
        ELSE burst_limit
    END,
    burst_period_s = CASE WHEN burst_limit IS NULL OR burst_period_s = 60 THEN NULL ELSE burst_period_s END
"""

MOVE_COUNTS = """
INSERT INTO meters (subject_id, day, charged, bytes, total, arrival_at)
SELECT u.account_id, u.day, u.charged, coalesce(d.bytes, 0), u.total, coalesce(b.arrival_at, 'epoch')
FROM (
    SELECT account_id, max(day) AS day, (array_agg(charged ORDER BY day DESC))[1] AS charged, sum(charged) AS total
    FROM usage_days GROUP BY account_id
) u
LEFT JOIN bursts b ON b.account_id = u.account_id
LEFT JOIN (
    SELECT account_id, charged_on, sum(size_bytes) AS bytes FROM detections WHERE status <> 'failed' GROUP BY 1, 2
) d ON d.account_id = u.account_id AND d.charged_on = u.day;
INSERT INTO detection_days (account_id, day, modality, key_id, succeeded, failed, fake, verdict_real, verdict_fake,
    verdict_uncertain, charged, bytes)
SELECT account_id, charged_on, modality, coalesce(key_id, '00000000-0000-0000-0000-000000000000'),
    count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE p_fake >= 0.5), count(*) FILTER (WHERE verdict = 'REAL'),
    count(*) FILTER (WHERE verdict = 'FAKE'), count(*) FILTER (WHERE verdict = 'UNCERTAIN'),
    count(*) FILTER (WHERE status = 'succeeded'), coalesce(sum(size_bytes) FILTER (WHERE status = 'succeeded'), 0)
FROM detections WHERE status <> 'running'
GROUP BY 1, 2, 3, 4
"""


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.Column("chain_hash", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_events_actor_idx", "audit_events", ["actor_id", sa.text("id DESC")], unique=False)
    op.create_index("audit_events_place_key", "audit_events", ["place"], unique=True)
    op.create_index("audit_events_target_idx", "audit_events", ["target_id", sa.text("id DESC")], unique=False)
    op.create_index(
        "audit_events_unchained_idx", "audit_events", ["id"], unique=False, postgresql_where=sa.text("place IS NULL")
    )
    op.create_table(
        "meters",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("charged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("arrival_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject_id"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "plans",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("daily_limit", sa.Integer(), nullable=True),
        sa.Column("daily_bytes", sa.BigInteger(), nullable=True),
        sa.Column("burst_limit", sa.Integer(), nullable=True),
        sa.Column("burst_period_s", sa.Integer(), server_default="60", nullable=False),
        sa.Column("concurrent_limit", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("burst_limit > 0 AND burst_period_s > 0", name="plans_burst_check"),
        sa.CheckConstraint("concurrent_limit > 0", name="plans_concurrent_check"),
        sa.CheckConstraint("daily_limit >= 0 AND daily_bytes >= 0", name="plans_daily_check"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_table(
        "detection_days",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("succeeded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fake", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("verdict_real", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("verdict_fake", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("verdict_uncertain", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("agreed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("charged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.PrimaryKeyConstraint(
            "account_id",
            "day",
            "modality",
            "key_id",
            postgresql_include=[
                *("succeeded", "failed", "fake", "verdict_real", "verdict_fake", "verdict_uncertain", "rated", "agreed"),
                *("charged", "bytes"),
            ],
        ),
        postgresql_with={
            "fillfactor": "50",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_insert_scale_factor": "0.02",
        },
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("detection_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "key"),
    )
    op.create_index(
        "idempotency_keys_detection_idx",
        "idempotency_keys",
        ["detection_id"],
        unique=False,
        postgresql_where=sa.text("detection_id IS NOT NULL"),
    )
    op.create_index("idempotency_keys_expires_at_idx", "idempotency_keys", ["expires_at"], unique=False)
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("issuer", "subject"),
    )
    op.create_index(("ix_identities_account_id"), "identities", ["account_id"], unique=False)
    op.create_table(
        "oidc_flows",
        sa.Column("state_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("code_verifier", sa.Text(), nullable=False),
        sa.Column("return_to", sa.Text(), nullable=True),
        sa.Column("challenge", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("state_digest"),
    )
    op.create_table(
        "sign_in_tickets",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "one_time_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('verify_email', 'reset_password')", name="one_time_purpose_check"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(("ix_one_time_tokens_account_id"), "one_time_tokens", ["account_id"], unique=False)
    op.create_table(
        "passkey_challenges",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "passkeys",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("transports", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("credential_id"),
    )
    op.create_index(("ix_passkeys_account_id"), "passkeys", ["account_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sessions_account_address_idx", "sessions", ["account_id", "address"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(("ix_refresh_tokens_session_id"), "refresh_tokens", ["session_id"], unique=False)
    for table in ("oidc_flows", "passkey_challenges", "refresh_tokens", "sessions", "sign_in_tickets"):
        op.create_index(f"ix_{table}_expires_at", table, ["expires_at"], unique=False)
    op.execute(
        """
        INSERT INTO plans (name, title, daily_limit, burst_limit, burst_period_s)
        VALUES ('standard', 'Standard', 100, 100, 60), ('unlimited', 'Unlimited', NULL, NULL, 60)
        """
    )
    op.add_column("accounts", sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.add_column("accounts", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("accounts", sa.Column("username", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("status_reason", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("role", sa.Text(), server_default="user", nullable=False))
    op.add_column("accounts", sa.Column("plan", sa.Text(), server_default="standard", nullable=False))
    op.add_column("accounts", sa.Column("daily_bytes", sa.BigInteger(), nullable=True))
    op.add_column("accounts", sa.Column("concurrent_limit", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("accounts", "email", existing_type=sa.TEXT(), nullable=True)
    op.alter_column("accounts", "burst_period_s", existing_type=sa.INTEGER(), server_default=None, nullable=True)
    op.create_index("accounts_number_key", "accounts", ["number"], unique=True)
    op.create_index(
        "accounts_username_key",
        "accounts",
        [sa.text("lower(username)")],
        unique=True,
        postgresql_where=sa.text("status <> 'deleted'"),
    )
    op.create_foreign_key("accounts_plan_fkey", "accounts", "plans", ["plan"], ["name"])
    op.add_column("api_keys", sa.Column("last4", sa.Text(), server_default="", nullable=False))
    op.add_column("api_keys", sa.Column("name", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "api_keys", sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("api_keys", sa.Column("allowed_addresses", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("api_keys", sa.Column("allowed_models", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("api_keys", sa.Column("daily_limit", sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("daily_bytes", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("burst_limit", sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("burst_period_s", sa.Integer(), server_default="60", nullable=False))
    op.add_column("api_keys", sa.Column("rotated_from", sa.Uuid(), nullable=True))
    op.add_column("api_keys", sa.Column("meter_id", sa.Uuid(), nullable=True))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("detections", sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.add_column("detections", sa.Column("media_digest", sa.LargeBinary(length=32), nullable=True))
    op.add_column("detections", sa.Column("channel", sa.Text(), server_default="api", nullable=False))
    op.add_column("detections", sa.Column("client_reference", sa.Text(), nullable=True))
    op.add_column(
        "detections", sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("detections", sa.Column("cached_from", sa.Uuid(), nullable=True))
    op.add_column("detections", sa.Column("charged", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column("detections", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("detections", sa.Column("thumbnail", sa.LargeBinary(), nullable=True))
    op.add_column("detections", sa.Column("feedback", sa.Text(), nullable=True))
    op.add_column("detections", sa.Column("feedback_note", sa.Text(), nullable=True))
    op.add_column("detections", sa.Column("feedback_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "detections_media_idx", "detections", ["account_id", "media_digest", sa.text("id DESC")], unique=False
    )
    op.create_index(
        "detections_reference_idx",
        "detections",
        ["account_id", "client_reference", sa.text("id DESC")],
        unique=False,
        postgresql_where=sa.text("client_reference IS NOT NULL"),
    )
    op.create_index(
        "detections_bin_idx",
        "detections",
        ["account_id", sa.text("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "detections_running_account_idx",
        "detections",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.drop_constraint(("detections_key_id_fkey"), "detections", type_="foreignkey")
    op.drop_index("accounts_email_key", "accounts")
    op.create_index(
        "accounts_email_key",
        "accounts",
        [sa.text("lower(email)")],
        unique=True,
        postgresql_where=sa.text("status <> 'deleted'"),
    )
    for name in ("accounts_status_check", "accounts_daily_limit_check", "accounts_burst_check"):
        op.drop_constraint(name, "accounts")
    for table, name, condition in CHECKS:
        op.create_check_constraint(name, table, condition)
    op.execute(MOVE_LIMITS)
    op.execute("UPDATE api_keys SET scopes = '{*}'")
    op.execute(MOVE_COUNTS)
    op.drop_table("usage_days")
    op.drop_table("bursts")
    driver = op.get_bind().connection.driver_connection
    driver.execute(files("procrastinate").joinpath("sql/schema.sql").read_text())
    driver.execute((Path(__file__).parent.parent / "sql" / "0002_functions.sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("Going back would lose limits, sessions and the audit log; restore a backup instead.")
