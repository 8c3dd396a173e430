from typing import Any

import psycopg
import pytest

from gateway.db.paging import write_cursor
from tests.fixtures.people import Person

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]
TASKS = "/v1/admin/tasks"


@pytest.fixture
async def tasks(admin: Person, database: Database) -> list[int]:
    """Tasks in each state, the first one oldest; what the accounts of this test posted is away."""
    assert admin
    await database.execute("DELETE FROM procrastinate_jobs")
    numbers: list[int] = []
    for status in ("succeeded", "failed", "doing", "todo"):
        query = """
            INSERT INTO procrastinate_jobs (queue_name, task_name, args)
            VALUES ('mail', 'send_mail', '{"text": "secret"}') RETURNING id
        """
        row = await (await database.execute(query)).fetchone()
        assert row
        numbers.append(row[0])
        for step in ("doing", status):
            if status != "todo":
                await database.execute(
                    "UPDATE procrastinate_jobs SET status = %s WHERE id = %s AND status <> %s", [step, row[0], step]
                )
    return numbers


async def test_tasks_are_listed_with_their_states_and_without_their_arguments(admin: Person, tasks: list[int]) -> None:
    answer = await admin.get(TASKS)
    assert answer.status_code == 200, answer.text
    assert "secret" not in answer.text
    data = answer.json()["data"]
    assert [task["id"] for task in data] == tasks[::-1]
    assert [task["status"] for task in data] == ["waiting", "running", "failed", "succeeded"]
    assert {(task["task"], task["queue"]) for task in data} == {("send_mail", "mail")}
    assert all(task["created_at"] for task in data)
    assert [task["started_at"] is None for task in data] == [True, False, False, False]
    assert [task["ended_at"] is None for task in data] == [True, True, False, False]
    assert (await admin.get(f"{TASKS}/{tasks[0]}")).json() == data[-1]


async def test_tasks_are_found_and_paged(admin: Person, tasks: list[int]) -> None:
    async def found(**wanted: Any) -> list[int]:
        return [task["id"] for task in (await admin.get(TASKS, params=wanted)).json()["data"]]

    assert await found(status="failed") == [tasks[1]]
    assert await found(task="send_mail", queue="mail") == tasks[::-1]
    assert await found(task="another") == []
    assert await found(queue="another") == []
    first = (await admin.get(TASKS, params={"limit": 3})).json()
    second = (await admin.get(TASKS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [task["id"] for task in first["data"] + second["data"]] == tasks[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 40])
async def test_an_unknown_task_is_not_found(admin: Person, number: str) -> None:
    assert (await admin.get(f"{TASKS}/{number}")).status_code == 404


async def test_wrong_parameters_are_refused(admin: Person) -> None:
    foreign = write_cursor(admin.id)
    for wrong in ({"status": "todo"}, {"cursor": "x"}, {"cursor": foreign}, {"limit": 0}, {"task": "a\x00"}):
        assert (await admin.get(TASKS, params=wrong)).status_code == 400, wrong
