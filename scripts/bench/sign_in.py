"""Whether the time of a failed login tells if there is an account: known and unknown e-mails in turn, one caller.

The gateway and its durable Postgres are of the bench's own; the back-off is set out of reach. The tries come from
another address than the accounts were made from, as a stranger's would.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import msgspec
import numpy as np

from scripts.bench.errors import BenchError
from scripts.bench.figures import percentile
from scripts.bench.gateway_side import START_DEADLINE_S, lone_gateway
from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running

ACCOUNTS: Final = 20
WARMUP: Final = 10
_STRANGER: Final = "127.0.0.2"
_OUT_OF_REACH: Final = "1000000000"
_REFUSED: Final = 401
_SEED: Final = 20_260


class UnexpectedAnswerError(BenchError):
    """A login was answered by something else than a refusal."""


class SignInTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of failed logins. `ratio` is that of the medians, known / unknown.

    `slower` is how often a known e-mail took longer than an unknown one, over all pairs: 0.5 where time tells nothing.
    """

    tries: int
    known_p50_ms: float
    unknown_p50_ms: float
    known_p95_ms: float
    unknown_p95_ms: float
    ratio: float
    slower: float


def measure_sign_in(logins: int, *, folder: Path, say: Callable[[str], None]) -> SignInTimes:
    """Time `logins` failed logins, half of them with known e-mails. The cluster is made under `folder`.

    Raises:
        BenchError: The gateway did not start, or a login was answered unexpectedly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"SIGN_IN_TRIES": _OUT_OF_REACH, "SIGN_IN_TRIES_BY_ADDRESS": _OUT_OF_REACH, "ACCESS_LOG": "false"}
    with tempfile.TemporaryDirectory(prefix="bonafide-bench-", dir=folder) as temporary:
        root = Path(temporary)
        cluster = Cluster(folder=root / "cluster", password="made-up-for-the-bench")  # noqa: S106 - Its own cluster.
        server = program(cluster, dict(os.environ))
        with (
            running(server, log=root / "postgres.log", run_id=root.name, deadline_s=START_DEADLINE_S),
            lone_gateway(root, cluster, settings) as (port, _),
        ):
            known, unknown = _time(f"http://127.0.0.1:{port}", logins, say)
    return compare_times(known, unknown)


def compare_times(known: Sequence[float], unknown: Sequence[float]) -> SignInTimes:
    """What the seconds of both kinds say. Raises ValueError where there are none."""
    return SignInTimes(
        tries=len(known) + len(unknown),
        known_p50_ms=1000 * median(known),
        unknown_p50_ms=1000 * median(unknown),
        known_p95_ms=1000 * percentile(known, 95),
        unknown_p95_ms=1000 * percentile(unknown, 95),
        ratio=median(known) / median(unknown),
        slower=_share_slower(known, unknown),
    )


def _time(url: str, logins: int, say: Callable[[str], None]) -> tuple[list[float], list[float]]:
    """Seconds of the logins with known and with unknown e-mails; which comes next is drawn each time."""
    names = [f"bench-{place}@example.com" for place in range(ACCOUNTS)]
    with httpx.Client(base_url=url, timeout=30) as owner:
        for name in names:
            body = {"email": name, "password": os.urandom(16).hex()}
            owner.post("/v1/auth/register", json=body).raise_for_status()
    chance = random.Random(_SEED)  # noqa: S311 - Which kind is tried next.
    kinds = [True] * (logins // 2) + [False] * (logins - logins // 2)
    chance.shuffle(kinds)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with httpx.Client(base_url=url, timeout=30, transport=httpx.HTTPTransport(local_address=_STRANGER)) as stranger:
        for _ in range(WARMUP):
            _fail(stranger, f"warm-up-{chance.getrandbits(64)}@example.com")
        say(f"{logins} logins")
        for is_known in kinds:
            name = chance.choice(names) if is_known else f"bench-{chance.getrandbits(32)}@example.com"
            seconds[is_known].append(_fail(stranger, name))
    return seconds[True], seconds[False]


def _fail(http: httpx.Client, name: str) -> float:
    start = time.perf_counter()
    answer = http.post("/v1/auth/login", json={"login": name, "password": "not the password"})
    taken = time.perf_counter() - start
    if answer.status_code != _REFUSED:
        raise UnexpectedAnswerError(f"{answer.status_code} {answer.text[:200]}")
    return taken


def _share_slower(known: Sequence[float], unknown: Sequence[float]) -> float:
    """How many of all pairs have a slower known one; ties count half (the statistic of Mann and Whitney)."""
    ordered = np.sort(np.asarray(unknown))
    below = np.searchsorted(ordered, known, side="left") + np.searchsorted(ordered, known, side="right")
    return float(below.mean() / 2 / len(ordered))
