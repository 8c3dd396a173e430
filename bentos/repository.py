"""The model repository as a Bento reads it: the traffic table, watched by its tag, and the cards of versions.

It is a folder or a bucket, and only `bonafide models` writes it. What was last read well stays in use when a later
read fails, so that a broken file or a lost bucket never stops what is served.
"""

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Final, Self

import msgspec
import obstore.exceptions
import structlog
from obstore.store import LocalStore, ObjectStore, from_url

from bentos.cards import CARD_FILE, TRAFFIC_FILE, Card, TrafficTable, read_card, read_traffic
from bentos.ensembles import find_fault
from bentos.errors import BrokenModelError, InferenceUnavailableError

POLL_S: Final = 1.0

_READ_TIMEOUT_S: Final = 5.0
_UNREADABLE: Final = (obstore.exceptions.BaseError, OSError, TimeoutError, msgspec.DecodeError, BrokenModelError)

_log = structlog.stdlib.get_logger(__name__)


class ModelRepository:
    """The current traffic table and the cards met so far."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._table: TrafficTable | None = None
        self._tag: str | None = None
        self._digest = ""
        self._cards: dict[tuple[str, int], Card] = {}
        self._stale: set[tuple[str, int]] = set()
        self._complaint = ""
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the repository in a folder, or in a bucket where `address` is a URL such as s3://bucket/prefix."""
        if "://" in address:
            return cls(from_url(address))
        return cls(LocalStore(Path(address).absolute(), mkdir=False))

    @property
    def table(self) -> TrafficTable:
        """The last traffic table that could be read.

        Raises:
            InferenceUnavailableError: None could be read so far.
        """
        if self._table is None:
            raise InferenceUnavailableError("The model repository cannot be read; try again shortly.")
        return self._table

    @property
    def digest(self) -> str:
        """Digest of the file of that table, "sha256:" and hex; empty where none could be read so far."""
        return self._digest

    @property
    def known(self) -> bool:
        """Whether a traffic table could be read so far."""
        return self._table is not None

    async def card(self, model: str, version: int) -> Card:
        """Return the card of a version; it is read when the version is first met and after the table has changed.

        Raises:
            BrokenModelError: It was never read well.
        """
        key = (model, version)
        known = self._cards.get(key)
        if known is not None and key not in self._stale:
            return known
        try:
            card = _check_card(read_card(await self._read(f"{model}/{version}/{CARD_FILE}")), model, version)
        except _UNREADABLE as error:
            _log.warning("card unreadable", model=model, version=version, error=repr(error))
            if known is None:
                raise BrokenModelError(f"The card of {model} version {version} cannot be read.") from error
            card = known
        self._stale.discard(key)
        self._cards[key] = card
        return card

    async def start(self) -> None:
        """Read the table once and watch it from then on; a repository that is not there yet is waited for."""
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch(), name="repository")

    async def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def refresh(self) -> None:
        """Read the table again if its tag has changed; keep the last good one, and say so once, if that fails."""
        try:
            head = await asyncio.wait_for(self._store.head_async(TRAFFIC_FILE), _READ_TIMEOUT_S)
            tag = head["e_tag"] or str(head["last_modified"])
            if tag == self._tag:
                self._complaint = ""
                return
            data = await self._read(TRAFFIC_FILE)
            self._table = _check_table(read_traffic(data))
        except _UNREADABLE as error:
            self._complain(repr(error))
            return
        # A tag read before the content can be too old, never too new: a change between the two is read again.
        self._tag = tag
        self._digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._stale = set(self._cards)
        self._complaint = ""
        _log.info(
            "traffic table read", tag=tag, stable={name: route.stable for name, route in self._table.models.items()}
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()

    async def _read(self, path: str) -> bytes:
        async def read() -> bytes:
            return bytes(await (await self._store.get_async(path)).bytes_async())

        return await asyncio.wait_for(read(), _READ_TIMEOUT_S)

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            _log.warning("traffic table unreadable, the last good one stays", error=complaint)
        self._complaint = complaint


def _check_table(table: TrafficTable) -> TrafficTable:
    """Return the table without the ensembles that are not sound: they must not stop what it says of the models."""
    faults = {name: find_fault(name, ensemble, table.models) for name, ensemble in table.ensembles.items()}
    sound = {name: ensemble for name, ensemble in table.ensembles.items() if faults[name] is None}
    if len(sound) < len(faults):
        _log.warning("ensembles refused", faults=[fault for fault in faults.values() if fault])
        table = msgspec.structs.replace(table, ensembles=sound)
    missing = [model for model in table.defaults.values() if model not in table.models and model not in sound]
    if missing:
        raise BrokenModelError(f"{TRAFFIC_FILE} names defaults without a route: {missing}.")
    return table


def _check_card(card: Card, model: str, version: int) -> Card:
    if (card.model, card.version) != (model, version):
        raise BrokenModelError(f"The card of {model} version {version} is that of {card.model} version {card.version}.")
    if card.thresholds is not None and not 0 <= card.thresholds.low <= card.thresholds.high <= 1:
        raise BrokenModelError(f"The thresholds of {model} version {version} are not in order.")
    return card
