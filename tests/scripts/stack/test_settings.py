from pathlib import Path

import pytest
from pydantic import ValidationError

from scripts.stack.settings import load_environment, load_settings


def test_every_port_can_be_set_by_the_variable_that_its_error_would_name() -> None:
    variables = list(load_settings({}).ports)
    settings = load_settings({variable: str(20_000 + place) for place, variable in enumerate(variables)})

    assert [port for _, port in settings.ports.values()] == [20_000 + place for place in range(len(variables))]


def test_the_environment_goes_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("BONAFIDE_IMAGE_PORT=1111\nBONAFIDE_VIDEO_PORT=2222\n")
    monkeypatch.setenv("BONAFIDE_IMAGE_PORT", "3333")
    monkeypatch.delenv("BONAFIDE_VIDEO_PORT", raising=False)

    settings = load_settings(load_environment(tmp_path))

    assert (settings.image_port, settings.video_port) == (3333, 2222)


def test_folders_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    settings = load_settings({"BONAFIDE_HOME": "data", "BONAFIDE_MODEL_REPOSITORY": "models"})

    assert (settings.home, settings.model_repository) == (tmp_path / "data", tmp_path / "models")


@pytest.mark.parametrize("port", ["0", "65536", "many"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ValidationError, match="gateway_port"):
        load_settings({"BONAFIDE_GATEWAY_PORT": port})


def test_a_gateway_on_every_address_is_reached_by_the_local_one() -> None:
    settings = load_settings({"BONAFIDE_GATEWAY_HOST": "0.0.0.0", "BONAFIDE_GATEWAY_PORT": "8123"})  # noqa: S104

    assert settings.gateway_url == "http://127.0.0.1:8123"
