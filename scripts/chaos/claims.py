"""Claims as a worker's lane makes them: an entry out of the queue, its job begun, the entry closed; each timed.

Claimers are processes of their own, so that eight of them wait for the database and not for each other.
"""

import asyncio
import sys
import time
from typing import Any, Final, LiteralString

import msgspec
import psycopg

_FETCH: Final[LiteralString] = "SELECT id, args ->> 'job_id' FROM procrastinate_fetch_job_v2(%s, %s)"
_BEGIN: Final[LiteralString] = "SELECT account_id, class FROM begin_job(%s, 3600, 'claimer')"
_FINISH: Final[LiteralString] = "SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)"
_DEADLINE_S: Final = 300.0


class Claiming(msgspec.Struct, frozen=True, kw_only=True):
    """What a claimer has to do."""

    conninfo: str
    queues: tuple[str, ...]
    count: int


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that taking an entry, and beginning its job, took; and who had them, by account and class, in order."""

    fetched_s: tuple[float, ...]
    begun_s: tuple[float, ...]
    taken: tuple[tuple[str, str], ...]

    @property
    def claimed_s(self) -> list[float]:
        """Both together."""
        return [fetched + begun for fetched, begun in zip(self.fetched_s, self.begun_s, strict=True)]


def claim(claiming: Claiming, database: psycopg.Connection[Any]) -> Claims:
    """Claim so many jobs, or as many as there are."""
    row = database.execute("SELECT procrastinate_register_worker_v1()").fetchone()
    worker = row[0] if row else None
    fetched, begun, taken = list[float](), list[float](), list[tuple[str, str]]()
    for _ in range(claiming.count):
        start = time.perf_counter()
        entry = database.execute(_FETCH, (list(claiming.queues), worker)).fetchone()
        middle = time.perf_counter()
        if entry is None or entry[0] is None:
            break
        job = database.execute(_BEGIN, (entry[1],)).fetchone()
        end = time.perf_counter()
        database.execute(_FINISH, (entry[0],))
        if job is None:
            raise RuntimeError(f"the job {entry[1]} was in the queue and could not be begun")
        fetched.append(middle - start)
        begun.append(end - middle)
        taken.append((str(job[0]), job[1]))
    return Claims(fetched_s=tuple(fetched), begun_s=tuple(begun), taken=tuple(taken))


async def claim_at_once(claiming: Claiming, claimers: int) -> list[Claims]:
    """Have so many processes claim, beginning together. Raises TimeoutError, or RuntimeError where one failed."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scripts.chaos.claims"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(claimers)
    ]
    try:
        async with asyncio.timeout(_DEADLINE_S):
            outputs = await asyncio.gather(
                *(process.communicate(msgspec.json.encode(claiming)) for process in processes)
            )
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if any(process.returncode for process in processes):
        raise RuntimeError("a claimer failed; its output says why")
    return [msgspec.json.decode(output, type=Claims) for output, _ in outputs]


def main() -> None:
    """Do what stands on the standard input, and write what came of it."""
    claiming = msgspec.json.decode(sys.stdin.buffer.read(), type=Claiming)
    with psycopg.connect(claiming.conninfo, autocommit=True) as database:
        claims = claim(claiming, database)
    sys.stdout.buffer.write(msgspec.json.encode(claims))


if __name__ == "__main__":
    main()
