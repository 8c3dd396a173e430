"""The history is added to and read whatever a crash has left in it."""

import errno

import pytest

from scripts.models import history
from scripts.models.errors import ModelsError
from scripts.models.history import HISTORY_FILE
from scripts.models.repository import Repository


def test_an_event_after_a_torn_line_is_kept_and_the_torn_one_left_out(tmp_path):
    history.append(tmp_path, history.new_event("stage", "image_cnn", 1))
    with (tmp_path / HISTORY_FILE).open("ab") as file:
        file.write(b'{"at":"2026-11-21T12:00:00.000+00:00","who":"\xc3')

    history.append(tmp_path, history.new_event("stage", "image_cnn", 2))
    history.append(tmp_path, history.new_event("stage", "image_cnn", 3))

    assert [event.version for event in history.read(tmp_path)] == [1, 2, 3]
    assert Repository(tmp_path).next_version("image_cnn") == 4


def test_a_whole_line_that_is_no_event_is_told_with_its_number(tmp_path):
    history.append(tmp_path, history.new_event("stage", "image_cnn", 1))
    with (tmp_path / HISTORY_FILE).open("ab") as file:
        file.write(b'{"at":"now"}\n')

    with pytest.raises(ModelsError, match=r"Line 2 of .* is no event"):
        history.read(tmp_path)


def test_a_disk_that_is_full_is_told(tmp_path):
    (tmp_path / HISTORY_FILE).symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left") as told:
        history.append(tmp_path, history.new_event("stage", "image_cnn", 1))

    assert told.value.errno == errno.ENOSPC


def test_what_a_killed_deletion_left_is_no_model(tmp_path):
    (tmp_path / ".image_cnn.retired").mkdir()
    (tmp_path / ".image_cnn.retired" / "config.pbtxt").touch()

    assert Repository(tmp_path).models() == ()
