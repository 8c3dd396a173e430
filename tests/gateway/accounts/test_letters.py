"""Letters on their whole way: asked for over HTTP, written and sent by the worker's own tasks, used as they say."""

import asyncio
import re
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.db.engine import open_database
from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from gateway.worker import mail_tasks
from tests.fixtures.accounts import log_in, register
from tests.fixtures.gateway import EMAIL, Client, eventually

pytestmark = pytest.mark.integration

NEW = "battery staple"


def letters(folder: Path) -> dict[str, str]:
    """The text of each letter in the folder, by its subject."""
    found = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in folder.glob("*.eml")]
    assert all(letter["To"] == EMAIL for letter in found)
    return {letter["Subject"]: letter.get_content() for letter in found}


async def test_a_forgotten_password_is_replaced_as_the_letters_say(
    anonymous: Client, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "mail"
    settings = gateway_settings.model_copy(
        update={"mail_folder": folder, "public_url": "https://verdicts.example.org/"}
    )
    await register(anonymous.http)
    await anonymous.http.post("/v1/auth/password/forgot", json={"email": EMAIL})
    await anonymous.http.post("/v1/auth/password/forgot", json={"email": "nobody@example.org"})

    async def arrived(count: int) -> bool:
        return len(letters(folder)) == count

    async with open_database(settings) as opened:
        runner = Runner(mail_tasks(opened, settings), settings)
        work = asyncio.create_task(runner.run())
        await eventually(lambda: arrived(2))
        text = letters(folder)["Set a new password"]
        assert "POST https://verdicts.example.org/v1/auth/password/reset" in text
        assert "for 1 hour." in text
        token = re.findall(r"^[\w-]{43}$", text, re.MULTILINE)[0]
        answer = await anonymous.http.post("/v1/auth/password/reset", json={"token": token, "password": NEW})
        assert answer.status_code == 204
        await eventually(lambda: arrived(3))
        runner.stop()
        await work
    await log_in(anonymous.http, EMAIL, NEW)
    query = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded' OR args <> '{}'"
    assert await (await database.execute(query)).fetchone() == (0,)
