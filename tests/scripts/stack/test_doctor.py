import socket
import sys
from pathlib import Path

import pytest

from scripts.stack.doctor import Severity, examine
from scripts.stack.folder import DataFolder
from scripts.stack.ports import free_ports
from scripts.stack.settings import StackSettings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    variables = load_settings({}).ports
    ports = {variable: str(port) for variable, port in zip(variables, free_ports(len(variables)), strict=True)}
    return load_settings({**ports, "BONAFIDE_HOME": str(tmp_path / "home")})


def wrongs(settings: StackSettings) -> list[str]:
    return [finding.text for finding in examine(settings) if finding.severity is Severity.WRONG]


def test_nothing_is_wrong_where_everything_is_installed(settings: StackSettings) -> None:
    assert wrongs(settings) == []


def test_a_missing_triton_is_told_with_what_to_do(settings: StackSettings) -> None:
    (wrong,) = wrongs(settings.model_copy(update={"triton_python": Path("/no/such/python")}))

    assert "Triton's environment does not answer" in wrong
    assert "make up" in wrong


def test_a_python_without_triton_is_told(settings: StackSettings) -> None:
    (wrong,) = wrongs(settings.model_copy(update={"triton_python": Path(sys.executable)}))

    assert "no Python 3.11 with nvidia-pytriton" in wrong


def test_a_port_in_use_is_told(settings: StackSettings) -> None:
    with socket.create_server(("127.0.0.1", settings.image_port)):
        (wrong,) = wrongs(settings)

    assert "BONAFIDE_IMAGE_PORT" in wrong


def test_a_secret_that_others_can_read_is_told(settings: StackSettings) -> None:
    folder = DataFolder(settings.home)
    folder.create()
    folder.secret("bento-token")
    (folder.secrets / "bento-token").chmod(0o644)

    (wrong,) = wrongs(settings)

    assert "bento-token can be read by others" in wrong


def test_a_missing_repository_is_told(settings: StackSettings) -> None:
    (wrong,) = wrongs(settings.model_copy(update={"model_repository": settings.home / "none"}))

    assert "serving.json cannot be read" in wrong
