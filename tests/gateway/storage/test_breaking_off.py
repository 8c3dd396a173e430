"""What is being fetched from a folder and breaks off leaves nothing behind where it was to go."""

import asyncio
import errno
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StorageUnavailableError
from gateway.storage.local import LocalObjectStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalObjectStore:
    """A store from whose file system nothing can be linked."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    opened = LocalObjectStore(tmp_path / "objects")
    (tmp_path / "objects/media").mkdir()
    (tmp_path / "objects/media/one").write_bytes(b"medium")
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    return opened


async def test_a_disk_that_is_full_keeps_no_part(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: Path, to: Path) -> None:
        to.write_bytes(b"med")
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(StorageUnavailableError):
        await store.fetch("media/one", tmp_path / "here")
    assert not (tmp_path / "here").exists()


async def test_a_copy_that_nobody_waits_for_any_more_is_removed(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def slowly(source: Path, to: Path) -> None:
        time.sleep(0.3)
        copy(source, to)

    monkeypatch.setattr(shutil, "copyfile", slowly)
    fetching = asyncio.create_task(store.fetch("media/one", tmp_path / "here"))
    await asyncio.sleep(0.1)
    fetching.cancel()
    await asyncio.wait({fetching})
    assert fetching.cancelled()
    await asyncio.sleep(0.5)
    assert not (tmp_path / "here").exists()
