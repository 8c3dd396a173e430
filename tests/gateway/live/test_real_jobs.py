"""A job that a worker does, followed by the Python client."""

import pytest

from bentos.contract import Modality, Progress, StretchScore
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.clients import Either
from tests.fixtures.gateway import MP4, make_account
from tests.gateway.jobs.conftest import working

pytestmark = pytest.mark.integration

PROGRESS = tuple(
    Progress(
        done=done,
        total=30,
        unit="frames",
        elapsed_s=done / 10,
        remaining_s=3 - done / 10,
        scores=(StretchScore(start_s=done - 10, end_s=done, p_fake=0.9),),
    )
    for done in (10, 20, 30)
)


async def test_a_film_is_followed_from_the_hand_over_to_its_verdict(
    start_gateway, gateway_settings: GatewaySettings, bentos: dict[Modality, Script], database, either: Either
):
    gateway = await start_gateway()
    client = either.client(gateway.url, api_key=await make_account(database))
    bentos[Modality.VIDEO].p_fake = 0.9
    bentos[Modality.VIDEO].pause_s = 0.1
    bentos[Modality.VIDEO].progress = PROGRESS
    job = await either(client.jobs.create, MP4, filename="film.mp4")
    async with working(gateway_settings):
        events = await either.all(client.jobs.follow(job.id))
        ended = await either(client.jobs.wait, job.id, timeout=10)

    assert [one.id for one in events] == list(range(1, len(events) + 1))
    kinds = [one.event for one in events]
    assert (kinds[:2], kinds[-1]) == (["queued", "running"], "succeeded")
    progress = [one.data for one in events if one.event == "progress"]
    assert progress
    assert progress[-1]["total"] == 30
    assert [score for one in progress for score in one["scores"]]
    assert events[-1].data["verdict"] == "FAKE"
    assert events[-1].data["detection_id"] == str(ended.detection_id)
    assert (ended.status, ended.verdict) == ("succeeded", "FAKE")
    assert await either.all(client.jobs.follow(job.id, after=len(events))) == []
