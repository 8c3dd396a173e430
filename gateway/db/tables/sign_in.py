"""How an account signs in and stays signed in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from gateway.db.tables.columns import ID, digest, moment, owner, texts, timestamp


class Session(SQLModel, table=True):
    """A sign-in. Access tokens name it, and its refresh tokens are one family; closed, all of them are dead."""

    __tablename__ = "sessions"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (Index("sessions_account_address_idx", "account_id", "address"),)

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner())
    method: str = Field(sa_type=Text)
    client: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    address: str | None = Field(default=None, sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp("last_used_at", required=True))
    expires_at: datetime = Field(sa_column=moment("expires_at", index=True))
    closed_at: datetime | None = Field(default=None, sa_column=timestamp("closed_at"))


class RefreshToken(SQLModel, table=True):
    """An opaque token that is exchanged once for the next; a second use closes its session."""

    __tablename__ = "refresh_tokens"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    digest: bytes = Field(sa_column=digest(primary_key=True))
    session_id: UUID = Field(sa_column=owner("sessions.id", "session_id", index=True))
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    expires_at: datetime = Field(sa_column=moment("expires_at", index=True))
    used_at: datetime | None = Field(default=None, sa_column=timestamp("used_at"))


class OneTimeToken(SQLModel, table=True):
    """A token that was mailed: it proves the e-mail it was sent to, once."""

    __tablename__ = "one_time_tokens"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.
    __table_args__ = (CheckConstraint("purpose IN ('verify_email', 'reset_password')", name="one_time_purpose_check"),)

    digest: bytes = Field(sa_column=digest(primary_key=True))
    account_id: UUID = Field(sa_column=owner(index=True))
    purpose: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    expires_at: datetime = Field(sa_column=moment("expires_at"))
    used_at: datetime | None = Field(default=None, sa_column=timestamp("used_at"))


class SignInFailure(SQLModel, table=True):
    """Failed sign-ins in a row, by account (`login:…`) and by network address (`address:…`)."""

    __tablename__ = "sign_in_failures"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    subject: str = Field(sa_column=Column("subject", Text, primary_key=True))
    failures: int
    last_failed_at: datetime = Field(sa_column=moment("last_failed_at"))


class Passkey(SQLModel, table=True):
    """A public key of an authenticator (WebAuthn)."""

    __tablename__ = "passkeys"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    account_id: UUID = Field(sa_column=owner(index=True))
    credential_id: bytes = Field(sa_column=Column("credential_id", LargeBinary, nullable=False, unique=True))
    public_key: bytes = Field(sa_column=Column("public_key", LargeBinary, nullable=False))
    sign_count: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    transports: list[str] = Field(default=[], sa_column=texts("transports", required=True))
    name: str = Field(sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp("last_used_at"))


class PasskeyChallenge(SQLModel, table=True):
    """What an authenticator was asked to sign; taken away by the first answer."""

    __tablename__ = "passkey_challenges"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    id: UUID | None = Field(default=None, primary_key=True, sa_column_kwargs=ID)
    challenge: bytes = Field(sa_column=Column("challenge", LargeBinary, nullable=False))
    account_id: UUID | None = Field(default=None, foreign_key="accounts.id", ondelete="CASCADE")
    purpose: str = Field(sa_type=Text)
    expires_at: datetime = Field(sa_column=moment("expires_at", index=True))


class OidcFlow(SQLModel, table=True):
    """A sign-in at an outside provider that has begun; taken away by its end."""

    __tablename__ = "oidc_flows"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    state_digest: bytes = Field(sa_column=digest("state_digest", primary_key=True))
    provider: str = Field(sa_type=Text)
    nonce: str = Field(sa_type=Text)
    code_verifier: str = Field(sa_type=Text)
    return_to: str | None = Field(default=None, sa_type=Text)
    challenge: str | None = Field(default=None, sa_type=Text)
    created_at: datetime | None = Field(default=None, sa_column=timestamp("created_at", required=True))
    expires_at: datetime = Field(sa_column=moment("expires_at", index=True))


class SignInTicket(SQLModel, table=True):
    """Whom a provider vouched for, until the page that asked fetches it with the one-time code of this digest."""

    __tablename__ = "sign_in_tickets"  # pyright: ignore[reportAssignmentType] - SQLModel takes a plain name too.

    digest: bytes = Field(sa_column=digest(primary_key=True))
    issuer: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    email: str | None = Field(default=None, sa_type=Text)
    email_verified: bool
    challenge: str = Field(sa_type=Text)
    expires_at: datetime = Field(sa_column=moment("expires_at", index=True))
