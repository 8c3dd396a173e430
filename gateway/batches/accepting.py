"""Makes items of a batch into jobs: some in each transaction, each charged for itself, and refused for itself."""

from dataclasses import replace
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bentos.contract import Modality
from gateway.batches.work import Work
from gateway.errors import GatewayError, MediumGoneError
from gateway.jobs.acceptance import Acceptance, Accepted, Declined, JobOrder, OnBehalf
from gateway.storage.shelf import ReadyMedium, Shelf

CHUNK: Final = 100
"""Items that are accepted in one transaction, during which nothing else of their account is."""

_ITEMS: Final = text("""
    SELECT i.place, i.filename, i.medium_id, i.source_url, i.modality, i.model, i.client_reference, i.tags,
        m.account_id, m.media_type, m.size_bytes, m.digest, m.object_path, m.kept, m.filename AS medium_name,
        m.modality AS medium_modality
    FROM batch_items i LEFT JOIN media m ON m.id = i.medium_id AND m.state = 'ready' AND m.account_id = :account
    WHERE i.batch_id = :id AND i.place >= :next AND i.place < :next + :chunk AND i.error_code IS NULL
    ORDER BY i.place
""")
_REFUSE: Final = text("""
    UPDATE batch_items i SET error_code = r.code, error_message = r.message
    FROM jsonb_to_recordset(CAST(CAST(:refused AS text) AS jsonb)) AS r (place integer, code text, message text)
    WHERE i.batch_id = :id AND i.place = r.place
""")
_DROP: Final = text("""
    UPDATE media SET kept = false, expires_at = now() WHERE state = 'ready' AND id IN (
        SELECT medium_id FROM batch_items WHERE batch_id = :id AND place = ANY(:places)
    )
""")
"""What came out of an archive is nobody's upload: it goes with the item that is not to be judged."""
# Locked last of all, for a batch comes after its jobs. Whoever cancelled it meanwhile is seen here.
_MOVE_ON: Final = text("""
    UPDATE batches SET next_place = least(next_place + :chunk, total), failures = 0,
        status = CASE WHEN next_place + :chunk >= total THEN 'running' ELSE status END
    WHERE id = :id AND status = 'expanding' AND next_place = :next
    RETURNING status
""")


class OvertakenError(Exception):
    """Somebody else has cancelled the batch or gone on with it: what was done here is not to be."""


async def accept_chunk(connection: AsyncConnection, acceptance: Acceptance, shelf: Shelf, work: Work) -> bool:
    """Make the next items of a batch into jobs, in the transaction of the connection; true where they were the last.

    Raises:
        OvertakenError: The transaction has to be rolled back.
    """
    parameters = {"id": work.id, "account": work.account_id, "next": work.next_place, "chunk": CHUNK}
    rows = (await connection.execute(_ITEMS, parameters)).all()
    orders: list[JobOrder] = []
    refused: dict[int, GatewayError] = {}
    for row in rows:
        try:
            orders.append(await _order(shelf, work, row))
        except GatewayError as error:
            refused[row.place] = error
    outcomes: list[Accepted | Declined] = []
    if orders:
        outcomes = await acceptance.accept_many(
            connection,
            OnBehalf(account_id=work.account_id, key_id=work.key_id),
            orders,
            request_id=work.request_id,
            of_class="batch",
            channel="batch",
            batch_id=work.id,
        )
    for order, outcome in zip(orders, outcomes, strict=True):
        if isinstance(outcome, Declined) and order.place is not None:
            refused[order.place] = outcome.error
    if refused:
        documents = [{"place": place, "code": one.code, "message": one.message} for place, one in refused.items()]
        encoded = msgspec.json.encode(documents).decode()
        await connection.execute(_REFUSE, {"id": work.id, "refused": encoded})
        if work.archive_id is not None:
            await connection.execute(_DROP, {"id": work.id, "places": list(refused)})
    moved = {"id": work.id, "next": work.next_place, "chunk": CHUNK}
    status: str | None = (await connection.execute(_MOVE_ON, moved)).scalar_one_or_none()
    if status is None:
        raise OvertakenError
    return status != "expanding"


async def _order(shelf: Shelf, work: Work, row: Any) -> JobOrder:
    """An item as a job is made from it. Raises GatewayError."""
    order = JobOrder(
        modality=Modality(row.modality),
        filename=row.filename,
        source_url=row.source_url,
        model=row.model or work.options.get("model"),
        client_reference=row.client_reference,
        tags=tuple(row.tags),
        place=row.place,
    )
    if row.source_url is not None:
        return order
    if row.object_path is None:
        raise MediumGoneError
    medium = ReadyMedium(
        id=row.medium_id,
        account_id=row.account_id,
        filename=row.medium_name,
        media_type=row.media_type,
        modality=row.medium_modality,
        size=row.size_bytes,
        digest=row.digest,
        object_path=row.object_path,
        kept=row.kept,
    )
    keep: bool | None = work.options.get("store")
    if keep is not None and keep != medium.kept:
        medium = await shelf.keep(medium, keep=keep)
    return replace(order, medium=medium)
