"""Repeats a verdict that the account already has for the same medium by the same version of the same model.

Only where the call asks for it; the answer names the detection that it repeats.
"""

from dataclasses import dataclass, replace
from typing import Final, LiteralString
from uuid import UUID

import msgspec

from bentos.contract import Detection, ModelInfo
from gateway.db.engine import Pool
from gateway.detections.client import BentoAnswer
from gateway.detections.intake import Upload
from gateway.detections.orders import Order
from gateway.models.service import Models

_FIND: Final[LiteralString] = """
    SELECT d.id, d.answer::text, d.thumbnail
    FROM find_caller(%(key_digest)s::bytea, %(session_id)s::uuid, %(issuer)s::text, %(subject)s::text) c
    JOIN detections d ON d.account_id = c.account_id AND d.media_digest = %(media_digest)s
    WHERE d.status = 'succeeded' AND d.deleted_at IS NULL AND d.cached_from IS NULL AND d.modality = %(modality)s
        AND d.model = %(model)s AND d.version = %(version)s AND d.answer ->> 'digest' = %(digest)s
    ORDER BY d.id DESC LIMIT 1
"""

_DETECTION = msgspec.json.Decoder(Detection)


@dataclass(frozen=True, slots=True)
class Known:
    """A verdict that is there already, and the detection it comes from."""

    id: UUID
    answer: BentoAnswer


class Reuse:
    """Looks for verdicts that can be repeated; each counts `charge` against the daily limit."""

    def __init__(self, pool: Pool, models: Models, *, charge: int) -> None:
        self._pool = pool
        self._models = models
        self._charge = charge

    async def find(self, order: Order) -> Known | None:
        """The newest verdict of the caller's account on this medium by the version that would judge it now."""
        model = await self._model(order.upload)
        if model is None:
            return None
        parameters = {
            "key_digest": order.credentials.key_digest,
            "session_id": order.credentials.session_id,
            "issuer": order.credentials.issuer,
            "subject": order.credentials.subject,
            "media_digest": order.upload.media.digest,
            "modality": order.upload.modality.value,
            "model": model.name,
            "version": model.stable.version,
            "digest": model.stable.digest,
        }
        async with self._pool.connection() as database:
            row = await (await database.execute(_FIND, parameters)).fetchone()
        if row is None:
            return None
        document: str = row[1]
        return Known(row[0], BentoAnswer(_DETECTION.decode(document), document.encode(), row[2]))

    def order(self, order: Order, known: Known) -> Order:
        """The order as it is admitted where its verdict is known."""
        return replace(order, charge=self._charge, cached_from=known.id)

    async def _model(self, upload: Upload) -> ModelInfo | None:
        """The model that would judge a medium; None where nobody can tell right now."""
        for model in (await self._models.catalogue()).models:
            named = model.name == upload.model if upload.model else model.default
            if named and model.modality == upload.modality:
                return model
        return None
