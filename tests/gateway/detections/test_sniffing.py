import pytest

from bentos.contract import Modality
from gateway.detections.sniffing import Sniffed, settle_modality, sniff
from gateway.errors import UnsupportedMediaError

FTYP = b"\x00\x00\x00\x20ftyp"


@pytest.mark.parametrize(
    ("head", "modality"),
    [
        (b"\xff\xd8\xff\xe0" + b"\x00" * 300, Modality.IMAGE),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 300, Modality.IMAGE),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\x00" * 300, Modality.IMAGE),
        (FTYP + b"isom\x00\x00\x02\x00isomiso2avc1mp41", Modality.VIDEO),
        (FTYP + b"qt  \x00\x00\x02\x00qt  " + b"\x00" * 16, Modality.VIDEO),
        (b"RIFF\x00\x00\x00\x00AVI LIST" + b"\x00" * 300, Modality.VIDEO),
        (b"RIFF\x00\x00\x00\x00WAVEfmt " + b"\x00" * 300, Modality.AUDIO),
        (b"ID3\x04" + b"\x00" * 300, Modality.AUDIO),
        (b"\xff\xfb\x90\x00" + b"\x00" * 300, Modality.AUDIO),
        (b"fLaC" + b"\x00" * 300, Modality.AUDIO),
        (b"OggS\x00\x02" + b"\x00" * 300, Modality.AUDIO),
        (FTYP + b"M4A \x00\x00\x02\x00M4A isomiso2", Modality.AUDIO),
        (b"just some text", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_modality(head: bytes, modality: Modality | None) -> None:
    assert sniff(head).modality is modality


def test_an_unknown_type_goes_to_the_bento_that_was_asked_for() -> None:
    assert settle_modality(Sniffed("application/octet-stream", None), Modality.VIDEO) is Modality.VIDEO


def test_an_unknown_type_that_nothing_was_asked_for_is_refused() -> None:
    with pytest.raises(UnsupportedMediaError):
        settle_modality(Sniffed("application/octet-stream", None), None)


@pytest.mark.parametrize("asked", [Modality.VIDEO, Modality.AUDIO])
def test_a_container_may_hold_either(asked: Modality) -> None:
    assert settle_modality(Sniffed("video/mp4", Modality.VIDEO), asked) is asked


@pytest.mark.parametrize(
    ("media_type", "asked"),
    [("video/mp4", Modality.IMAGE), ("image/png", Modality.VIDEO), ("audio/x-wav", Modality.VIDEO)],
)
def test_what_is_plainly_something_else_is_refused(media_type: str, asked: Modality) -> None:
    with pytest.raises(UnsupportedMediaError, match=media_type):
        settle_modality(Sniffed(media_type, Modality(media_type.partition("/")[0])), asked)
