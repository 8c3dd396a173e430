"""What a long history costs: a page, statistics and a detection, in a database of 100 000 rows and in one of many more.

Both lie in one durable cluster of the platform's own settings and are asked in turn, by one caller, through the
gateway's own services: what is between them and the client does not know how long the history is.
"""

import asyncio
import hashlib
import os
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID

import msgspec

from bentos.contract import Detection, ImageEvidence, Modality, Thresholds, Timings, Verdict
from gateway.access.credentials import Credentials
from gateway.db.engine import open_database
from gateway.detections.admission import Admission
from gateway.detections.client import BentoAnswer
from gateway.detections.intake import Upload
from gateway.detections.media import MemoryMedia
from gateway.detections.orders import Admitted, Order
from gateway.history.filters import Filters
from gateway.history.schemas import Interval
from gateway.history.service import History
from gateway.history.stats import Stats
from gateway.settings import GatewaySettings
from scripts.bench.errors import BenchError
from scripts.bench.figures import percentile
from scripts.bench.history_rows import ACCOUNTS, fill
from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running

FEW: Final = 100_000
PAGE: Final = 20
SAMPLES: Final = 600
WARMUP: Final = 100
_START_DEADLINE_S: Final = 60.0
_LIFETIME_S: Final = 60.0
_SEED: Final = 20_260

_ACCOUNTS: Final = """
SELECT a.id, (SELECT count(*) FROM (SELECT FROM detections d WHERE d.account_id = a.id LIMIT %(full)s) AS a_page)
FROM accounts a ORDER BY a.number
"""


class OperationCost(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of an operation in milliseconds and the ratio of the 95th ones: medians over the rounds."""

    operation: str
    few_p50_ms: float
    many_p50_ms: float
    few_p95_ms: float
    many_p95_ms: float
    ratio: float


class RefusedError(BenchError):
    """A detection was not admitted, or could not be settled."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two databases: its accounts, the busiest first, and how many of them have more than a page."""

    admission: Admission
    history: History
    stats: Stats
    accounts: Sequence[UUID]
    busy: int


def measure_history(rows: int, *, rounds: int, folder: Path, say: Callable[[str], None]) -> list[OperationCost]:
    """Compare 100 000 rows with `rows`. The cluster is made under `folder` and removed afterwards.

    Raises:
        BenchError: A detection was refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bonafide-bench-", dir=folder) as temporary:
        root = Path(temporary)
        cluster = Cluster(folder=root / "cluster", password="made-up-for-the-bench")  # noqa: S106 - Its own cluster.
        server = program(cluster, dict(os.environ))
        with running(server, log=root / "postgres.log", run_id=root.name, deadline_s=_START_DEADLINE_S):
            for database, count in (("few", FEW), ("many", rows)):
                fill(cluster, database, count, say)
            return asyncio.run(_compare(cluster, root, rounds, say))


def ratios(history: Sequence[OperationCost]) -> dict[str, float]:
    """The ratios as figures of the run."""
    return {f"history_{each.operation.replace(' ', '_')}_ratio": each.ratio for each in history}


async def _compare(cluster: Cluster, root: Path, rounds: int, say: Callable[[str], None]) -> list[OperationCost]:
    async with AsyncExitStack() as stack:
        few = await stack.enter_async_context(_side(cluster.url("few"), root))
        many = await stack.enter_async_context(_side(cluster.url("many"), root))
        chance = random.Random(_SEED)  # noqa: S311 - Which account is asked for next.
        results: list[OperationCost] = []
        for operation, run in _OPERATIONS.items():
            say(f"measuring {operation}")
            await _round(few, many, run, chance, WARMUP)
            measured = [await _round(few, many, run, chance, SAMPLES) for _ in range(rounds)]
            results.append(_cost(operation, measured))
        return results


def _cost(operation: str, rounds: Sequence[tuple[Sequence[float], Sequence[float]]]) -> OperationCost:
    """What the rounds make of an operation; each holds the seconds of the calls to few and to many rows."""

    def middle(side: int, percent: float) -> float:
        return median(1000 * percentile(each[side], percent) for each in rounds)

    return OperationCost(
        operation=operation,
        few_p50_ms=middle(0, 50),
        many_p50_ms=middle(1, 50),
        few_p95_ms=middle(0, 95),
        many_p95_ms=middle(1, 95),
        ratio=median(percentile(many, 95) / percentile(few, 95) for few, many in rounds),
    )


async def _round(
    few: Side, many: Side, run: "Operation", chance: random.Random, samples: int
) -> tuple[list[float], list[float]]:
    """Seconds that each call took, in both databases; which of them comes first is drawn each time."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(samples):
        for is_many in chance.sample((False, True), 2):
            # Reading is compared on accounts that fill a page in both; admitting costs all of them the same.
            reader, writer = chance.randrange(few.busy), chance.randrange(ACCOUNTS)
            seconds[is_many].append(await run(many if is_many else few, reader, writer))
    return seconds[False], seconds[True]


@asynccontextmanager
async def _side(url: str, root: Path) -> AsyncGenerator[Side]:
    settings = GatewaySettings.model_validate(
        {
            "database_url": url,
            "bento_token": "made-up-token-of-the-measurement",
            "reference_key": "made-up-reference-key-of-the-measurement",
            "token_key": "made-up-token-key-of-the-measurement",
            "spool": root / "spool",
        }
    )
    async with open_database(settings) as database:
        async with database.pool.connection() as connection:
            rows = await (await connection.execute(_ACCOUNTS, {"full": PAGE + 1})).fetchall()
        busy = next((place for place, row in enumerate(rows) if row[1] <= PAGE), len(rows))
        yield Side(
            admission=Admission(database.pool),
            history=History(database.pool),
            stats=Stats(database.pool),
            accounts=[row[0] for row in rows],
            busy=busy,
        )


Operation = Callable[[Side, int, int], Awaitable[float]]
"""Reads for the account in the first place given or writes for that in the second; the seconds that it took."""


async def _first_page(side: Side, reader: int, _: int) -> float:
    start = time.perf_counter()
    msgspec.json.encode(await side.history.page(side.accounts[reader], Filters(), cursor=None, limit=PAGE))
    return time.perf_counter() - start


async def _filtered_page(side: Side, reader: int, _: int) -> float:
    filters = Filters(modality=Modality.IMAGE, verdict=Verdict.FAKE)
    start = time.perf_counter()
    msgspec.json.encode(await side.history.page(side.accounts[reader], filters, cursor=None, limit=PAGE // 4))
    return time.perf_counter() - start


async def _stats_of_30_days(side: Side, reader: int, _: int) -> float:
    start = time.perf_counter()
    msgspec.json.encode(await side.stats.report(side.accounts[reader], since=None, until=None, interval=Interval.DAY))
    return time.perf_counter() - start


async def _admit(side: Side, _: int, writer: int) -> float:
    start = time.perf_counter()
    admitted = await side.admission.admit(_order(writer), lifetime_s=_LIFETIME_S)
    seconds = time.perf_counter() - start
    await _close(side, admitted)
    return seconds


async def _admit_and_settle(side: Side, _: int, writer: int) -> float:
    start = time.perf_counter()
    await _close(side, await side.admission.admit(_order(writer), lifetime_s=_LIFETIME_S))
    return time.perf_counter() - start


async def _close(side: Side, admitted: object) -> None:
    if not isinstance(admitted, Admitted) or await side.admission.settle(admitted, _ANSWER) is None:
        raise RefusedError(f"{admitted}")


def _order(place: int) -> Order:
    """A picture that nobody sent before, for the account in that place."""
    return Order(
        credentials=Credentials(key_digest=hashlib.sha256(f"bench-{place + 1}".encode()).digest()),
        upload=Upload(
            media=MemoryMedia(b"", os.urandom(32)),
            modality=Modality.IMAGE,
            media_type="image/jpeg",
            filename="picture.jpg",
            model=None,
        ),
        request_id="bench",
    )


_OPERATIONS: Final[dict[str, Operation]] = {
    "page": _first_page,
    "filtered page": _filtered_page,
    "stats": _stats_of_30_days,
    "admit": _admit,
    "admit and settle": _admit_and_settle,
}
_DETECTION: Final = Detection(
    modality=Modality.IMAGE,
    verdict=Verdict.REAL,
    p_fake=0.1,
    confidence=90.0,
    reasons=(),
    partial=False,
    unscored=(),
    model="image_model",
    version=1,
    digest="sha256:" + "0" * 64,
    thresholds=Thresholds(low=0.35, high=0.65),
    evidence=ImageEvidence(width=1, height=1, format="jpeg", faces_found=0, faces=()),
    timings=Timings(queue_ms=0, decode_ms=0, faces_ms=0, inference_ms=0, total_ms=0),
)
_ANSWER: Final = BentoAnswer(_DETECTION, msgspec.json.encode(_DETECTION), None)
