"""What the tables are written with: the columns that recur, and the way from a table class to its SQLAlchemy table."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Identity, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import SQLModel

METADATA: Final = SQLModel.metadata
NOW: Final = text("now()")
NEW_ID: Final = text("uuidv7()")
ID: Final[dict[str, Any]] = {"server_default": NEW_ID}
FULL_PAGES_HALVED: Final = {"postgresql_with": {"fillfactor": "50"}}
"""Half-full pages keep the frequent updates of a small row in place."""


def table_of(model: type[SQLModel]) -> Any:
    """The SQLAlchemy table of a table class, for queries written with SQLAlchemy Core."""
    return model.__table__  # pyright: ignore[reportAttributeAccessIssue] - SQLModel adds it.


def timestamp(name: str, *, required: bool = False) -> Column[datetime]:
    """A point in time that may be missing; `required`: that is there, and now where nobody says otherwise."""
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=NOW if required else None)


def moment(name: str, *, index: bool = False) -> Column[datetime]:
    """A point in time that must be given."""
    return Column(name, DateTime(timezone=True), nullable=False, index=index or None)


def digest(name: str = "digest", *, primary_key: bool = False, unique: bool = False) -> Column[bytes]:
    """A SHA-256."""
    return Column(name, LargeBinary(32), nullable=False, primary_key=primary_key, unique=unique or None)


def owner(
    target: str = "accounts.id", name: str = "account_id", *, index: bool = False, primary_key: bool = False
) -> Column[UUID]:
    """The row that this one belongs to and goes with."""
    belonging = ForeignKey(target, ondelete="CASCADE")
    return Column(name, Uuid, belonging, nullable=False, index=index or None, primary_key=primary_key)


def texts(name: str, *, required: bool = False) -> Column[list[str]]:
    """A list of texts; `required`: that is empty rather than missing."""
    default = text("'{}'") if required else None
    return Column(name, ARRAY(Text), nullable=not required, server_default=default)


def number(name: str = "number") -> Column[int]:
    """A whole number that counts up, for clients that know no UUIDs."""
    return Column(name, BigInteger, Identity(always=True), nullable=False)
