"""What the services of the Bentos check and declare before they serve."""

import pytest

from bentos.audio import AudioDetector
from bentos.contract import Modality
from bentos.image import ImageDetector
from bentos.video import VideoDetector


def test_a_missing_secret_stops_the_start(monkeypatch):
    monkeypatch.delenv("BONAFIDE_BENTO_TOKEN", raising=False)
    monkeypatch.setenv("BONAFIDE_REFERENCE_KEY", "short-secret")
    with pytest.raises(ValueError, match="bento_token") as failure:
        ImageDetector.inner.check_environment()
    assert "short-secret" not in str(failure.value)


def test_each_service_has_a_port_and_answers_on_the_loopback_only():
    hosts = [service.config["http"] for service in (ImageDetector, VideoDetector, AudioDetector)]
    assert [host["port"] for host in hosts] == [3001, 3002, 3003]
    assert {str(host["host"]) for host in hosts} == {"127.0.0.1"}
    assert [service.inner.modality for service in (ImageDetector, VideoDetector, AudioDetector)] == [
        Modality.IMAGE,
        Modality.VIDEO,
        Modality.AUDIO,
    ]
