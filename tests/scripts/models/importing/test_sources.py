"""What a command line names as a source, and what is none."""

import json

import pytest

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing.sources import resolve
from scripts.models.importing.wishes import Wishes

WISHES = Wishes(name="faces")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text(json.dumps({"architectures": ["ViTForImageClassification"]}))
    for name in ("a.h5", "b.keras", "c.onnx", "d.pt", "e.txt", "F.H5"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["vit"], "transformers"),
        (["a.h5"], "keras"),
        (["F.H5"], "keras"),
        (["a.h5", "b.keras"], "keras"),
        (["c.onnx"], "onnx"),
    ],
)
def test_the_kind_is_known_from_the_source(here, names, kind):
    source = resolve([str(here / name) for name in names], WISHES)

    assert (source.kind, source.paths) == (kind, tuple(here / name for name in names))
    assert names[0] in source.about
    assert str(here) not in source.about
    assert source.architecture == ("ViTForImageClassification" if kind == "transformers" else "")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["d.pt"], "save_pretrained"),
        (["e.txt"], "no model"),
        (["a.h5", "c.onnx"], "encoder first"),
        (["a.h5", "b.keras", "F.H5"], "encoder first"),
        (["vit", "a.h5"], "no model"),
    ],
)
def test_what_is_no_source_is_refused(here, names, sentence):
    with pytest.raises(RefusedError, match=sentence):
        resolve([str(here / name) for name in names], WISHES)


@pytest.mark.parametrize("name", ["missing", "missing.h5", "far/away/from/here", "owner/missing.onnx"])
def test_what_is_not_there_is_said(here, name):
    del here
    with pytest.raises(ModelsError, match="There is no"):
        resolve([name], WISHES)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "\xff", "[" * 100_000], ids=["empty", "list", "open", "binary", "bottomless"]
)
def test_a_broken_configuration_is_said(here, text):
    (here / "vit" / "config.json").write_text(text, encoding="latin-1")

    with pytest.raises(RefusedError, match=r"config\.json of vit"):
        resolve(["vit"], WISHES)


def test_a_folder_without_a_configuration_is_refused(here):
    (here / "vit" / "config.json").unlink()

    with pytest.raises(RefusedError, match=r"no config\.json"):
        resolve(["vit"], WISHES)


def test_a_model_with_code_of_its_own_is_refused(here):
    (here / "vit" / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "x.Y"}}))

    with pytest.raises(RefusedError, match="auto_map"):
        resolve(["vit"], WISHES)
