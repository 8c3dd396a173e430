import os
from datetime import timedelta
from pathlib import Path

import pytest

from bentos.contract import Reference, mint_reference
from bentos.errors import BadReferenceError, EmptyMediaError
from bentos.http.spool import open_nameless, open_reference, path_of

KEY = "k" * 40


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(b"moving")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def opened(folder: Path, name: str, size: int, *, key: str = KEY, lifetime_s: float = 60) -> bytes:
    token = mint_reference(Reference(name=name, size=size), key=key, lifetime=timedelta(seconds=lifetime_s))
    with open_reference(token, key=KEY, folder=folder) as referred:
        return referred.path.read_bytes()


def test_a_minted_reference_opens_its_file(spool):
    assert opened(spool, "clip.mp4", 6) == b"moving"


def test_no_descriptor_is_left_open(spool):
    before = len(list(Path("/proc/self/fd").iterdir()))
    opened(spool, "clip.mp4", 6)
    with pytest.raises(BadReferenceError):
        opened(spool, "clip.mp4", 7)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../secret", "/etc/hostname", "sub/clip.mp4", "clip.mp4\0", "gone.mp4"]
)
def test_names_that_lead_elsewhere_are_refused(spool, name):
    with pytest.raises(BadReferenceError):
        opened(spool, name, 6)


def test_a_symbolic_link_is_refused(spool):
    (spool / "link").symlink_to(spool.parent / "secret")
    with pytest.raises(BadReferenceError):
        opened(spool, "link", 6)


def test_what_is_no_regular_file_is_refused(spool):
    os.mkfifo(spool / "pipe")
    (spool / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(BadReferenceError):
            opened(spool, name, (spool / name).stat().st_size)


def test_another_size_is_refused(spool):
    with pytest.raises(BadReferenceError):
        opened(spool, "clip.mp4", 5)


def test_another_key_and_an_expired_reference_are_refused(spool):
    with pytest.raises(BadReferenceError):
        opened(spool, "clip.mp4", 6, key="x" * 40)
    with pytest.raises(BadReferenceError):
        opened(spool, "clip.mp4", 6, lifetime_s=-1)
    with pytest.raises(BadReferenceError), open_reference("nonsense", key=KEY, folder=spool):
        pass


def test_a_missing_spool_folder_is_a_bad_reference(tmp_path):
    with pytest.raises(BadReferenceError):
        opened(tmp_path / "nowhere", "clip.mp4", 6)


def test_an_empty_file_is_the_mediums_fault(spool):
    (spool / "empty").touch()
    with pytest.raises(EmptyMediaError):
        opened(spool, "empty", 0)


def test_the_file_that_was_checked_is_the_one_that_is_read(spool):
    token = mint_reference(Reference(name="clip.mp4", size=6), key=KEY, lifetime=timedelta(seconds=60))
    with open_reference(token, key=KEY, folder=spool) as referred:
        (spool / "clip.mp4").unlink()
        (spool / "clip.mp4").write_bytes(b"swapped")
        assert referred.path.read_bytes() == b"moving"


def test_a_nameless_file_leaves_nothing_behind(spool):
    with open_nameless(spool) as file:
        file.write(b"bytes")
        assert path_of(file.fileno()).read_bytes() == b"bytes"
        assert [path.name for path in spool.iterdir()] == ["clip.mp4"]
