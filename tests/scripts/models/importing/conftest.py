"""What the tests of all families of sources share: a repository, folders to bring, and how a refusal is looked at."""

import shutil
from functools import cache

import pytest
from huggingface_hub import constants

from scripts.models.errors import ModelsError
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from tests.fixtures.hub import running_hub


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "models").mkdir()
    return Repository(tmp_path / "models")


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    """A folder to copy from; nobody changes it."""
    from tests.fixtures.image_models import save_image_model  # noqa: PLC0415  # Only who wants it waits for torch.

    return save_image_model(tmp_path_factory.mktemp("sources") / "vit", "vit")


@pytest.fixture
def folder(vit, tmp_path):
    """A folder of one's own, to spoil."""
    return shutil.copytree(vit, tmp_path / "vit")


@pytest.fixture
def bring(repository):
    """Brings the one model of a source, by the name of faces."""

    def bring(source, *, dry_run=False, **wishes):
        [imported] = import_model([str(source)], Wishes(name="faces", **wishes), repository, dry_run=dry_run)
        return imported

    return bring


@pytest.fixture
def refused(repository):
    """Looks whether sources are refused with a sentence that matches, and whether the repository stays as it was."""

    def refused(sentence, *sources, error=ModelsError, **wishes):
        with pytest.raises(error, match=sentence):
            import_model([str(source) for source in sources], Wishes(**{"name": "refused", **wishes}), repository)
        assert [file for file in repository.root.rglob("*") if file.name != ".lock"] == []

    return refused


@pytest.fixture(scope="session")
def heard(tmp_path_factory):
    """Brings each kind of sound once: its folder, the repository and what came of it, which nobody changes."""
    from tests.fixtures.sound_models import KINDS, save_ast, save_waveform_model  # noqa: PLC0415  # As above.

    @cache
    def heard(kind):
        place = tmp_path_factory.mktemp(kind)
        (place / "models").mkdir()
        repository = Repository(place / "models")
        folder = save_waveform_model(place / kind, kind) if kind in KINDS else save_ast(place / kind)
        wishes = Wishes(name="voices", input_size=1 if kind in KINDS else None)
        [imported] = import_model([str(folder)], wishes, repository)
        return folder, repository, imported

    return heard


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running
