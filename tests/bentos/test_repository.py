import asyncio
import json
import shutil
from pathlib import Path

import pytest
from obstore.exceptions import BaseError
from obstore.store import MemoryStore

from bentos.errors import BrokenModelError, InferenceUnavailableError
from bentos.repository import ModelRepository
from scripts.models.publish import digest_of

CARD = {
    "model": "image_cnn",
    "version": 1,
    "modality": "image",
    "source": "made up",
    "licence": "Apache-2.0",
    "digest": "sha256:00",
    "demo": True,
    "input": {"kind": "crop", "height": 8, "width": 8, "resize_filter": "area", "margin": 0.3},
    "label_order": ["bona fide", "spoof"],
    "intended_use": "tests",
    "limits": "all",
    "created": "2026-01-01",
    "thresholds": {"low": 0.4, "high": 0.6},
}


def write_table(folder: Path, stable: int = 1, **more: object) -> None:
    table = {"defaults": {"image": "image_cnn"}, "models": {"image_cnn": {"stable": stable}}, **more}
    (folder / "aside").write_text(json.dumps(table))
    (folder / "aside").rename(folder / "serving.json")


def write_card(folder: Path, version: int = 1, **more: object) -> None:
    home = folder / "image_cnn" / str(version)
    home.mkdir(parents=True, exist_ok=True)
    (home / "card.json").write_text(json.dumps({**CARD, "version": version, **more}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(tmp_path)
    write_card(tmp_path)
    return tmp_path


@pytest.fixture
async def repository(folder: Path) -> ModelRepository:
    repository = ModelRepository.at(str(folder))
    await repository.refresh()
    return repository


async def test_table_and_card_are_read(folder, repository):
    assert repository.table.models["image_cnn"].stable == 1
    assert repository.digest == digest_of((folder / "serving.json").read_bytes())
    assert (await repository.card("image_cnn", 1)).digest == "sha256:00"


async def test_a_changed_table_is_seen_within_two_seconds(folder):
    repository = ModelRepository.at(str(folder))
    await repository.start()
    write_table(folder, stable=2)
    async with asyncio.timeout(2):
        while repository.table.models["image_cnn"].stable != 2:  # noqa: ASYNC110  # The watcher sets no event.
            await asyncio.sleep(0.05)
    await repository.close()
    assert repository.table.models["image_cnn"].stable == 2


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "{}",
        '{"defaults": {"image": "image_cnn"}, "models": {}}',
        '{"defaults": {}, "models": {"image_cnn": {"stable": 1, "stabel": 2}}}',
    ],
)
async def test_the_last_good_table_survives_a_broken_one_and_the_next_is_read(folder, repository, broken):
    (folder / "serving.json").write_text(broken)
    await repository.refresh()
    assert repository.table.models["image_cnn"].stable == 1
    write_table(folder, stable=3)
    await repository.refresh()
    assert repository.table.models["image_cnn"].stable == 3


async def test_the_last_good_table_survives_the_loss_of_the_repository(folder, repository):
    shutil.rmtree(folder)
    await repository.refresh()
    assert repository.table.models["image_cnn"].stable == 1


async def test_a_table_that_comes_late_is_waited_for(tmp_path):
    repository = ModelRepository.at(str(tmp_path))
    await repository.refresh()
    with pytest.raises(InferenceUnavailableError):
        _ = repository.table
    write_table(tmp_path)
    await repository.refresh()
    assert repository.table.defaults == {"image": "image_cnn"}


def test_a_folder_that_is_not_there_is_a_wrong_setting(tmp_path):
    with pytest.raises(BaseError, match="nowhere"):
        ModelRepository.at(str(tmp_path / "nowhere"))


async def test_a_card_is_read_once_until_the_table_changes(folder, repository):
    await repository.card("image_cnn", 1)
    write_card(folder, digest="sha256:11")
    assert (await repository.card("image_cnn", 1)).digest == "sha256:00"
    write_table(folder, stable=1, defaults={})
    await repository.refresh()
    assert (await repository.card("image_cnn", 1)).digest == "sha256:11"


async def test_the_last_good_card_survives_a_broken_one(folder, repository):
    await repository.card("image_cnn", 1)
    (folder / "image_cnn" / "1" / "card.json").write_text("{")
    write_table(folder, defaults={})
    await repository.refresh()
    assert (await repository.card("image_cnn", 1)).digest == "sha256:00"


@pytest.mark.parametrize(
    "more", [{"model": "other"}, {"thresholds": {"low": 0.7, "high": 0.6}}, {"unknown": 1}, {"thresholds": {"low": -1}}]
)
async def test_a_card_that_breaks_the_contract_is_refused(folder, repository, more):
    write_card(folder, **more)
    with pytest.raises(BrokenModelError):
        await repository.card("image_cnn", 1)


async def test_a_version_without_a_card_is_broken(repository):
    with pytest.raises(BrokenModelError):
        await repository.card("image_cnn", 9)


async def test_a_bucket_is_read_the_same_way(folder):
    store = MemoryStore()
    for path in folder.rglob("*.json"):
        await store.put_async(str(path.relative_to(folder)), path.read_bytes())
    repository = ModelRepository(store)
    await repository.refresh()
    assert repository.table.models["image_cnn"].stable == 1
    assert (await repository.card("image_cnn", 1)).version == 1
