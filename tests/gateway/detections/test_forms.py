import pytest

from gateway.detections.forms import clean_filename


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\film.mp4", "film.mp4"),
        ("odd\x00\x07\nname", "oddname"),
        ("", "upload"),
        ("/", "upload"),
        ("\x00", "upload"),
        ("Straße 😀.png", "Straße 😀.png"),
        ("x" * 1000, "x" * 255),
    ],
)
def test_a_filename_is_a_name_and_nothing_else(sent: str, kept: str) -> None:
    assert clean_filename(sent) == kept
