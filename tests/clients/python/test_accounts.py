"""Both clients against a real gateway: keys, sessions and what admins do."""

import asyncio
import json

import pytest

from bonafide_client import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    Tokens,
)
from tests.fixtures.gateway import JPEG, PASSWORD, WAV

pytestmark = pytest.mark.integration
EMAIL = "ada@example.org"


@pytest.fixture
async def gateway(start_gateway):
    return await start_gateway()


async def test_keys_are_made_restricted_rotated_and_revoked(either, gateway):
    owner = either.client(gateway.url, api_key=None)
    account = await either(owner.auth.register, EMAIL, PASSWORD, username="ada")
    assert (await either(owner.auth.login, "ada", PASSWORD)).id == account.id

    made = await either(owner.keys.create, "camera", scopes=["detect:image"], daily_limit=5, expires_in=3600)
    holder = either.client(gateway.url, api_key=made.key)
    assert (await either(holder.detections.create, JPEG)).key_id == made.id
    with pytest.raises(PermissionDeniedError) as caught:
        await either(holder.detections.create, WAV)
    assert caught.value.code == "missing_scope"
    assert made.key not in repr(made)

    changed = await either(owner.keys.update, made.id, name="camera 2", daily_limit=None)
    assert (changed.name, changed.daily_limit, changed.scopes) == ("camera 2", None, ("detect:image",))
    assert await either(owner.keys.retrieve, made.id) == changed

    rotated = await either(owner.keys.rotate, made.id, overlap_s=0)
    assert rotated.rotated_from == made.id
    with pytest.raises(AuthenticationError):
        await either(holder.detections.create, JPEG)
    assert (await either(either.client(gateway.url, api_key=rotated.key).detections.create, JPEG)).verdict == "REAL"
    await either(owner.keys.revoke, rotated.id)
    await either(owner.keys.revoke, rotated.id)
    with pytest.raises(AuthenticationError):
        await either(either.client(gateway.url, api_key=rotated.key).detections.create, JPEG)
    living = await either.all(owner.keys.list())
    every = await either.all(owner.keys.list(revoked=True, limit=1))
    assert {one.id for one in every} - {one.id for one in living} >= {rotated.id}
    with pytest.raises(BadRequestError) as refused:
        await either(owner.keys.create, "")
    assert refused.value.errors


async def test_sessions_last_end_and_are_listed(either, gateway):
    kept = []
    client = either.client(gateway.url, api_key=None, on_tokens=kept.append)
    account = await either(client.auth.register, EMAIL, PASSWORD)
    with pytest.raises(ConflictError):
        await either(client.auth.register, EMAIL, PASSWORD)
    with pytest.raises(AuthenticationError):
        await either(client.auth.login, EMAIL, "wrong horse battery")
    await either(client.auth.login, EMAIL, PASSWORD)

    assert (await either(client.account.retrieve)).email == EMAIL
    assert (await either(client.account.update, username="ada")).username == "ada"
    (session,) = await either.all(client.account.sessions())
    assert session.current
    assert session.client.startswith("bonafide-client")

    spoiled = Tokens("not.a.token", kept[-1].refresh_token)
    other = either.client(gateway.url, api_key=None, tokens=spoiled, on_tokens=kept.append)
    answers = await asyncio.gather(*(either(other.account.retrieve) for _ in range(8)))
    assert {one.id for one in answers} == {account.id}
    assert len(kept) == 2
    await either(other.auth.refresh)
    assert len(kept) == 3

    async with either.opened(other.account.export) as stream:
        kinds = [json.loads(line)["kind"] for line in await either.all(stream.lines())]
    assert kinds[-1] == "end"
    await either(other.account.change_password, PASSWORD, "another horse battery")
    await either(other.auth.logout)
    assert other.tokens is None
    assert kept[-1] is None
    with pytest.raises(AuthenticationError):
        await either(other.account.retrieve)
    with pytest.raises(AuthenticationError):
        await either(client.account.retrieve)


async def test_ways_in_are_listed_and_an_account_ends(either, gateway):
    client = either.client(gateway.url, api_key=None)
    account = await either(client.auth.register, EMAIL, PASSWORD, username="ada")
    await either(client.auth.login, EMAIL, PASSWORD)
    await either(client.auth.logout_everywhere)
    await either(client.auth.login, "ada", PASSWORD)
    await either(client.auth.forgot_password, EMAIL)
    await either(client.auth.resend_verification, EMAIL)
    with pytest.raises(BadRequestError):
        await either(client.auth.reset_password, "no-such-token", PASSWORD)
    with pytest.raises(BadRequestError):
        await either(client.auth.verify_email, "no-such-token")
    assert len(await either.all(client.account.sessions(limit=1))) == 1
    with pytest.raises(NotFoundError):
        await either(client.account.close_session, account.id)
    assert await either(client.account.passkeys) == ()
    assert await either(client.account.identities) == ()
    assert await either(client.auth.providers) == ()
    with pytest.raises(NotFoundError):
        await either(client.account.rename_passkey, account.id, "My phone")
    with pytest.raises(NotFoundError):
        await either(client.account.remove_passkey, account.id)
    with pytest.raises(NotFoundError):
        await either(client.account.unlink_identity, "https://issuer.example.org", "somebody")
    for redeem in (client.auth.exchange, client.account.link_identity):
        with pytest.raises(ApiError) as unknown:
            await either(redeem, "x" * 16, "y" * 43)
        assert unknown.value.status in {400, 401}
    await either(client.account.delete)
    with pytest.raises(AuthenticationError):
        await either(client.auth.login, EMAIL, PASSWORD)


async def test_admins_administer(either, gateway, database):
    member = either.client(gateway.url, api_key=None)
    member_id = (await either(member.auth.register, EMAIL, PASSWORD)).id
    await either(member.auth.login, EMAIL, PASSWORD)
    key = await either(member.keys.create, "camera")
    admin = either.client(gateway.url, api_key=None)
    admin_id = (await either(admin.auth.register, "root@example.org", PASSWORD)).id
    await database.execute("UPDATE accounts SET role = 'super_admin' WHERE id = %s", (admin_id,))
    await either(admin.auth.login, "root@example.org", PASSWORD)
    administer = admin.admin

    with pytest.raises(PermissionDeniedError):
        await either(member.admin.plans.list)
    (found,) = await either.all(administer.users.list(search="ada@", limit=1))
    assert (found.id, found.status, found.limits.daily_limit) == (member_id, "active", None)
    assert {one.id for one in await either.all(administer.users.list(limit=1))} >= {member_id, admin_id}

    plan = await either(administer.plans.create, "press", "Press", daily_limit=7)
    assert (plan.daily_limit, plan.daily_bytes) == (7, None)
    assert (await either(administer.plans.replace, "press", "The press", burst_limit=3)).daily_limit is None
    assert (await either(administer.plans.retrieve, "press")).title == "The press"
    changed = await either(administer.users.update, member_id, plan="press", daily_limit=9)
    assert (changed.plan, changed.limits.daily_limit) == ("press", 9)
    assert (await either(member.usage)).day.limit == 9
    with pytest.raises(ConflictError):
        await either(administer.plans.delete, "press")
    await either(administer.users.update, member_id, plan="standard")
    await either(administer.plans.delete, "press")
    assert "press" not in {one.name for one in await either(administer.plans.list)}

    assert key.id in {one.id for one in await either.all(administer.users.keys(member_id))}
    await either(administer.users.revoke_key, member_id, key.id)
    assert key.id not in {one.id for one in await either.all(administer.users.keys(member_id))}
    assert (await either(administer.users.suspend, member_id, "Too loud.")).status == "suspended"
    with pytest.raises((AuthenticationError, PermissionDeniedError)):
        await either(member.usage)
    assert (await either(administer.users.activate, member_id)).status == "active"
    assert (await either(administer.users.retrieve, member_id)).status_reason is None

    actions = [event.action for event in await either.all(administer.audit(target=str(member_id), limit=2))]
    assert actions[:2] == ["account.activate", "account.suspend"]
    waiting = await either.all(administer.tasks.list(queue="mail"))
    for task in waiting:
        assert await either(administer.tasks.retrieve, task.id) == task
    with pytest.raises(NotFoundError):
        await either(administer.tasks.retrieve, 999_999)
