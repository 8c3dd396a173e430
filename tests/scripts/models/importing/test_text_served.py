"""An imported classifier of text, served by a real Triton and judged through the real text Bento."""

import asyncio

import aiohttp
import msgspec
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bentos.cards import TrafficTable
from bentos.contract import DETECT_PATH, HEADER_MODEL, Detection, Modality, TextEvidence
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import write_traffic
from scripts.models.repository import Repository
from scripts.models.stand import stand
from scripts.stack.settings import load_settings
from tests.fixtures.text_models import save_text_model

pytestmark = pytest.mark.integration

TEXT = "The with statement is used. It is for managers.\n" * 12


def original(folder, text):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return torch.softmax(model(**tokenizer(text, return_tensors="pt")).logits, dim=-1)[0, 1].item()


async def test_each_passage_gets_the_answer_of_the_original_from_the_bento(tmp_path):
    write_traffic(tmp_path / "models", TrafficTable(defaults={}, models={}))
    repository = Repository(tmp_path / "models")
    folder = save_text_model(tmp_path / "source", "distilbert")
    [imported] = import_model([str(folder)], Wishes(name="essays"), repository)

    standing = stand(repository, [("essays", 1)], load_settings({}), bentos=[Modality.TEXT])
    # In a thread, for a stand has event loops of its own.
    here = await asyncio.to_thread(standing.__enter__)
    try:
        headers = {"authorization": f"Bearer {here.token}", HEADER_MODEL: "essays"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(here.bentos[Modality.TEXT] + DETECT_PATH, data=TEXT.encode(), headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
            detection = msgspec.json.decode(await response.read(), type=Detection)
    finally:
        await asyncio.to_thread(standing.__exit__, None, None, None)

    assert (detection.model, detection.digest) == ("essays", imported.card.digest)
    assert isinstance(detection.evidence, TextEvidence)
    passages = detection.evidence.passages
    assert len(passages) > 2
    for passage in passages:
        text = TEXT[passage.start : passage.end]
        if len(AutoTokenizer.from_pretrained(folder)(text)["input_ids"]) <= imported.card.input.tokens:
            assert passage.p_fake == pytest.approx(original(folder, text), abs=1e-5)
    assert min(one.p_fake for one in passages) <= detection.p_fake <= max(one.p_fake for one in passages)
