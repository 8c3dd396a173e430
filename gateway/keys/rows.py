"""Keys between the database and the wire: a row as a grant and as a view."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import RowMapping

from gateway.db.tables import ApiKey, table_of
from gateway.keys.grants import Grant, Limits
from gateway.keys.schemas import KeyStatus, KeyView

KEYS: Final[Any] = table_of(ApiKey)
SHOWN: Final[tuple[Any, ...]] = tuple(column for column in KEYS.c if column.name != "digest")
"""All columns but the digest."""


def view_of(row: RowMapping) -> KeyView:
    """What the wire shows of a row."""
    return KeyView(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        last4=row["last4"],
        status=status_of(row),
        primary=row["is_primary"],
        scopes=tuple(row["scopes"]),
        allowed_addresses=_tuple(row["allowed_addresses"]),
        allowed_models=_tuple(row["allowed_models"]),
        daily_limit=row["daily_limit"],
        daily_bytes=row["daily_bytes"],
        burst_limit=row["burst_limit"],
        burst_period_s=None if row["burst_limit"] is None else row["burst_period_s"],
        rotated_from=row["rotated_from"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


def status_of(row: RowMapping) -> KeyStatus:
    """Whether a key still opens anything."""
    if row["revoked_at"] is not None:
        return "revoked"
    if row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC):
        return "expired"
    return "active"


def grant_of(row: RowMapping) -> Grant:
    """What the key of a row may do."""
    return Grant(
        scopes=frozenset(row["scopes"]),
        allowed_addresses=_tuple(row["allowed_addresses"]),
        allowed_models=_tuple(row["allowed_models"]),
        limits=Limits(
            daily_limit=row["daily_limit"],
            daily_bytes=row["daily_bytes"],
            burst_limit=row["burst_limit"],
            burst_period_s=row["burst_period_s"],
        ),
        expires_at=row["expires_at"],
    )


def columns_of(grant: Grant) -> dict[str, Any]:
    """A grant as the columns of its row."""
    return {
        "scopes": sorted(grant.scopes),
        "allowed_addresses": _list(grant.allowed_addresses),
        "allowed_models": _list(grant.allowed_models),
        "expires_at": grant.expires_at,
        **limit_columns(grant.limits),
    }


def limit_columns(limits: Limits) -> dict[str, int | None]:
    """Limits as the columns of a row."""
    return {
        "daily_limit": limits.daily_limit,
        "daily_bytes": limits.daily_bytes,
        "burst_limit": limits.burst_limit,
        "burst_period_s": limits.burst_period_s,
    }


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
