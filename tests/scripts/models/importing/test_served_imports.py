"""What was imported is served as it stands: a real Triton, a real Bento, and the score that the original gives."""

import dataclasses
import io

import httpx
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from bentos.cards import Route, TrafficTable
from bentos.contract import Modality
from scripts.demo.photographs import load_photograph
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import write_traffic
from scripts.models.repository import Repository
from scripts.stack.ports import free_ports
from tests.fixtures.detectors import running_bento
from tests.fixtures.image_models import save_image_model
from tests.fixtures.triton import running_triton

pytestmark = pytest.mark.integration


def test_a_picture_gets_the_score_that_the_documentation_of_transformers_leads_to(tmp_path, triton_settings):
    folder = save_image_model(tmp_path / "swin", "swin", labels=("Realism", "Deepfake"))
    repository = Repository(tmp_path / "models")
    repository.root.mkdir()
    [imported] = import_model([str(folder)], Wishes(name="swin_faces"), repository)
    write_traffic(
        repository.root,
        TrafficTable(defaults={Modality.IMAGE: "swin_faces"}, models={"swin_faces": Route(stable=1)}),
    )
    http, grpc, metrics = free_ports(3)
    (tmp_path / "triton").mkdir()
    triton = dataclasses.replace(
        triton_settings,
        repository=repository.root,
        folder=tmp_path / "triton",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
    )
    # There is no face in it, so its middle is judged.
    picture = Image.fromarray(load_photograph("coffee.png"))
    file = io.BytesIO()
    picture.save(file, "PNG")

    with (
        running_triton(triton) as running,
        running_bento(Modality.IMAGE, tmp_path / "bento", running.address, repository.root) as bento,
    ):
        answer = httpx.post(f"{bento.url}/detect", content=file.getvalue(), headers=bento.headers, timeout=60).json()

    left, top, side = (picture.width - picture.height) // 2, 0, picture.height
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        prepared = processor(picture.crop((left, top, left + side, top + side)), return_tensors="pt")
        expected = torch.softmax(model(**prepared).logits, dim=-1)[0, 1].item()
    assert (answer["model"], answer["version"], answer["digest"]) == ("swin_faces", 1, imported.card.digest)
    assert [reason["code"] for reason in answer["reasons"]].count("no_face_found") == 1
    assert answer["p_fake"] == pytest.approx(expected, abs=1e-4)
