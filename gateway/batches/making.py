"""Makes batches: checks everything that can be checked before anything is done, then writes the batch in one go.

Its items become jobs afterwards, in the worker, a few in each transaction: see `expanding`.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bentos.contract import Modality
from gateway.access.guard import Caller
from gateway.access.scopes import DETECT, allows
from gateway.batches.archives import Bounds, Entry, list_entries
from gateway.batches.queueing import queue_batch
from gateway.batches.reading import MOST_FAULTS, Handed
from gateway.batches.schemas import BatchView, ItemCounts, NewBatch, NewItem, VerdictCounts
from gateway.db.transactions import transaction
from gateway.detections.forms import read_client_reference, read_model_name, read_tags
from gateway.detections.media import MediaStore, SpooledMedia
from gateway.errors import (
    InvalidBodyError,
    InvalidItemsError,
    MissingScopeError,
    NotFoundError,
    RequestError,
    UrlsNotAllowedError,
)
from gateway.jobs.addresses import look_at_address, modality_of_name
from gateway.jobs.reception import refuse_letting_go
from gateway.limits.refusals import refuse_over_limit
from gateway.settings import GatewaySettings
from gateway.storage.shelf import ReadyMedium, Shelf

_UPLOADS: Final = text("""
    SELECT id, filename, modality, size_bytes, kept FROM media
    WHERE account_id = :account AND id = ANY(:ids) AND state = 'ready'
""")
_WAITING: Final = text("""
    SELECT coalesce(sum(total - next_place), 0), coalesce(sum(total - next_place) FILTER (WHERE key_id = :key), 0)
    FROM batches WHERE account_id = :account AND status = 'expanding' AND ended_at IS NULL
""")
_INSERT: Final = text("""
    INSERT INTO batches (account_id, key_id, status, name, total, archive_id, options, request_id)
    VALUES (:account, :key, 'expanding', :name, :total, :archive, CAST(CAST(:options AS text) AS jsonb), :request)
    RETURNING id, created_at
""")
_INSERT_ITEMS: Final = text("""
    INSERT INTO batch_items (batch_id, place, filename, medium_id, source_url, modality, model, client_reference, tags)
    SELECT :batch, i.place, i.filename, i.medium_id, i.source_url, i.modality, i.model, i.client_reference, i.tags
    FROM jsonb_to_recordset(CAST(CAST(:items AS text) AS jsonb)) AS i (
        place integer, filename text, medium_id uuid, source_url text, modality text, model text,
        client_reference text, tags text[]
    )
""")


class Making:
    """Makes batches of what was handed over."""

    def __init__(self, engine: AsyncEngine, shelf: Shelf, store: MediaStore, settings: GatewaySettings) -> None:
        self._engine = engine
        self._shelf = shelf
        self._store = store
        self._from_urls = settings.jobs_from_urls
        self._bounds = Bounds(most_items=settings.batch_max_items, most_bytes=settings.batch_unpacked_max_bytes)

    async def make(self, caller: Caller, handed: Handed, *, request_id: str) -> BatchView:
        """Make a batch, in a transaction of its own or in the one that this task is in.

        Raises:
            GatewayError: Something of it is at fault, or it does not fit into what the caller may use today. Nothing
                is done then.
        """
        batch = handed.batch
        _check_names(batch)
        if batch.items is not None:
            return await self._of_items(caller, batch, batch.items, request_id)
        if handed.archive is not None:
            entries = await self._look_through(caller, handed.archive)
            medium = await self._shelf.shelve_archive(
                handed.archive, account_id=caller.account_id, key_id=caller.key_id
            )
        elif batch.archive is not None:
            medium = await self._shelf.ready(caller.account_id, batch.archive)
            entries = await self._look_through_upload(caller, medium)
        else:
            raise ValueError("nothing was handed over")
        async with transaction(self._engine) as connection:
            return await _insert(
                connection, caller, batch, total=len(entries), archive=medium.id, request_id=request_id
            )

    async def _of_items(self, caller: Caller, batch: NewBatch, items: Sequence[NewItem], request_id: str) -> BatchView:
        async with transaction(self._engine) as connection:
            wanted = list({item.upload_id for item in items if item.upload_id is not None})
            found = await connection.execute(_UPLOADS, {"account": caller.account_id, "ids": wanted})
            uploads = {row.id: row for row in found}
            if batch.store is False and any(row.kept for row in uploads.values()):
                refuse_letting_go(caller)
            # Thousands of items take a while, in which others are to be answered.
            documents = await asyncio.to_thread(self._documents, caller, items, uploads)
            size = sum(uploads[item.upload_id].size_bytes for item in items if item.upload_id is not None)
            await _refuse_over_limit(connection, caller, size=size, charge=len(items))
            view = await _insert(connection, caller, batch, total=len(items), request_id=request_id)
            encoded = msgspec.json.encode(documents).decode()
            await connection.execute(_INSERT_ITEMS, {"batch": view.id, "items": encoded})
            return view

    def _documents(self, caller: Caller, items: Sequence[NewItem], uploads: dict[UUID, Any]) -> list[dict[str, Any]]:
        """Items as their rows are made from.

        Raises:
            InvalidItemsError: Some are at fault; the first of them are named.
            ForbiddenError: The caller may not have one judged.
        """
        documents: list[dict[str, Any]] = []
        faults: list[tuple[str, str]] = []
        for place, item in enumerate(items):
            try:
                documents.append(self._document(caller, place, item, uploads))
            except (InvalidBodyError, NotFoundError) as error:
                faults.append((f"items.{place}", error.message))
                if len(faults) >= MOST_FAULTS:
                    break
        if faults:
            raise InvalidItemsError(faults)
        return documents

    def _document(self, caller: Caller, place: int, item: NewItem, uploads: dict[UUID, Any]) -> dict[str, Any]:
        """An item as its row is made from. Raises GatewayError."""
        if (item.upload_id is None) == (item.url is None):
            raise InvalidBodyError("Name either an `upload_id` or a `url`.")
        _check_model(item.model)
        if item.url is not None:
            if not self._from_urls:
                raise UrlsNotAllowedError
            filename, modality = look_at_address(item.url, item.modality)
        else:
            upload = uploads.get(item.upload_id) if item.upload_id else None
            if upload is None:
                raise NotFoundError("There is no such upload, or it is not complete.")
            if upload.modality is None:
                raise NotFoundError("This upload is neither an image, nor a video, nor audio, nor text.")
            filename, modality = upload.filename, Modality(upload.modality)
        if not allows(caller.scopes, DETECT[modality]):
            raise MissingScopeError(f"This key lacks the scope `detect:{modality}`.")
        return {
            "place": place,
            "filename": filename,
            "medium_id": item.upload_id,
            "source_url": item.url,
            "modality": modality,
            "model": item.model,
            "client_reference": None if item.client_reference is None else read_client_reference(item.client_reference),
            "tags": read_tags(item.tags),
        }

    async def _look_through_upload(self, caller: Caller, medium: ReadyMedium) -> Sequence[Entry]:
        spooled = await self._shelf.to_spool(medium)
        try:
            return await self._look_through(caller, spooled)
        finally:
            await self._store.release(spooled)

    async def _look_through(self, caller: Caller, archive: SpooledMedia) -> Sequence[Entry]:
        """The files of an archive that fits into what is left today, as far as names tell. Raises GatewayError."""

        def look() -> tuple[Entry, ...]:
            with archive.path.open("rb") as file:
                return list_entries(file, self._bounds)

        entries = await asyncio.to_thread(look)
        media = [one for one in entries if modality_of_name(one.name) is not None]
        size = sum(one.size for one in media)
        async with transaction(self._engine) as connection:
            await _refuse_over_limit(connection, caller, size=size, charge=max(1, len(media)))
        return entries


def _check_names(batch: NewBatch) -> None:
    """Refuse a name that no list can show, or one that no model has. Raises InvalidBodyError."""
    if batch.name is not None and not batch.name.isprintable():
        raise InvalidBodyError("The name of the batch holds characters that cannot be shown.")
    _check_model(batch.model)


def _check_model(name: str | None) -> None:
    try:
        if name is not None:
            read_model_name(name)
    except RequestError as error:
        raise InvalidBodyError(error.message) from error


async def _refuse_over_limit(connection: AsyncConnection, caller: Caller, *, size: int, charge: int) -> None:
    """Refuse what does not fit into the day beside what waits. Raises LimitError.

    Items are charged when they become jobs. Those that still wait for it count as used: else batches without end could
    be handed over before the first of them is charged.
    """
    parameters = {"account": caller.account_id, "key": caller.key_id}
    waiting, of_key = (await connection.execute(_WAITING, parameters)).one()
    refuse_over_limit(caller.allowance, size=size, charge=charge, waiting=int(waiting), waiting_of_key=int(of_key))


async def _insert(
    connection: AsyncConnection,
    caller: Caller,
    batch: NewBatch,
    *,
    total: int,
    request_id: str,
    archive: UUID | None = None,
) -> BatchView:
    """Write a batch and have the worker go on with it."""
    options = {name: value for name in ("model", "store") if (value := getattr(batch, name)) is not None}
    values = {
        "account": caller.account_id,
        "key": caller.key_id,
        "name": batch.name,
        "total": total,
        "archive": archive,
        "options": json.dumps(options),
        "request": request_id,
    }
    row = (await connection.execute(_INSERT, values)).one()
    await queue_batch(connection, row.id)
    return BatchView(
        id=row.id,
        name=batch.name,
        status="expanding",
        total=total,
        error=None,
        created_at=row.created_at,
        ended_at=None,
        counts=ItemCounts(queued=total, running=0, succeeded=0, failed=0, cancelled=0),
        verdicts=VerdictCounts(real=0, fake=0, uncertain=0),
        progress=0.0,
        remaining_s=None,
    )
