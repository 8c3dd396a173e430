"""The services as they run: Bento processes in front of a real Triton, asked over HTTP."""

import asyncio
import contextlib
import dataclasses
import io
import os
import signal
import subprocess
import sys
from datetime import timedelta

import aiohttp
import msgspec
import psutil
import pytest
from PIL import Image

from bentos.contract import Detection, ErrorBody, Modality, ModelList, Reference, mint_reference
from scripts.stack.ports import free_ports
from scripts.stack.settings import CHECKOUT
from tests.fixtures import media
from tests.fixtures.detectors import REFERENCE_KEY, RunningBento, bento_environment, running_bento
from tests.fixtures.triton import running_triton

pytestmark = pytest.mark.integration


async def post(bento: RunningBento, body: bytes, **headers: str) -> tuple[int, bytes, str | None]:
    given = {**bento.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        aiohttp.ClientSession(headers=given) as session,
        session.post(f"{bento.url}/detect", data=io.BytesIO(body)) as response,
    ):
        return response.status, await response.read(), response.headers.get("retry-after")


async def detected(bento: RunningBento, body: bytes, **headers: str) -> Detection:
    status, answer, _ = await post(bento, body, **headers)
    assert status == 200, answer
    return msgspec.json.decode(answer, type=Detection)


async def refused(bento: RunningBento, body: bytes, **headers: str) -> tuple[int, str]:
    status, answer, _ = await post(bento, body, **headers)
    return status, msgspec.json.decode(answer, type=ErrorBody).code


async def get(bento: RunningBento, path: str, *, token: bool = True) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(headers=bento.headers if token else {}) as session,
        session.get(bento.url + path) as response,
    ):
        return response.status, await response.read()


async def wait_for_readiness(bento: RunningBento, status: int) -> bool:
    for _ in range(100):
        if (await get(bento, "/readyz", token=False))[0] == status:
            return True
        await asyncio.sleep(0.2)
    return False


async def test_a_picture_gets_a_verdict(image_bento):
    detection = await detected(image_bento, media.encoded(media.with_faces(260)), x_request_id="abc")
    assert (detection.modality, detection.model) == (Modality.IMAGE, "image_cnn")
    assert detection.digest.startswith("sha256:")
    assert 0 <= detection.p_fake <= 1
    assert detection.timings.inference_ms > 0


async def test_a_clip_gets_a_verdict(video_bento):
    detection = await detected(video_bento, media.clip(media.frames_of(media.with_faces(260), 30)))
    assert (detection.modality, detection.model) == (Modality.VIDEO, "video_lstm")


async def test_a_clip_is_judged_by_the_model_of_pictures_and_shows_itself(video_bento):
    clip = media.clip(media.frames_of(media.with_faces(260), 30))
    models = msgspec.json.decode((await get(video_bento, "/models"))[1], type=ModelList).models
    assert [(model.name, model.default) for model in models] == [("video_lstm", True), ("image_cnn", False)]
    asked = {**video_bento.headers, "x-bonafide-model": "image_cnn", "x-bonafide-thumbnail": "1"}
    async with (
        aiohttp.ClientSession(headers=asked) as session,
        session.post(f"{video_bento.url}/detect", data=io.BytesIO(clip)) as response,
    ):
        body, size = await response.read(), int(response.headers["x-bonafide-thumbnail"])
    detection = msgspec.json.decode(body[:-size], type=Detection)
    assert (detection.modality, detection.model) == (Modality.VIDEO, "image_cnn")
    assert Image.open(io.BytesIO(body[-size:])).format == "JPEG"


async def test_a_sound_gets_a_verdict(audio_bento):
    detection = await detected(audio_bento, media.sound(media.tone(5)))
    assert (detection.modality, detection.model) == (Modality.AUDIO, "audio_transformer")


async def test_many_pictures_at_once_get_the_verdicts_that_they_get_alone(image_bento):
    pictures = [media.encoded(media.with_faces(side)) for side in (180, 220, 260, 300)]
    alone = [(await detected(image_bento, picture)).p_fake for picture in pictures]
    together = await asyncio.gather(*(detected(image_bento, pictures[turn % 4]) for turn in range(24)))
    for turn, detection in enumerate(together):
        assert detection.p_fake == pytest.approx(alone[turn % 4], abs=1e-5)


async def test_a_large_medium_goes_by_reference(image_bento):
    picture = media.encoded(media.with_faces(260))
    (image_bento.spool / "upload-1").write_bytes(picture)
    reference = Reference(name="upload-1", size=len(picture))
    token = mint_reference(reference, key=REFERENCE_KEY, lifetime=timedelta(seconds=60))
    referred = await detected(image_bento, b"", x_bonafide_reference=token)
    assert referred.p_fake == pytest.approx((await detected(image_bento, picture)).p_fake, abs=1e-6)


async def test_a_body_too_large_for_memory_gets_a_verdict_and_leaves_nothing(image_bento):
    noisy = media.encoded(media.with_faces(400, width=1800, height=1200), "PNG", compress_level=0)
    assert len(noisy) > 2 * 1024 * 1024
    before = sorted(path.name for path in image_bento.spool.iterdir())
    assert (await detected(image_bento, noisy)).evidence.width == 1800
    assert sorted(path.name for path in image_bento.spool.iterdir()) == before


async def test_bad_input_gets_its_error(image_bento, video_bento, audio_bento):
    assert await refused(image_bento, b"") == (400, "empty_file")
    assert await refused(image_bento, b"a text") == (415, "unsupported_media_type")
    assert await refused(image_bento, media.png_bomb()) == (413, "too_many_pixels")
    assert await refused(image_bento, media.encoded(media.scenery())[:900]) == (400, "unreadable_media")
    assert await refused(image_bento, b"x", x_bonafide_model="nothing") == (404, "unknown_model")
    assert await refused(image_bento, b"x", x_bonafide_reference="forged") == (400, "bad_reference")
    for bento in (video_bento, audio_bento):
        status, _ = await refused(bento, b"a text that calls itself .mp4")
        assert status in {400, 415}


async def test_only_the_token_opens_and_nothing_is_unpickled(image_bento):
    assert await refused(image_bento, b"x", authorization="Bearer wrong") == (401, "unauthorized")
    assert await refused(image_bento, b"x", content_type="application/vnd.bentoml+pickle") == (
        415,
        "unsupported_media_type",
    )
    for path in ("/models", "/models/figures", "/models/image_cnn", "/", "/docs.json", "/schema.json"):
        assert (await get(image_bento, path, token=False))[0] == 401
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await get(image_bento, path, token=False))[0] == 200


async def test_models_and_figures(image_bento):
    models = msgspec.json.decode((await get(image_bento, "/models"))[1], type=ModelList).models
    assert [(model.name, model.default) for model in models] == [("image_cnn", True)]
    await detected(image_bento, media.encoded(media.scenery()))
    figures = (await get(image_bento, "/metrics"))[1].decode()
    assert 'bonafide_bento_step_seconds_count{modality="image",step="inference"}' in figures


async def test_no_secret_is_logged(image_bento):
    await refused(image_bento, b"x", authorization="Bearer wrong-but-secret")
    log = image_bento.log.read_text()
    assert '"event":"ready"' in log
    assert "wrong-but-secret" not in log
    assert image_bento.headers["authorization"].split()[1] not in log


async def test_a_decoding_process_that_is_killed_costs_one_call_at_most(image_bento):
    picture = media.encoded(media.with_faces(260))
    await detected(image_bento, picture)
    children = [
        child
        for child in psutil.Process(image_bento.pid).children(recursive=True)
        if "bentos.media.child" in child.cmdline()
    ]
    assert children
    for child in children:
        child.kill()
    await post(image_bento, picture)
    assert (await detected(image_bento, picture)).p_fake >= 0


async def test_without_triton_calls_are_told_to_come_back_until_it_is_there(triton_settings, tmp_path):
    http, grpc, metrics = free_ports(3)
    mortal = dataclasses.replace(
        triton_settings, folder=tmp_path / "triton", http_port=http, grpc_port=grpc, metrics_port=metrics
    )
    mortal.folder.mkdir()
    picture = media.encoded(media.with_faces(260))
    # What starts a process has an event loop of its own, so it needs a thread of its own.
    with contextlib.ExitStack() as triton, contextlib.ExitStack() as stack:
        await asyncio.to_thread(triton.enter_context, running_triton(mortal))
        start = running_bento(Modality.IMAGE, tmp_path / "bento", mortal.address)
        bento = await asyncio.to_thread(stack.enter_context, start)
        await detected(bento, picture)

        await asyncio.to_thread(triton.close)
        status, answer, retry_after = await post(bento, picture)
        assert (status, msgspec.json.decode(answer, type=ErrorBody).code) == (503, "inference_unavailable")
        assert retry_after == "2"
        # The last good answer counts for two seconds.
        assert await wait_for_readiness(bento, 503)
        assert (await get(bento, "/livez"))[0] == 200

        await asyncio.to_thread(triton.enter_context, running_triton(mortal))
        assert await wait_for_readiness(bento, 200)
        await detected(bento, picture)


def test_a_bento_without_its_secrets_does_not_start(tmp_path):
    environment = bento_environment(tmp_path, "127.0.0.1:1")
    del environment["BONAFIDE_BENTO_TOKEN"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bentoml", "serve", "bentos.image:ImageDetector", "--port", str(free_ports(1)[0])],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode != 0
    assert "bento_token" in said
