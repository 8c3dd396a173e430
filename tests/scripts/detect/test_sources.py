import io

import pytest

from scripts.detect.sources import MissingSourceError, find_sources


def test_folder_yields_its_media_by_name_and_leaves_other_files_out(tmp_path):
    for name in ("b.jpg", "a.MP4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.wav").write_bytes(b"x")

    assert [source.filename for source in find_sources([str(tmp_path)], io.BytesIO(), texts=True)] == ["notes.txt"]
    found = find_sources([str(tmp_path)], io.BytesIO())

    assert [source.filename for source in found] == ["a.MP4", "b.jpg", "c.wav"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path):
    file = tmp_path / "holiday.bin"
    file.write_bytes(b"x")

    (source,) = find_sources([str(file)], io.BytesIO())

    assert source.path == file
    assert source.label == str(file)


def test_standard_input_is_read_once():
    (source,) = find_sources(["-"], io.BytesIO(b"bytes"))

    assert source.file == b"bytes"


def test_a_missing_name_says_so(tmp_path):
    with pytest.raises(MissingSourceError, match="no such file or folder"):
        find_sources([str(tmp_path / "nothing.jpg")], io.BytesIO())


def test_a_folder_without_media_says_so(tmp_path):
    with pytest.raises(MissingSourceError, match="holds no media"):
        find_sources([str(tmp_path)], io.BytesIO())
