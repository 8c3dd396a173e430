import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from scripts.stack.control import ModelError, TritonControl, TritonUnreachableError, Version
from scripts.stack.healing import Watch, stubs, watch_models
from scripts.stack.load_models import LoadSettings, check, load
from scripts.stack.loads import load_listed, load_served
from scripts.stack.ports import free_ports
from scripts.stack.program import StartError
from scripts.stack.repository import served
from scripts.stack.sessions import SHARED_MEMORY
from scripts.stack.triton import Triton, program
from tests.fixtures.triton import running_triton

pytestmark = pytest.mark.integration

IMAGE = Version("image_cnn", 1)
KILLED = 0
"""The grace of a Triton that has no answer to finish: letting go of its models would take it two seconds."""


@pytest.fixture
def own_triton(triton_settings: Triton, tmp_path: Path) -> Iterator[Triton]:
    """A Triton that a test may break, with a repository that it may change and one small model in it."""
    repository = tmp_path / "models"
    shutil.copytree(triton_settings.repository / "video_lstm", repository / "video_lstm")
    shutil.copytree(triton_settings.repository / "video_encoder", repository / "video_encoder")
    route = '{"stable": 1, "canary": null, "shadow": null}'
    (repository / "serving.json").write_text(
        f'{{"defaults": {{"video": "video_lstm"}}, "models": {{"video_lstm": {route}}}}}'
    )
    http, grpc, metrics = free_ports(3)
    folder = tmp_path / "triton"
    folder.mkdir()
    own = replace(
        triton_settings, repository=repository, folder=folder, http_port=http, grpc_port=grpc, metrics_port=metrics
    )
    with running_triton(replace(own, grace_s=KILLED)) as triton:
        yield triton


def pid_of(triton: Triton) -> int:
    """Number of the server process, which its own folder in its command line tells from others."""
    (found,) = [
        process.pid
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "tritonserver"
        and any(str(triton.folder) in word for word in process.info["cmdline"])
    ]
    return found


def serve_two(config: Path) -> None:
    """Have a config.pbtxt name versions 1 and 2."""
    config.write_text(config.read_text().replace("versions: [1]", "versions: [1, 2]"))


async def test_every_served_version_answers(triton_server: Triton) -> None:
    async with triton_server.control() as control:
        for model, numbers in served(triton_server.repository).items():
            for number in numbers:
                await control.ask(Version(model, number), deadline_s=10)


async def test_only_the_key_loads_models(triton_server: Triton) -> None:
    async with TritonControl(triton_server.address, "guessed") as stranger:
        with pytest.raises(ModelError, match="restricted"):
            await stranger.load("image_cnn", deadline_s=10)
        await stranger.ask(IMAGE, deadline_s=10)


async def test_a_version_that_is_not_there_is_a_model_error(triton_server: Triton) -> None:
    async with triton_server.control() as control:
        with pytest.raises(ModelError, match="image_cnn version 99"):
            await control.ask(Version("image_cnn", 99), deadline_s=10)


async def test_nobody_at_the_address(triton_settings: Triton) -> None:
    nobody = replace(triton_settings, grpc_port=free_ports(1)[0])
    async with nobody.control() as control:
        with pytest.raises(TritonUnreachableError):
            await control.live(deadline_s=2)


async def test_loading_from_elsewhere(triton_server: Triton) -> None:
    settings = LoadSettings.model_validate(
        {
            "triton_address": triton_server.address,
            "triton_control_key": triton_server.control_key,
            "model_repository": triton_server.repository,
        }
    )

    await load(settings)
    await check(settings)


async def test_a_model_whose_stub_was_killed_answers_again(own_triton: Triton) -> None:
    pid = pid_of(own_triton)
    told: list[str] = []
    watch = Watch(
        control=own_triton.control,
        pid=lambda: pid,
        served=lambda: served(own_triton.repository),
        restart=lambda: told.append("restart"),
        tell=told.append,
        interval_s=6,
        deadline_s=5,
    )
    watching = asyncio.create_task(watch_models(watch))
    head = Version("video_lstm", 1)
    try:
        async with own_triton.control() as control:
            await asyncio.sleep(1)  # The watch has seen the stubs by then.
            (stub,) = [number for number, instance in stubs(pid).items() if instance.startswith("video_lstm")]
            psutil.Process(stub).kill()
            began = time.monotonic()
            while not told:
                assert time.monotonic() - began < 10
                await asyncio.sleep(0.02)
            noticed = time.monotonic() - began
            while True:
                assert time.monotonic() - began < 30
                try:
                    await control.ask(head, deadline_s=5)
                    break
                except ModelError:
                    await asyncio.sleep(0.05)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    assert noticed < 0.5
    assert told[0] == "video_lstm is loaded anew: its process has died"
    assert "restart" not in told


def test_a_listed_version_that_is_broken_and_that_nobody_serves_keeps_nothing_from_starting(
    triton_settings: Triton, tmp_path: Path
) -> None:
    models, folder = tmp_path / "models", tmp_path / "triton"
    for model in ("video_lstm", "video_encoder"):
        shutil.copytree(triton_settings.repository / model, models / model)
    (models / "serving.json").write_text(
        '{"defaults": {"video": "video_lstm"}, "models": {"video_lstm": {"stable": 1}}}'
    )
    shutil.copytree(models / "video_lstm" / "1", models / "video_lstm" / "2")
    (models / "video_lstm" / "2" / "model.onnx").write_bytes(b"no graph")
    serve_two(models / "video_lstm" / "config.pbtxt")
    folder.mkdir()
    http, grpc, metrics = free_ports(3)
    own = replace(
        triton_settings, repository=models, folder=folder, http_port=http, grpc_port=grpc, metrics_port=metrics
    )

    async def loaded(triton: Triton) -> set[int]:
        async with triton.control() as control:
            return {each.number for each in await control.loaded(deadline_s=10) if each.model == "video_lstm"}

    with running_triton(replace(own, grace_s=KILLED)) as triton:
        assert asyncio.run(loaded(triton)) == {1}


async def test_a_served_version_that_the_file_does_not_list_is_loaded_all_the_same(own_triton: Triton) -> None:
    models = own_triton.repository
    shutil.copytree(models / "video_lstm" / "1", models / "video_lstm" / "2")
    table = models / "serving.json"
    table.write_text('{"defaults": {}, "models": {"video_lstm": {"stable": 2}}}')
    card = models / "video_lstm" / "2" / "card.json"
    card.write_text(card.read_text().replace('"version": 1', '"version": 2', 1))
    async with own_triton.control() as control:
        answering = [model async for model in load_served(control, models, served(models), deadline_s=30)]
        assert set(answering) == {"video_lstm", "video_encoder"}
        assert Version("video_lstm", 2) in await control.loaded(deadline_s=10)


async def test_the_watch_loads_a_version_that_triton_lacks(own_triton: Triton) -> None:
    models = own_triton.repository
    told: list[str] = []
    watch = Watch(
        control=own_triton.control,
        pid=lambda: pid_of(own_triton),
        served=lambda: served(models),
        restart=lambda: told.append("restart"),
        tell=told.append,
        interval_s=0.2,
        deadline_s=5,
    )
    second = Version("video_lstm", 2)
    shutil.copytree(models / "video_lstm" / "1", models / "video_lstm" / "2")
    card = models / "video_lstm" / "2" / "card.json"
    card.write_text(card.read_text().replace('"version": 1', '"version": 2', 1))
    serve_two(models / "video_lstm" / "config.pbtxt")
    route = '{"stable": 2, "previous": 1}'
    (models / "serving.json").write_text(
        f'{{"defaults": {{"video": "video_lstm"}}, "models": {{"video_lstm": {route}}}}}'
    )
    watching = asyncio.create_task(watch_models(watch))
    try:
        async with own_triton.control() as control, asyncio.timeout(90):
            while second not in await control.loaded(deadline_s=5):  # noqa: ASYNC110  # Triton sets no event.
                await asyncio.sleep(0.1)
            await control.ask(second, deadline_s=5)
            await control.ask(Version("video_lstm", 1), deadline_s=5)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert told[0].startswith("video_lstm is loaded anew")
    assert "restart" not in told


async def test_a_version_that_lies_fails_to_load_alone_and_the_old_one_serves_on(own_triton: Triton) -> None:
    models, log = own_triton.repository, own_triton.folder / "log"
    shutil.copytree(models / "video_encoder" / "1", models / "video_lstm" / "2")
    serve_two(models / "video_lstm" / "config.pbtxt")
    # Whatever is written beside the weights makes Triton start a version anew.
    (models / "video_lstm" / "1" / "report.md").write_text("measured")
    async with own_triton.control() as control:
        for _ in range(2):
            with pytest.raises(ModelError, match="video_lstm"):
                await load_listed(control, models, "video_lstm", deadline_s=30)

            await control.ask(Version("video_lstm", 1), deadline_s=10)
    # Where both are started by one load, Triton may end.
    tries = log.read_text().split('loading: video_lstm:2"')[1:]
    assert [part.split("failed to load 'video_lstm' version 2")[0].count("InstanceInitialize") for part in tries] == [
        1,
        1,
    ]


async def test_two_versions_serve_side_by_side(own_triton: Triton) -> None:
    folder = own_triton.repository / "video_lstm"
    shutil.copytree(folder / "1", folder / "2")
    config = folder / "config.pbtxt"
    serve_two(config)
    async with own_triton.control() as control:
        await control.load("video_lstm", deadline_s=30)

        await control.ask(Version("video_lstm", 1), deadline_s=10)
        await control.ask(Version("video_lstm", 2), deadline_s=10)


def test_a_start_that_cannot_serve_says_why_and_leaves_nothing(triton_settings: Triton, tmp_path: Path) -> None:
    folder = tmp_path / "triton"
    folder.mkdir()
    broken = replace(triton_settings, folder=folder, repository=tmp_path / "none")
    (tmp_path / "none").mkdir()

    with pytest.raises(StartError, match=r"serving\.json cannot be read"), running_triton(broken):
        pytest.fail("it started")

    assert list(SHARED_MEMORY.glob(f"{broken.shared_memory_prefix}*")) == []


def test_no_secret_of_ours_is_in_its_environment(triton_settings: Triton) -> None:
    given = program(triton_settings, {"PATH": os.environ["PATH"]}).environment

    assert not [name for name in given if name.startswith("BONAFIDE_")]
