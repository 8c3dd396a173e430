"""One built bento for all services: it builds, holds what it needs, and each service starts from it."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import yaml

from scripts.stack.ports import free_ports
from scripts.stack.settings import CHECKOUT
from tests.fixtures.detectors import bento_environment


def test_its_packages_are_those_of_the_constraints():
    packages = yaml.safe_load((CHECKOUT / "bentofile.yaml").read_text())["python"]["packages"]
    pins = set((CHECKOUT / "requirements" / "constraints.txt").read_text().lower().replace("_", "-").split())
    wanted = {re.sub(r"\[.*\]", "", package).lower().replace("_", "-") for package in packages}
    assert wanted - pins == set()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a freshly built bento."""
    home = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "-f", "bentofile.yaml", "--version", "test"],
        cwd=CHECKOUT,
        env={**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return home / "bentos" / "bonafide" / "test"


@pytest.mark.integration
def test_it_holds_the_detectors_and_the_face_finder_and_nothing_else(built):
    sources = built / "src"
    inside = {str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()}
    assert {f"bentos/{name}.py" for name in ("image", "video", "audio", "contract/__init__")} <= inside
    assert {f"bentos/weights/{net}.onnx" for net in ("pnet", "rnet", "onet")} <= inside
    assert "bentos/media/pool.py" in inside
    assert {name.split("/")[0] for name in inside} == {"bentos", "bentofile.yaml"}


@pytest.mark.integration
@pytest.mark.parametrize("service", ["bonafide:test", "bentos.video:VideoDetector"])
def test_its_services_start_from_it(built, service, tmp_path):
    [port] = free_ports(1)
    command = [sys.executable, "-P", "-m", "bentoml", "serve", service, "--port", str(port)]
    if ":test" not in service:
        command += ["--working-dir", str(built / "src")]
    environment = {**bento_environment(tmp_path, "127.0.0.1:1"), "BENTOML_HOME": str(built.parents[2])}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        assert wait_for(f"http://127.0.0.1:{port}/livez", 60) == 200, (tmp_path / "log").read_text()
        assert status_of(f"http://127.0.0.1:{port}/models") == 401
        assert status_of(f"http://127.0.0.1:{port}/readyz") == 503
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a Bento with its worker, which BentoML puts in a group of its own."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=20)
    for member in alive:
        member.kill()
    process.wait(10)
    assert not alive


def status_of(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310  # Our own process.
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def wait_for(url: str, seconds: float) -> int | None:
    until = time.monotonic() + seconds
    while (status := status_of(url)) is None and time.monotonic() < until:
        time.sleep(0.1)
    return status
