"""Decoding processes do not outlive the service that started them, whichever way it ends."""

import asyncio
import subprocess
import sys

import psutil

from tests.bentos.media.test_pool import until

PARENT = """
import asyncio
from bentos.media.pool import MediaPool
from tests.fixtures import media_tasks as tasks
async def main():
    pool = MediaPool()
    calls = [pool.run(tasks.task(tasks.take_time), b"", tasks.Order(seconds=60), timeout_s=90) for _ in range(2)]
    work = asyncio.gather(*calls)
    while len(pool._busy) < 2:
        await asyncio.sleep(0.05)
    print(*pool.pids, flush=True)
    await work
asyncio.run(main())
"""


async def test_processes_die_with_a_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    line = await asyncio.wait_for(parent.stdout.readline(), timeout=30)
    pids = [int(word) for word in line.split()]
    parent.kill()
    await parent.wait()
    assert len(pids) == 2
    assert await until(lambda: not [pid for pid in pids if psutil.pid_exists(pid)])
