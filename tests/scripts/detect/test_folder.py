"""`bonafide detect --async` against a gateway and a worker: stopped in the middle, and gone on with."""

import asyncio
import csv
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bentos.contract import Modality
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from scripts.detect.ledger import ledger_path
from tests.fixtures.gateway import JPEG, GatewayProcess, eventually, make_account
from tests.gateway.jobs.conftest import working

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

Database = psycopg.AsyncConnection[Any]
FILES = 20


class Folder:
    """A folder of pictures, and the command that hands it over."""

    def __init__(self, path: Path, url: str, key: str) -> None:
        self.path = path
        self.url = url
        self.key = key
        self.home = path.parent / "home"
        for number in range(FILES):
            file = path / ("deeper" if number % 2 else ".") / f"{number:02}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(JPEG + bytes([number]) * 200_000)
        (path / "notes.txt").write_text("no medium")

    @property
    def ledger(self) -> Path:
        os.environ["BONAFIDE_HOME"] = str(self.home)
        return ledger_path(self.path, url=self.url, key=self.key, asked=" None")

    def noted(self, kind: str) -> int:
        """How often something was noted."""
        if not self.ledger.exists():
            return 0
        return sum(f'"kind": "{kind}"' in line for line in self.ledger.read_text().splitlines())

    def is_open(self, process: asyncio.subprocess.Process) -> bool:
        """Whether a command has its ledger open; before that, Python would be interrupted and not the command."""
        try:
            opened = [each.readlink() for each in Path(f"/proc/{process.pid}/fd").iterdir()]
        except OSError:  # One of them, or the process, has gone.
            return False
        return self.ledger.resolve() in opened

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        environment = os.environ | {
            "BONAFIDE_URL": self.url,
            "BONAFIDE_API_KEY": self.key,
            "BONAFIDE_HOME": str(self.home),
            "COLUMNS": "200",
        }
        command = ("-c", "from scripts.cli import main; main()", "detect", "--async", str(self.path), *words)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *words: str) -> tuple[int, str, str]:
        process = await self.start(*words)
        out, error = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), error.decode()

    async def interrupt(self, when: Callable[[], bool]) -> int:
        """Run until something is so, and press Ctrl-C then; returns the exit status."""
        process = await self.start("--concurrency", "1")

        def press() -> None:
            # In a thread: the loop is busy with the worker and the Bentos, and the command does not wait for it.
            until = time.monotonic() + 30
            while not (self.is_open(process) and when()) and process.returncode is None and time.monotonic() < until:
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)

        await asyncio.to_thread(press)
        _, error = await asyncio.wait_for(process.communicate(), 30)
        assert b"Traceback" not in error, error
        return process.returncode or 0


@pytest.fixture
async def folder(  # noqa: PLR0917 - Fixtures.
    gateway_settings: GatewaySettings,
    start_gateway: Callable[..., Awaitable[GatewayProcess]],
    bentos: dict[Modality, Script],
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Folder]:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    bentos[Modality.IMAGE].delay_s = 0.2
    gateway = await start_gateway()
    async with working(gateway_settings):
        yield Folder(tmp_path / "pictures", gateway.url, await make_account(database))


async def counts(database: Database) -> tuple[Any, ...]:
    """Uploads that were sent, detections, and what was charged.

    One that was begun and not noted, because the command was stopped in between, is nothing but a row that expires.
    """
    query = """
        SELECT (SELECT count(*) FROM media WHERE completed_at IS NOT NULL)
                + (SELECT count(*) FROM deletion_proofs WHERE reason <> 'never_completed'),
            (SELECT count(*) FROM detections),
            (SELECT sum(charged) FROM meters WHERE subject_id IN (SELECT id FROM accounts))
    """
    row = await (await database.execute(query)).fetchone()
    assert row
    return row


async def test_a_folder_is_handed_over_once_however_often_it_is_stopped(folder: Folder, database: Database) -> None:
    assert await folder.interrupt(lambda: folder.noted("ready") >= 4) == 130
    assert 4 <= folder.noted("ready") < FILES
    assert await folder.interrupt(lambda: folder.noted("planned") >= 1) == 130
    # The signal may come before the command has set itself up.
    assert await folder.interrupt(lambda: folder.noted("planned") >= 1) in {130, -signal.SIGINT}
    status, out, error = await folder.run("--json")
    assert status == 0, error
    results = [json.loads(line) for line in out.splitlines()]
    assert sorted(one["file"] for one in results) == sorted(
        f"{'deeper/' if number % 2 else ''}{number:02}.jpg" for number in range(FILES)
    )
    assert {one["detection"]["verdict"] for one in results} == {"REAL"}
    assert f"{FILES} files: {FILES} REAL" in error
    assert await counts(database) == (FILES, FILES, FILES)


async def test_what_has_not_changed_is_not_judged_again_and_what_has_is(folder: Folder, database: Database) -> None:
    assert (await folder.run("--no-wait"))[0] == 0
    table, lines = folder.path.parent / "out.csv", folder.path.parent / "out.jsonl"
    assert (await folder.run("--csv", str(table), "--jsonl", str(lines)))[0] == 0
    assert (await counts(database))[1] == FILES
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["REAL"] * FILES
    assert [json.loads(line)["file"] for line in lines.read_text().splitlines()] == [row["file"] for row in rows]
    (folder.path / "00.jpg").touch()
    (folder.path / "02.jpg").write_bytes(JPEG + b"changed" * 100)
    (folder.path / "new.jpg").write_bytes(JPEG + b"new" * 100)
    (folder.path / "04.jpg").unlink()
    status, out, error = await folder.run("--json")
    assert status == 0, error
    assert len(out.splitlines()) == FILES
    assert (await counts(database))[1:] == (FILES + 2, FILES + 2)
    status, _, error = await folder.run("--anew", "--json")
    assert status == 0, error
    assert (await counts(database))[1] == 2 * FILES + 2


async def test_a_file_that_cannot_be_judged_is_told_and_the_others_go_on(folder: Folder, database: Database) -> None:
    (folder.path / "00.jpg").write_bytes(b"")
    (folder.path / "02.jpg").write_bytes(b"this is no picture at all" * 1000)
    status, out, _ = await folder.run("--json")
    assert status == 1
    errors = {
        one["file"]: one["error"]["code"] for one in map(json.loads, out.splitlines()) if not one.get("detection")
    }
    assert errors == {"00.jpg": "empty_file", "02.jpg": "unsupported_media_type"}
    assert (await counts(database))[1] == FILES - 2


async def test_two_runs_over_one_folder_do_not_get_in_each_others_way(folder: Folder) -> None:
    first = await folder.start("--concurrency", "1")

    async def begun() -> bool:
        return folder.noted("upload") > 0

    await eventually(begun, 30)
    status, _, error = await folder.run()
    assert (status, "another" in error) == (2, True)
    await asyncio.wait_for(first.communicate(), 60)
    assert first.returncode == 0


async def test_where_the_day_is_used_up_it_goes_on_the_next_day(folder: Folder, database: Database) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 5")
    status, _, error = await folder.run()
    assert (status, "daily limit" in error) == (1, True)
    await database.execute("UPDATE accounts SET daily_limit = 50")
    assert (await folder.run())[0] == 0
    assert await counts(database) == (FILES, FILES, FILES)


async def test_a_folder_without_media_and_a_file_are_wrong_calls(tmp_path: Path) -> None:
    empty = Folder(tmp_path / "empty", "http://127.0.0.1:9", "sk-live-1")
    for file in (tmp_path / "empty").rglob("*.jpg"):
        file.unlink()
    assert (await empty.run())[0] == 2
    assert (await empty.run("--modality", "image"))[0] == 2
