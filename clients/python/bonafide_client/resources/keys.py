"""`client.keys`: the API keys of the account."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.keys import Key, NewKey

_READ = reader_of(Key)
_READ_NEW = reader_of(NewKey)
_READ_PAGE = reader_of(Page[Key])


class Grant(TypedDict, total=False):
    """What a key may do: what is not given stays, or is as the calling key has it; None lifts a restriction.

    `expires_in` is in seconds from now. `allowed_addresses` are addresses and networks such as `192.0.2.0/24`.
    `burst_limit` detections are possible within `burst_period_s` seconds.
    """

    scopes: Sequence[str]
    expires_at: datetime | None
    expires_in: int
    allowed_addresses: Sequence[str] | None
    allowed_models: Sequence[str] | None
    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int


class KeyChange(Grant, total=False):
    """What to change of a key."""

    name: str


class Keys(Resource[D]):
    """The keys of the caller's account."""

    @Operation
    def create(self, name: str, *, idempotency_key: str | None = None, **grant: Unpack[Grant]) -> Call[NewKey]:
        """Make a key; its text is in `key`, and not shown again."""
        return Call(
            method="POST",
            path=path_of("keys"),
            read=_READ_NEW,
            json={"name": name, **grant},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, key_id: UUID | str) -> Call[Key]:
        """Read one key."""
        return Call(method="GET", path=path_of("keys", key_id), read=_READ)

    @Listing
    def list(self, *, revoked: bool = False, limit: int | None = None, cursor: str | None = None) -> PageCall[Key]:
        """List keys, newest first, with the revoked ones where asked for. `limit` is the size of a page."""
        query = query_of({"limit": limit, "revoked": revoked or None})
        return PageCall(path=path_of("keys"), read=_READ_PAGE, query=query, cursor=cursor)

    @Operation
    def update(self, key_id: UUID | str, **changes: Unpack[KeyChange]) -> Call[Key]:
        """Change a key."""
        return Call(method="PATCH", path=path_of("keys", key_id), read=_READ, json=dict(changes))

    @Operation
    def rotate(
        self, key_id: UUID | str, *, overlap_s: int | None = None, idempotency_key: str | None = None
    ) -> Call[NewKey]:
        """Make a key that takes the place of this one, which works on for `overlap_s` seconds, by default a day."""
        return Call(
            method="POST",
            path=path_of("keys", key_id, "rotate"),
            read=_READ_NEW,
            json={} if overlap_s is None else {"overlap_s": overlap_s},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def revoke(self, key_id: UUID | str) -> Call[None]:
        """Revoke a key: it opens nothing any more."""
        return Call(method="DELETE", path=path_of("keys", key_id), read=read_nothing)
