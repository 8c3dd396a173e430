"""Both clients against a real gateway: every method, as somebody would use it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from bentos.contract import ErrorBody, Modality
from bonafide_client import (
    AudioEvidence,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    IdempotencyMismatchError,
    ImageEvidence,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    Timeouts,
    Tokens,
    UnavailableError,
    UnsupportedMediaError,
    VideoEvidence,
)
from tests.fixtures.gateway import JPEG, MP4, PASSWORD, WAV, make_account

pytestmark = pytest.mark.integration
EMAIL = "ada@example.org"


@pytest.fixture
async def gateway(start_gateway):
    return await start_gateway()


@pytest.fixture
async def client(either, gateway, database):
    return either.client(gateway.url, api_key=await make_account(database))


async def test_media_are_judged_and_read_back(either, client, bentos, tmp_path):
    bentos[Modality.IMAGE].p_fake = 0.9
    path = tmp_path / 'my "best".jpg'
    path.write_bytes(JPEG)

    image = await either(client.detections.create, path, tags=["holiday", "sea"], client_reference="order 7")
    video = await either(client.detections.create, MP4, filename="clip.mp4", modality="video", model="video_fake")
    audio = await either(client.detections.create, iter([WAV[:100], WAV[100:]]))

    assert (image.verdict, image.confidence, image.filename) == ("FAKE", 90.0, 'my "best".jpg')
    assert isinstance(image.evidence, ImageEvidence)
    assert isinstance(video.evidence, VideoEvidence)
    assert isinstance(audio.evidence, AudioEvidence)
    assert (image.tags, image.client_reference) == (("holiday", "sea"), "order 7")
    assert await either(client.detections.retrieve, image.id) == image

    for filters, expected in {
        "all": ({}, [audio, video, image]),
        "modality": ({"modality": "video"}, [video]),
        "verdict": ({"verdict": "FAKE"}, [image]),
        "status": ({"status": "failed"}, []),
        "tags": ({"tags": ["sea", "holiday"]}, [image]),
        "reference": ({"client_reference": "order 7"}, [image]),
        "digest": ({"sha256": audio.sha256}, [audio]),
        "model": ({"model": "video_fake", "version": 1}, [video]),
        "key": ({"key_id": image.key_id}, [audio, video, image]),
        "since": ({"since": datetime.now(UTC) + timedelta(hours=1)}, []),
        "until": ({"until": datetime.now(UTC) + timedelta(hours=1)}, [audio, video, image]),
        "deleted": ({"deleted": True}, []),
    }.values():
        found = await either.all(client.detections.list(limit=1, **filters))
        assert [one.id for one in found] == [one.id for one in expected], filters


async def test_verdicts_are_labelled_rated_deleted_restored_and_exported(either, client):
    one = await either(client.detections.create, JPEG)
    other = await either(client.detections.create, WAV)

    labelled = await either(client.detections.update, one.id, tags=["sea"])
    assert (labelled.tags, labelled.client_reference) == (("sea",), None)
    labelled = await either(client.detections.update, one.id, client_reference="order 7")
    assert (labelled.tags, labelled.client_reference) == (("sea",), "order 7")
    assert (await either(client.detections.update, one.id, client_reference=None)).client_reference is None

    rated = await either(client.detections.feedback, one.id, "fake", note="I made it.")
    assert (rated.feedback.label, rated.feedback.note) == ("fake", "I made it.")
    stats = await either(client.stats)
    assert (stats.total, stats.real, stats.fake, stats.verdicts.real) == (2, 2, 0, 2)
    assert (stats.rated_count, stats.agreed_count, stats.accuracy) == (1, 0, 0.0)
    assert stats.modalities["image"].total == 1
    assert stats.since + timedelta(days=29) == stats.until
    today = await either(client.stats, since=stats.until, until=stats.until, interval="none")
    assert (today.total, today.interval) == (2, "none")
    await either(client.detections.withdraw_feedback, one.id)
    assert (await either(client.detections.retrieve, one.id)).feedback is None

    async with either.opened(client.detections.export, modality="audio") as stream:
        (line,) = await either.all(stream.lines())
    assert json.loads(line)["id"] == str(other.id)

    await either(client.detections.delete, one.id)
    await either(client.detections.delete, one.id)
    with pytest.raises(NotFoundError):
        await either(client.detections.retrieve, one.id)
    (binned,) = await either.all(client.detections.list(deleted=True))
    assert binned.deleted_at is not None
    assert (await either(client.detections.restore, one.id)).id == one.id
    with pytest.raises(NotFoundError):
        await either(client.detections.thumbnail, one.id)

    usage = await either(client.usage)
    assert (usage.day.used, usage.day.remaining, usage.total) == (2, 98, 2)
    assert usage.bytes.used == len(JPEG) + len(WAV)
    days = await either.all(client.usage_days(group_by="modality", limit=1))
    assert {(day.modality, day.charged, day.bytes) for day in days} == {("image", 1, len(JPEG)), ("audio", 1, len(WAV))}
    assert {model.name for model in (await either(client.models.list)).models} >= {"image_fake", "audio_fake"}


async def test_a_repeated_call_is_one_detection(either, client, bentos):
    first = await either(client.detections.create, JPEG, idempotency_key="mine")
    again = await either(client.detections.create, JPEG, idempotency_key="mine")

    assert again.id == first.id
    assert len(bentos[Modality.IMAGE].calls) == 1
    with pytest.raises(IdempotencyMismatchError):
        await either(client.detections.create, WAV, idempotency_key="mine")
    repeated = await either(client.detections.create, JPEG, reuse=True)
    assert repeated.cached_from == first.id


async def test_a_call_that_is_lost_on_the_way_back_is_not_charged_twice(either, client, bentos):
    bentos[Modality.IMAGE].delay_s = 1.0
    hasty = client.with_options(timeouts=Timeouts(verdict=0.4, total=30))

    detection = await either(hasty.detections.create, JPEG)

    assert detection.verdict == "REAL"
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert (await either(client.usage)).day.used == 1


async def test_refusals_are_errors_of_their_kind(either, gateway, database, bentos):
    poor = either.client(gateway.url, api_key=await make_account(database, daily_limit=1))

    with pytest.raises(UnsupportedMediaError):
        await either(poor.detections.create, b"neither picture nor sound")
    with pytest.raises(BadRequestError) as caught:
        await either(poor.detections.create, b"")
    assert (caught.value.code, bool(caught.value.request_id)) == ("empty_file", True)
    with pytest.raises(NotFoundError):
        await either(poor.detections.retrieve, "019aa000-0000-7000-8000-000000000001")
    with pytest.raises(NotFoundError):
        await either(poor.detections.retrieve, "export/../x")
    bentos[Modality.IMAGE].refusal = (503, ErrorBody(code="overloaded", message="Too many wait."))
    with pytest.raises(UnavailableError):
        await either(poor.detections.create, JPEG)
    bentos[Modality.IMAGE].refusal = None
    await either(poor.detections.create, JPEG)
    with pytest.raises(QuotaExceededError) as spent:
        await either(poor.detections.create, JPEG)
    assert spent.value.retry_after > 0
    with pytest.raises(AuthenticationError) as unknown:
        await either(either.client(gateway.url, api_key="sk-live-" + "0" * 48).usage)
    assert unknown.value.code == "invalid_api_key"


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

    await either(client.auth.login, EMAIL, "another horse battery")
    await either(client.auth.logout_everywhere)
    await either(client.auth.login, "ada", "another horse battery")
    await either(client.auth.forgot_password, EMAIL)
    await either(client.auth.resend_verification, EMAIL)
    with pytest.raises(BadRequestError):
        await either(client.auth.reset_password, "no-such-token", PASSWORD)
    with pytest.raises(BadRequestError):
        await either(client.auth.verify_email, "no-such-token")
    (session,) = await either.all(client.account.sessions(limit=1))
    with pytest.raises(NotFoundError):
        await either(client.account.close_session, account.id)
    await either(client.account.delete)
    with pytest.raises(AuthenticationError):
        await either(client.auth.login, EMAIL, "another horse battery")


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
    waiting = await either.all(administer.jobs.list(queue="mail"))
    for job in waiting:
        assert await either(administer.jobs.retrieve, job.id) == job
    with pytest.raises(NotFoundError):
        await either(administer.jobs.retrieve, 999_999)
