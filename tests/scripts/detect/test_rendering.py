from rich.console import Console

from scripts.detect.client import Outcome
from scripts.detect.rendering import as_record, as_table
from scripts.detect.sources import Source

DETECTION = {
    "verdict": "FAKE",
    "p_fake": 0.9731,
    "confidence": 97.31,
    "model": "image_cnn",
    "version": 1,
    "reasons": [{"code": "low_resolution", "message": "The face is small."}],
    "unscored": [],
}


def source(label: str) -> Source:
    return Source(label=label, filename=label, path=None, data=b"x")


def shown(*outcomes: Outcome) -> str:
    console = Console(width=80, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(as_table(outcomes))
    return capture.get()


def test_a_row_fits_a_narrow_terminal_and_notes_stand_below():
    text = shown(Outcome(source("scripts/demo/media/forged.jpg"), detection=DETECTION))

    assert "scripts/demo/media/forged.jpg  FAKE        97.31 %  image_cnn:1" in text
    assert "scripts/demo/media/forged.jpg: The face is small. (low_resolution)" in text


def test_a_file_without_a_verdict_says_why():
    text = shown(Outcome(source("a[b].txt"), code="unsupported_media_type", message="Not a medium."))

    assert "no verdict" in text
    assert "a[b].txt: Not a medium. (unsupported_media_type)" in text


def test_records_hold_the_answer_or_the_error():
    assert as_record(Outcome(source("a.jpg"), detection=DETECTION)) == {"file": "a.jpg", **DETECTION}
    assert as_record(Outcome(source("b"), code="timeout", message="late")) == {
        "file": "b",
        "error": {"code": "timeout", "message": "late"},
    }
