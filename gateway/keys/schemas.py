"""What `/v1/keys` takes and answers."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from gateway.access.scopes import ALL
from gateway.detections.schemas import Schema

_DAY_S: Final = 86_400
MOST_OVERLAP_S: Final = 30 * _DAY_S
_LONGEST_LIFE_S: Final = 3660 * _DAY_S
_LARGEST: Final = 2**31 - 1
_LARGEST_BYTES: Final = 2**53 - 1

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Scope = Annotated[str, msgspec.Meta(max_length=64, extra_json_schema={"enum": sorted(ALL)})]
_Scopes = Annotated[tuple[_Scope, ...], msgspec.Meta(min_length=1, max_length=64)]
_Address = Annotated[str, msgspec.Meta(max_length=64, description="An address or a network: `192.0.2.0/24`.")]
_Addresses = Annotated[tuple[_Address, ...], msgspec.Meta(min_length=1, max_length=64)]
_Model = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
_Models = Annotated[tuple[_Model, ...], msgspec.Meta(min_length=1, max_length=64)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Life = Annotated[int, msgspec.Meta(ge=1, le=_LONGEST_LIFE_S)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_BYTES)]
_Burst = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
_Period = Annotated[int, msgspec.Meta(ge=1, le=_DAY_S)]

KeyStatus = Literal["active", "expired", "revoked"]


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays, null lifts a restriction.

    `expires_in` is in seconds from now. `burst_limit` detections are possible within `burst_period_s` seconds.
    """

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    scopes: _Scopes | msgspec.UnsetType = msgspec.UNSET
    expires_at: _Moment | msgspec.UnsetType | None = msgspec.UNSET
    expires_in: _Life | msgspec.UnsetType = msgspec.UNSET
    allowed_addresses: _Addresses | msgspec.UnsetType | None = msgspec.UNSET
    allowed_models: _Models | msgspec.UnsetType | None = msgspec.UNSET
    daily_limit: _Count | msgspec.UnsetType | None = msgspec.UNSET
    daily_bytes: _Bytes | msgspec.UnsetType | None = msgspec.UNSET
    burst_limit: _Burst | msgspec.UnsetType | None = msgspec.UNSET
    burst_period_s: _Period | msgspec.UnsetType = msgspec.UNSET


class NewKeyOrder(KeyChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make. Whoever calls with a key gives what is left out as that key has it, else without restriction.

    Without `scopes` it may do everything ordinary (`*`), or as much of it as the calling key may.
    """

    name: _Name  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride] - Required here.


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old key still works, in seconds; 0: not a moment."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=MOST_OVERLAP_S)] = _DAY_S


class KeyView(Schema, frozen=True):
    """A key, never its text: `prefix` and `last4` tell it from others. A limit or list that is null does not restrict.

    `primary` marks the one that `/login` shows and `/regenerate-key` replaces. `rotated_from` names the key whose place
    this one took.
    """

    id: UUID
    name: str
    prefix: str
    last4: str
    status: KeyStatus
    primary: bool
    scopes: tuple[str, ...]
    allowed_addresses: tuple[str, ...] | None
    allowed_models: tuple[str, ...] | None
    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int | None
    rotated_from: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKeyView(KeyView, frozen=True):
    """A key just made; `key` is its text, shown this once."""

    key: str


class KeyPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[KeyView, ...]
    next_cursor: str | None
