"""Both clients against a real gateway: everybody's jobs and the queue, which no worker empties here."""

import pytest

from bonafide_client import ConflictError, NotFoundError, PermissionDeniedError
from tests.fixtures.gateway import JPEG, PASSWORD

pytestmark = pytest.mark.integration


async def test_admins_look_after_jobs_and_the_queue(either, start_gateway, database):
    gateway = await start_gateway()
    member = either.client(gateway.url, api_key=None)
    member_id = (await either(member.auth.register, "ada@example.org", PASSWORD)).id
    await either(member.auth.login, "ada@example.org", PASSWORD)
    admin = either.client(gateway.url, api_key=None)
    admin_id = (await either(admin.auth.register, "root@example.org", PASSWORD)).id
    await database.execute("UPDATE accounts SET role = 'super_admin' WHERE id = %s", (admin_id,))
    await either(admin.auth.login, "root@example.org", PASSWORD)
    jobs, queue = admin.admin.jobs, admin.admin.queue

    first, second = [await either(member.jobs.create, JPEG) for _ in range(2)]
    assert [one.id for one in await either.all(jobs.list(account_id=member_id, limit=1))] == [second.id, first.id]
    assert await either.all(jobs.list(dead=True)) == []
    shown = await either(jobs.retrieve, first.id)
    assert (shown.account_id, shown.status, [event.kind for event in shown.events]) == (member_id, "queued", ["queued"])
    with pytest.raises(NotFoundError):
        await either(jobs.retrieve, member_id)
    with pytest.raises(PermissionDeniedError):
        await either(member.admin.jobs.retrieve, first.id)

    assert (await either(jobs.cancel, first.id)).status == "cancelled"
    assert (await either(jobs.retry, first.id)).status == "queued"
    with pytest.raises(ConflictError) as caught:
        await either(jobs.retry, first.id)
    assert caught.value.code == "job_not_ended"
    requeued = await either(jobs.requeue_dead, account_id=member_id, error_code="worker_lost", limit=5)
    assert (requeued.requeued, requeued.refused, requeued.next_cursor) == (0, (), None)

    paused = await either(queue.pause, "Full disk.")
    assert (paused.paused, paused.reason, paused.classes[1].queued) == (True, "Full disk.", 2)
    assert (await either(queue.resume)).paused is False
    assert (await either(queue.retrieve)).dead == 0
