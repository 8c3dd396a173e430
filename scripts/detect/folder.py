"""`bonafide detect --async`: hands a folder over as batches, waits for them, and goes on where it was stopped."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx

from bonafide_client import ApiError, AsyncBonafide, BonafideError, NotFoundError
from bonafide_client.schemas.batches import Batch
from scripts.detect.ledger import Handed, Ledger
from scripts.detect.sending import Sender, SendingError, is_refusal

MOST_ITEMS: Final = 10_000
_ROUNDS: Final = 3
_LOOK_S: Final = 0.5
_SLOWEST_LOOK_S: Final = 5.0
_SEEN_BATCHES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """How a folder is handed over; `concurrency` files are sent at once."""

    model: str | None
    store: bool | None
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Who is told how far it is: bytes that are there, items that have ended, and things worth a line."""

    uploaded: Callable[[int], None]
    judged: Callable[[int, float | None], None]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file that did not become an item."""

    name: str
    code: str
    message: str

    def record(self) -> dict[str, Any]:
        """As a line of results has it."""
        return {"file": self.name, "status": "failed", "error": {"code": self.code, "message": self.message}}


class FolderRun:
    """One run over the files of a folder, `files` by their paths within it."""

    def __init__(
        self, client: AsyncBonafide, ledger: Ledger, files: dict[str, Path], options: FolderOptions, shown: Shown
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._files = files
        self._options = options
        self._shown = shown
        self.refused: dict[str, Refused] = {}

    async def hand_over(self) -> list[Handed]:
        """Send what is not there yet and make batches of it; returns the batches that hold the files.

        Raises:
            BonafideError: The platform refuses them, or does not answer.
        """
        for handed in list(self._ledger.batches.values()):
            await self._settle(handed)
        for _ in range(_ROUNDS):
            await self._send_all()
            waiting = [name for name in self._files if self._is_waiting(name)]
            for first in range(0, len(waiting), MOST_ITEMS):
                names = waiting[first : first + MOST_ITEMS]
                await self._make(self._ledger.plan(str(uuid4()), names))
            if all(name in self.refused or self._is_in_a_batch(name) for name in self._files):
                break
        keys = dict.fromkeys(sent.batch for name, sent in self._ledger.sent.items() if name in self._files)
        return [self._ledger.batches[key] for key in keys if key is not None and self._ledger.batches[key].id]

    async def wait(self, batches: Sequence[Handed]) -> list[Batch]:
        """Wait until all batches have ended. Raises BonafideError."""
        pause = _LOOK_S
        while True:
            views = [await self._client.batches.retrieve(one.id or "") for one in batches]
            ended = sum(view.total - view.counts.queued - view.counts.running for view in views)
            left = [view.remaining_s for view in views if view.remaining_s is not None]
            self._shown.judged(ended, sum(left) if left else None)
            if all(view.ended for view in views):
                return views
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, _SLOWEST_LOOK_S)

    async def results(self, batches: Sequence[Handed]) -> AsyncGenerator[dict[str, Any]]:
        """What came of each file: an item as the API has it, with the file's path. Raises BonafideError."""
        for handed in batches:
            async with await self._client.batches.results(handed.id or "") as stream:
                async for line in stream.lines():
                    item: dict[str, Any] = json.loads(line)
                    name = handed.names[item["place"]]
                    sent = self._ledger.sent.get(name)
                    if name in self._files and sent is not None and sent.batch == handed.key:
                        yield {"file": name, **item}
        for one in self.refused.values():
            yield one.record()

    async def _settle(self, handed: Handed) -> None:
        """Find out what became of a batch that this command made, or was making when it was stopped."""
        if handed.id is None:
            await self._make(handed)
            return
        try:
            await self._client.batches.retrieve(handed.id)
        except NotFoundError:
            # It was forgotten there, long after it had ended: its files are sent anew.
            self._ledger.drop(handed.key)

    async def _make(self, handed: Handed) -> None:
        """Make a batch, or find the one that was made; where some of its uploads are gone, forget these and drop it."""
        name = f"bonafide detect {handed.key}"
        async for known in self._recent():
            if known[1] == name:
                self._ledger.make(handed.key, known[0])
                return
        items = [
            {"upload_id": upload, "client_reference": _reference(path)}
            for upload, path in zip(handed.uploads, handed.names, strict=True)
        ]
        try:
            batch = await self._client.batches.create(
                items,  # pyright: ignore[reportArgumentType] - They are what the type says.
                name=name,
                model=self._options.model,
                store=self._options.store,
                idempotency_key=handed.key,
            )
        except ApiError as error:
            self._ledger.drop(handed.key)
            if error.code != "invalid_items":
                raise
            gone = {int(one.field.removeprefix("items.")) for one in error.errors if one.field.startswith("items.")}
            self._ledger.forget(handed.names[place] for place in gone if place < len(handed.names))
            self._shown.say(f"{len(gone)} uploads are not there any more, and are sent again")
            return
        self._ledger.make(handed.key, str(batch.id))

    async def _recent(self) -> AsyncGenerator[tuple[str, str | None]]:
        """Ids and names of the newest batches."""
        seen = 0
        async for batch in self._client.batches.list(limit=100):
            yield str(batch.id), batch.name
            seen += 1
            if seen >= _SEEN_BATCHES:
                return

    async def _send_all(self) -> None:
        """Send what is not there yet, some files at once; what is refused is noted, and the others go on."""
        gate = asyncio.Semaphore(self._options.concurrency)
        async with httpx.AsyncClient(timeout=httpx.Timeout(60, connect=10)) as http:
            sender = Sender(
                client=self._client,
                http=http,
                ledger=self._ledger,
                store=self._options.store,
                progress=self._shown.uploaded,
            )

            async def one(name: str, path: Path) -> None:
                async with gate:
                    try:
                        await sender.send(name, path)
                    except SendingError as error:
                        self.refused[name] = Refused(name=name, code=error.code, message=str(error))
                    except OSError as error:
                        message = error.strerror or str(error)
                        self.refused[name] = Refused(name=name, code="unreadable_file", message=message)
                    except ApiError as error:
                        if not is_refusal(error):
                            raise
                        self.refused[name] = Refused(name=name, code=error.code, message=error.detail)

            async with asyncio.TaskGroup() as group:
                for name, path in self._files.items():
                    if name in self.refused:
                        continue
                    if await asyncio.to_thread(self._is_handed_over, name):
                        self._shown.uploaded(self._ledger.sent[name].size)
                    else:
                        group.create_task(one(name, path))

    def _is_handed_over(self, name: str) -> bool:
        """Whether a file is in a batch, and was not changed since."""
        if not self._is_in_a_batch(name):
            return False
        try:
            return self._ledger.sent[name].is_like(self._files[name].stat())
        except OSError:
            return True

    def _is_in_a_batch(self, name: str) -> bool:
        sent = self._ledger.sent.get(name)
        return sent is not None and sent.batch is not None

    def _is_waiting(self, name: str) -> bool:
        """Whether a file is there and in no batch."""
        sent = self._ledger.sent.get(name)
        return sent is not None and sent.ready and sent.batch is None and name not in self.refused


def unwrapped(error: BaseException) -> BonafideError | None:
    """The error of the client within a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, BonafideError) else None


def _reference(path: str) -> str:
    """The path of a file within its folder, as a client reference may be; its end where it is too long."""
    return "".join(char for char in path if char.isprintable())[-128:]
