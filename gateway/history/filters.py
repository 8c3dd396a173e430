"""Which detections a list or an export is about: read from the query, written as SQL.

Identifiers sort by time, so a span of time is a span of identifiers, along which the index of an account is walked.
Conditions that an index answers narrow the walk; the others sieve what it meets.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, LiteralString
from uuid import UUID

from litestar.params import QueryParameter

from bentos.contract import Modality, Verdict
from gateway.db.paging import first_identifier
from gateway.detections.forms import read_client_reference, read_model_name, read_tags
from gateway.detections.schemas import Status
from gateway.errors import RequestError

_DELAY_MS: Final = 60_000
"""No identifier is made later than this after the `created_at` of its row, which is the start of its transaction."""
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_NARROW: Final[dict[str, LiteralString]] = {
    "sha256": "media_digest = %(sha256)s",
    "client_reference": "client_reference = %(client_reference)s",
}
_SIEVE: Final[dict[str, LiteralString]] = {
    "since": "created_at >= %(since)s",
    "until": "created_at < %(until)s",
    "modality": "modality = %(modality)s::text",
    "verdict": "verdict = %(verdict)s::text",
    "status": "status = %(status)s",
    "model": "model = %(model)s",
    "version": "version = %(version)s",
    "key_id": "key_id = %(key_id)s",
    "tags": "tags @> %(tags)s::text[]",
}
_LARGEST_VERSION: Final = 2**31 - 1
_LONGEST_NAME: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What detections must be to be found: all that is set. `since` is the first moment, `until` the first too late.

    `deleted` finds those in the bin instead of the others; `tags` must all be there.
    """

    since: datetime | None = None
    until: datetime | None = None
    modality: Modality | None = None
    verdict: Verdict | None = None
    status: Status | None = None
    model: str | None = None
    version: int | None = None
    key_id: UUID | None = None
    tags: tuple[str, ...] = ()
    client_reference: str | None = None
    sha256: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Filters as SQL on `detections`: `narrow` is never empty, `sieve` may be."""

    narrow: LiteralString
    sieve: LiteralString
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])


def conditions(filters: Filters, *, account_id: UUID, before: UUID | None) -> Conditions:
    """The conditions that hold for an account's detections older than `before` that pass the filters."""
    parameters: dict[str, Any] = {"account_id": account_id}
    narrow: list[LiteralString] = ["account_id = %(account_id)s"]
    sieve: list[LiteralString] = []
    narrow.append("deleted_at IS NOT NULL" if filters.deleted else "deleted_at IS NULL")
    for name, value in _values(filters).items():
        (narrow if name in _NARROW else sieve).append((_NARROW | _SIEVE)[name])
        parameters[name] = value
    if filters.since is not None:
        narrow.append("id >= %(oldest)s")
        parameters["oldest"] = first_identifier(filters.since)
    if filters.until is not None:
        bound = first_identifier(filters.until, later_ms=_DELAY_MS)
        before = bound if before is None else min(before, bound)
    if before is not None:
        narrow.append("id < %(before)s")
        parameters["before"] = before
    return Conditions(narrow=" AND ".join(narrow), sieve=" AND ".join(sieve), parameters=parameters)


def _values(filters: Filters) -> dict[str, Any]:
    """The filters that are set, by name, as their columns hold them."""
    values = {
        "sha256": None if filters.sha256 is None else bytes.fromhex(filters.sha256),
        "client_reference": filters.client_reference,
        "since": filters.since,
        "until": filters.until,
        "modality": filters.modality,
        "verdict": filters.verdict,
        "status": filters.status,
        "model": filters.model,
        "version": filters.version,
        "key_id": filters.key_id,
        "tags": list(filters.tags) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def read_filters(
    *,
    since: Annotated[
        datetime | None,
        QueryParameter(name="from", description="Created at this moment or later; UTC where no offset is given."),
    ] = None,
    until: Annotated[datetime | None, QueryParameter(name="to", description="Created before this moment.")] = None,
    modality: Annotated[Modality | None, QueryParameter(description="Of this modality.")] = None,
    verdict: Annotated[Verdict | None, QueryParameter(description="With this verdict.")] = None,
    status: Annotated[Status | None, QueryParameter(description="In this status.")] = None,
    model: Annotated[
        str | None, QueryParameter(max_length=_LONGEST_NAME, description="Judged by the model of this name.")
    ] = None,
    version: Annotated[
        int | None, QueryParameter(ge=1, le=_LARGEST_VERSION, description="Judged by this version of its model.")
    ] = None,
    key_id: Annotated[UUID | None, QueryParameter(description="Called with the key of this id.")] = None,
    tag: Annotated[
        list[str] | None, QueryParameter(description="With this tag; where repeated, with all of them.")
    ] = None,
    client_reference: Annotated[str | None, QueryParameter(description="With exactly this reference.")] = None,
    sha256: Annotated[
        str | None,
        QueryParameter(pattern=f"^{_SHA256.pattern}$", description="Of the medium with this SHA-256, in hexadecimal."),
    ] = None,
    deleted: Annotated[bool, QueryParameter(description="Look into the bin instead.")] = False,
) -> Filters:
    """The filters of a request.

    Raises:
        RequestError: One of them can match nothing.
    """
    since, until = _with_offset(since), _with_offset(until)
    if since is not None and until is not None and since >= until:
        raise RequestError("`from` must lie before `to`.", code="invalid_range")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise RequestError("`sha256` must have 64 hexadecimal digits.", code="invalid_digest")
    return Filters(
        since=since,
        until=until,
        modality=modality,
        verdict=verdict,
        status=status,
        model=None if model is None else read_model_name(model),
        version=version,
        key_id=key_id,
        tags=tuple(read_tags(tag or ())),
        client_reference=None if client_reference is None else read_client_reference(client_reference),
        sha256=sha256,
        deleted=deleted,
    )


def _with_offset(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
