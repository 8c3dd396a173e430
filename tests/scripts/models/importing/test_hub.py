"""Models are brought by name from a hub that runs here and is asked by the real client."""

import json

import pytest

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing import hub as hubs
from scripts.models.importing.hub import fetch
from scripts.models.importing.wishes import Wishes
from tests.fixtures.hub import COMMIT

NAME = "dima806/deepfake_vs_real_image_detection"
WISHES = Wishes(name="faces")


@pytest.fixture
def offered(hub, tmp_path):
    """A small repository on the hub, with what a published one often has beside the model."""
    folder = tmp_path / "offered"
    (folder / "checkpoint-100").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["ViTForImageClassification"]}))
    for name in ("model.safetensors", "vocab.txt", "README.md", "modeling.py", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(name.encode())
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "checkpoint-100" / "model.safetensors").write_bytes(b"an older one")
    hub.repositories[NAME] = folder
    return folder


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("trust", [False, True])
def test_only_what_is_needed_is_fetched_and_never_code(hub, trust):
    fetched = fetch(NAME, Wishes(name="faces", trust_pickle=trust))

    wanted = {"config.json", "model.safetensors", "vocab.txt", "README.md"} | (
        {"pytorch_model.bin"} if trust else set()
    )
    assert {str(file.relative_to(fetched.folder)) for file in fetched.folder.rglob("*")} == wanted
    assert set(hub.asked) - {"main", COMMIT} == wanted
    assert (fetched.commit, fetched.hub) == (COMMIT, hub.endpoint.removeprefix("http://"))


@pytest.mark.usefixtures("offered")
def test_what_was_fetched_before_serves_when_the_hub_is_away(hub, monkeypatch):
    before = fetch(NAME, WISHES)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    assert fetch(NAME, WISHES).folder == before.folder
    del hub


def test_a_hub_that_cannot_be_reached_is_said(hub, monkeypatch):
    del hub
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(ModelsError, match=r"127\.0\.0\.1:9 .*refused.*import that folder"):
        fetch(NAME, WISHES)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "sentence"),
    [
        pytest.param(403, {"X-Error-Code": "GatedRepo"}, RefusedError, "HF_TOKEN", id="gated"),
        pytest.param(401, {"X-Error-Code": "RepoNotFound"}, RefusedError, "spelling", id="private"),
        pytest.param(500, {}, ModelsError, "500", id="broken"),
    ],
)
def test_what_the_hub_refuses_is_said(hub, status, headers, kind, sentence):
    hub.statuses[NAME] = (status, headers)

    with pytest.raises(kind, match=sentence):
        fetch(NAME, WISHES)


@pytest.mark.usefixtures("offered")
def test_what_does_not_exist_is_said(hub):
    del hub
    with pytest.raises(RefusedError, match="spelling"):
        fetch("nobody/nothing", WISHES)
    with pytest.raises(RefusedError, match="no revision v9"):
        fetch(NAME, Wishes(name="faces", revision="v9"))


@pytest.mark.usefixtures("offered")
def test_what_is_too_large_is_not_even_fetched(hub, monkeypatch):
    monkeypatch.setattr(hubs, "LARGEST_BYTES", 50)

    with pytest.raises(RefusedError, match="smaller model"):
        fetch(NAME, WISHES)
    assert "model.safetensors" not in hub.asked


def test_code_of_a_published_model_is_never_run(hub, offered, refused):
    config = json.loads((offered / "config.json").read_text())
    config["auto_map"] = {"AutoModelForImageClassification": "modeling.Trap"}
    (offered / "config.json").write_text(json.dumps(config))
    (offered / "modeling.py").write_text("raise SystemExit('this ran')")

    refused("auto_map", NAME, error=RefusedError)
    assert "modeling.py" not in hub.asked
