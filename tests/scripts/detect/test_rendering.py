import msgspec
from rich.console import Console

from bonafide_client import Detection
from scripts.detect.outcomes import Outcome
from scripts.detect.rendering import as_record, as_table
from scripts.detect.sources import Source
from tests.fixtures.clients import DETECTION

ANSWER = DETECTION | {
    "model": "image_cnn",
    "reasons": [{"code": "low_resolution", "message": "The face is small."}],
}
JUDGED = msgspec.convert(ANSWER, Detection)


def source(label: str) -> Source:
    return Source(label=label, filename=label, path=None, data=b"x")


def shown(*outcomes: Outcome) -> str:
    console = Console(width=80, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(as_table(outcomes))
    return capture.get()


def test_a_row_fits_a_narrow_terminal_and_notes_stand_below():
    text = shown(Outcome(source("scripts/demo/media/forged.jpg"), detection=JUDGED))

    assert "scripts/demo/media/forged.jpg  FAKE        97.31 %  image_cnn:1" in text
    assert "scripts/demo/media/forged.jpg: The face is small. (low_resolution)" in text


def test_a_file_without_a_verdict_says_why():
    text = shown(Outcome(source("a[b].txt"), code="unsupported_media_type", message="Not a medium."))

    assert "no verdict" in text
    assert "a[b].txt: Not a medium. (unsupported_media_type)" in text


def test_records_hold_the_answer_or_the_error():
    record = as_record(Outcome(source("a.jpg"), detection=JUDGED))
    assert record["file"] == "a.jpg"
    assert ANSWER.items() <= record.items()
    assert as_record(Outcome(source("b"), code="timeout", message="late")) == {
        "file": "b",
        "error": {"code": "timeout", "message": "late"},
    }
