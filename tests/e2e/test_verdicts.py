"""The platform as its users meet it: real media of each kind in, verdicts out, counted, kept and refunded."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import onnxruntime
import psutil
import pytest
from PIL import Image

from bentos.cards import CropInput, read_card
from bentos.media.image import prepare_image
from bentos.media.options import ImageOptions
from bentos.media.prepared import CropShape
from scripts.stack.ports import free_ports
from scripts.stack.settings import CHECKOUT
from tests.fixtures.media import png_bomb
from tests.fixtures.stack import Stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MEDIA = CHECKOUT / "scripts" / "demo" / "media"
PASSWORD = "correct horse battery staple"
KINDS = [("image", "jpg"), ("video", "mp4"), ("audio", "wav"), ("text", "txt")]
OF_OLD = KINDS[:3]
"""What the key-and-quota API knows, and what a folder is searched for where no kind is named."""


class Account:
    """An ordinary account of the platform, made over HTTP."""

    def __init__(self, http: httpx.Client, email: str) -> None:
        self.http = http
        answer = self.http.post("/signup", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.key = answer.json()["api_key"]
        self.http.headers["x-api-key"] = self.key

    def detect(self, name: str, media: bytes) -> httpx.Response:
        return self.http.post("/v1/detections", files={"file": (name, media)})

    def used(self) -> int:
        return self.http.get("/usage").json()["requests_today"]


@pytest.fixture
def account(stack: Stack) -> Iterator[Account]:
    with httpx.Client(base_url=stack.url, timeout=120) as http:
        yield Account(http, f"{uuid4().hex}@example.org")


@pytest.mark.parametrize(("modality", "suffix"), KINDS)
def test_forged_and_genuine_media_are_told_apart(account: Account, modality: str, suffix: str) -> None:
    answers = {}
    for kind in ("genuine", "forged"):
        response = account.detect(f"{kind}.{suffix}", (MEDIA / f"{kind}.{suffix}").read_bytes())
        assert response.is_success, response.text
        answers[kind] = response.json()
    genuine, forged = answers["genuine"], answers["forged"]

    assert forged["verdict"] == "FAKE"
    assert genuine["verdict"] == "REAL"
    for answer in answers.values():
        card = read_card(
            (CHECKOUT / "model_repository" / answer["model"] / str(answer["version"]) / "card.json").read_bytes()
        )
        assert answer["modality"] == modality
        assert answer["digest"] == card.digest
        assert answer["confidence"] == round(100 * max(answer["p_fake"], 1 - answer["p_fake"]), 2)
        assert answer["partial"] is False
    assert account.used() == 2
    kept = account.http.get("/v1/detections").json()["data"]
    assert [row["id"] for row in kept] == [forged["id"], genuine["id"]]


@pytest.mark.parametrize("kind", ["genuine", "forged"])
def test_the_answer_is_that_of_the_weights(account: Account, kind: str) -> None:
    media = (MEDIA / f"{kind}.jpg").read_bytes()
    answer = account.detect("a.jpg", media).json()

    folder = CHECKOUT / "model_repository" / answer["model"] / str(answer["version"])
    wanted = read_card((folder / "card.json").read_bytes()).input
    assert isinstance(wanted, CropInput)
    shape = CropShape(
        height=wanted.height, width=wanted.width, resize_filter=wanted.resize_filter, margin=wanted.margin
    )
    prepared = prepare_image(media, ImageOptions(shape=shape))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    [scores] = session.run(["p_fake"], {"crop": prepared.crops})

    assert answer["evidence"]["faces_found"] == 1
    assert answer["p_fake"] == pytest.approx(float(np.max(scores)), abs=1e-4)


@pytest.mark.parametrize(("path", "suffix"), [(f"/predict_{modality}", suffix) for modality, suffix in OF_OLD])
def test_the_key_and_quota_api_gives_the_same_verdicts(account: Account, path: str, suffix: str) -> None:
    for kind, prediction in (("genuine", "REAL"), ("forged", "FAKE")):
        with (MEDIA / f"{kind}.{suffix}").open("rb") as file:
            answer = account.http.post(path, files={"file": file})

        assert answer.status_code == 200, answer.text
        assert answer.json()["prediction"] == prediction
        assert 50 <= answer.json()["confidence"] <= 100


BAD = {
    "empty": (b"", "a.jpg", 400, "empty_file"),
    "text called mp4": (b"These are words and no film at all. " * 100, "a.mp4", 415, "unsupported_media_type"),
    "truncated picture": ((MEDIA / "genuine.jpg").read_bytes()[:40_000], "a.jpg", 400, "unreadable_media"),
    "truncated film": ((MEDIA / "genuine.mp4").read_bytes()[:3_000], "a.mp4", 400, "unreadable_media"),
    "bomb": (png_bomb(), "a.png", 413, "too_many_pixels"),
    "too large": (b"\xff\xd8\xff\xe0" + bytes(11 * 1024 * 1024), "a.jpg", 413, "media_too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_media_get_a_clear_code_and_cost_nothing(account: Account, name: str) -> None:
    media, filename, status, code = BAD[name]

    answer = account.detect(filename, media)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]
    assert account.used() == 0


def test_a_wrong_extension_over_right_bytes_is_accepted(account: Account) -> None:
    answer = account.detect("film.mp4", (MEDIA / "genuine.jpg").read_bytes())

    assert answer.is_success, answer.text
    assert answer.json()["modality"] == "image"


def test_without_or_with_a_bad_key_nothing_happens(stack: Stack) -> None:
    files = {"file": ("a.jpg", b"\xff\xd8\xff")}
    for headers in ({}, {"x-api-key": "sk-live-" + "0" * 48}, {"authorization": "Bearer nothing"}):
        answer = httpx.post(f"{stack.url}/v1/detections", headers=headers, files=files)
        assert answer.status_code == 401, answer.text


def test_no_file_is_said(account: Account) -> None:
    answer = account.http.post("/v1/detections", data={"modality": "image"})

    assert answer.status_code == 400
    assert account.used() == 0


def small_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (96, 96), (120, 90, 60)).save(file, "JPEG")
    return file.getvalue()


def test_the_hundred_and_first_of_a_day_is_refused(account: Account) -> None:
    picture = small_picture()
    assert {account.detect("a.jpg", picture).status_code for _ in range(100)} == {200}

    refused = account.detect("a.jpg", picture)

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert '"daily";r=0' in refused.headers["ratelimit"]
    assert account.used() == 100


def test_while_triton_is_away_calls_are_told_to_come_back_and_not_charged(stack: Stack, account: Account) -> None:
    picture = small_picture()
    triton = psutil.Process(stack.state().processes["triton"].pid)
    os.kill(triton.pid, signal.SIGKILL)

    answer = account.detect("a.jpg", picture)

    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert account.used() == 0
    wait_until(lambda: account.detect("a.jpg", picture).is_success, 60)


def test_the_command_line_judges_a_folder(stack: Stack) -> None:
    answer = stack.bonafide("detect", str(MEDIA), "--json", "--url", stack.url)

    assert answer.returncode == 0, answer.stderr
    verdicts = {Path(row["file"]).name: row["verdict"] for row in map(json.loads, answer.stdout.splitlines())}
    assert verdicts == {
        f"{kind}.{suffix}": verdict
        for kind, verdict in (("genuine", "REAL"), ("forged", "FAKE"))
        for _, suffix in OF_OLD
    }
    # A folder's texts are judged where they are asked for: most folders have some that nobody means.
    texts = stack.bonafide("detect", str(MEDIA), "--modality", "text", "--json", "--url", stack.url)
    assert texts.returncode == 0, texts.stderr
    found = {Path(row["file"]).name: row["verdict"] for row in map(json.loads, texts.stdout.splitlines())}
    assert {"genuine.txt": "REAL", "forged.txt": "FAKE"}.items() <= found.items()


def test_the_requests_of_the_readme_work_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    readme = (CHECKOUT / "README.md").read_text()
    blocks = re.findall(r"```(sh|python)\n(.*?)```", readme, re.DOTALL)
    requests = [(language, block) for language, block in blocks if "127.0.0.1:8000" in block]
    assert [language for language, _ in requests] == ["sh", "python", "sh", "sh"]
    (port,) = free_ports(1)
    for language, block in requests:
        ours = block.replace("http://127.0.0.1:8000", stack.url).replace(".bonafide/api-key", str(stack.folder.api_key))
        ours = ours.replace("9099", str(port))
        script = tmp_path / f"request.{language}"
        script.write_text(ours)
        command = ["bash", "-eu", str(script)] if language == "sh" else [sys.executable, str(script)]
        answer = subprocess.run(
            command, cwd=CHECKOUT, env=stack.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert "FAKE" in answer.stdout or "sk-live-" in answer.stdout, answer.stdout
