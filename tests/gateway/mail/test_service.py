from typing import Any

import psycopg
import pytest

from gateway.db.engine import open_database
from gateway.mail.service import Mail, post
from gateway.settings import GatewaySettings


@pytest.mark.parametrize(
    "to",
    [
        "",
        "nobody",
        "a@b@c",
        "a@example.org, b@example.org",
        "a@example.org\r\nBcc: b@example.org",
        "A <a@example.org>",
        "=?utf-8?q?attacker=40evil.org=3e=00?=foo@company.com",
        "a\u200b@example.org",
        "a" * 250 + "@example.org",
    ],
)
def test_a_mail_goes_to_one_address(to: str) -> None:
    with pytest.raises(ValueError, match="one address"):
        Mail(to=to, subject="Hello", text="…")


@pytest.mark.parametrize("subject", ["Hello\r\nBcc: b@example.org", "Hello\n", "Hel\x00lo", "Hello\u2028there"])
def test_a_subject_is_one_line(subject: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        Mail(to="a@example.org", subject=subject, text="…")


@pytest.mark.integration
async def test_a_mail_is_posted_with_the_transaction(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    mail = Mail(to="a@example.org", subject="Hello", text="Good morning.")
    async with open_database(gateway_settings) as opened:
        async with opened.engine.connect() as connection:
            await post(connection, mail)
            await connection.rollback()
        assert await _jobs(database) == []
        async with opened.engine.begin() as connection:
            await post(connection, mail)
            assert await _jobs(database) == []
    ((task, queue, status, arguments),) = await _jobs(database)
    assert (task, queue, status) == ("send_mail", "mail", "todo")
    assert arguments.pop("id")
    assert arguments == {"to": "a@example.org", "subject": "Hello", "text": "Good morning."}


async def _jobs(database: psycopg.AsyncConnection[Any]) -> list[Any]:
    return await (
        await database.execute("SELECT task_name, queue_name, status::text, args FROM procrastinate_jobs")
    ).fetchall()
