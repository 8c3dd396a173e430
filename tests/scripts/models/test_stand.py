import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest

from bentos.contract import DETECT_PATH, HEADER_CALLER, HEADER_MODEL, Detection, Modality
from scripts.models.errors import ModelsError, RefusedError, UnknownVersionError
from scripts.models.repository import Repository
from scripts.models.stand import stand
from scripts.stack import sessions
from scripts.stack.settings import CHECKOUT, load_settings

SETTINGS = load_settings({})


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A copy in which image_cnn has a second version, with other weights' digest and nothing pointing to it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    here = Repository(tmp_path / "models")
    shutil.copytree(tmp_path / "models" / "image_cnn" / "1", tmp_path / "models" / "image_cnn" / "2")
    card = msgspec.structs.replace(here.card("image_cnn", 1), version=2)
    (tmp_path / "models" / "image_cnn" / "2" / "card.json").write_bytes(msgspec.json.encode(card))
    return here


def files(repository):
    return {file: file.stat().st_mtime_ns for file in repository.root.rglob("*")}


def left_over(folder: Path):
    """Folders of stands below a folder."""
    return [each.name for each in folder.glob("bonafide-stand-*")]


@pytest.mark.integration
async def test_two_versions_stand_side_by_side_before_a_real_bento(repository, tmp_path):
    before = files(repository)
    picture = (CHECKOUT / "scripts" / "demo" / "media" / "forged.jpg").read_bytes()
    answers = {}

    standing = stand(repository, [("image_cnn", 1), ("image_cnn", 2)], SETTINGS, bentos=[Modality.IMAGE])
    # In a thread, for a stand has event loops of its own.
    here = await asyncio.to_thread(standing.__enter__)
    try:
        for version in (1, 2):
            headers = {
                "authorization": f"Bearer {here.token}",
                HEADER_MODEL: "image_cnn",
                HEADER_CALLER: here.caller_of("image_cnn", version),
            }
            async with (
                aiohttp.ClientSession() as session,
                session.post(here.bentos[Modality.IMAGE] + DETECT_PATH, data=picture, headers=headers) as response,
            ):
                answers[version] = msgspec.json.decode(await response.read(), type=Detection)
        assert here.memory() > 0
        with pytest.raises(ModelsError, match="does not stand here"):
            here.caller_of("image_cnn", 3)
    finally:
        await asyncio.to_thread(standing.__exit__, None, None, None)

    assert {version: answer.version for version, answer in answers.items()} == {1: 1, 2: 2}
    assert answers[1].p_fake == answers[2].p_fake > 0.5
    assert files(repository) == before
    assert left_over(tmp_path) == []
    assert sessions.created(here.pid) is None


@pytest.mark.integration
def test_what_runs_writes_nothing_into_the_version_that_it_stands_for(repository):
    shutil.rmtree(repository.root / "text_transformer" / "1" / "__pycache__", ignore_errors=True)
    before = files(repository)

    with stand(repository, [("text_transformer", 1)], SETTINGS):
        pass

    assert files(repository) == before


@pytest.mark.integration
def test_nothing_is_left_after_an_error(repository, tmp_path):
    pids = []

    def fail_in_it():
        with stand(repository, [("video_lstm", 1)], SETTINGS) as here:
            pids.extend(process.pid for process in here.processes())
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match="in the block"):
        fail_in_it()
    assert len(pids) > 2
    assert [pid for pid in pids if sessions.created(pid) is not None] == []
    assert left_over(tmp_path) == []


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_nothing_is_left_after_a_signal(repository, tmp_path, number):
    pids = []

    def wait_in_it():
        with stand(repository, [("video_lstm", 1)], SETTINGS) as here:
            pids.extend(process.pid for process in here.processes())
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
            time.sleep(30)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        wait_in_it()
    assert len(pids) > 2
    assert [pid for pid in pids if sessions.created(pid) is not None] == []
    assert left_over(tmp_path) == []


@pytest.mark.integration
def test_nothing_runs_on_where_the_command_is_killed(repository, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from scripts.models.repository import Repository;"
        "from scripts.models.stand import stand; from scripts.stack.settings import load_settings\n"
        "with stand(Repository(Path(sys.argv[1])), [('video_lstm', 1)], load_settings({})) as here:\n"
        "    print(*(each.pid for each in here.processes()), flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(repository.root)], stdout=subprocess.PIPE, env=environment, cwd=CHECKOUT
    ) as command:
        pids = [int(word) for word in command.stdout.readline().split()]
        command.kill()
    until = time.monotonic() + 60
    while any(sessions.created(pid) is not None for pid in pids) and time.monotonic() < until:
        time.sleep(0.1)

    assert len(pids) > 2
    assert [pid for pid in pids if sessions.created(pid) is not None] == []


@pytest.mark.integration
def test_what_cannot_be_served_is_told_in_tritons_words(repository, tmp_path):
    (repository.root / "image_cnn" / "2" / "model.onnx").write_bytes(b"no graph")

    with (
        pytest.raises(RefusedError, match=r"image_cnn:2 cannot be served"),
        stand(repository, [("image_cnn", 2)], SETTINGS),
    ):
        pytest.fail("it stands")
    assert left_over(tmp_path) == []


def test_what_cannot_stand_is_refused_before_anything_is_started(repository):
    with pytest.raises(UnknownVersionError), stand(repository, [("image_cnn", 9)], SETTINGS):
        pytest.fail("it stands")
    with (
        pytest.raises(RefusedError, match="cannot judge media of the kind audio"),
        stand(repository, [("image_cnn", 1)], SETTINGS, bentos=[Modality.AUDIO]),
    ):
        pytest.fail("it stands")
