"""Imported classifiers of sound, served by a real Triton and judged through the real audio Bento."""

import asyncio

import aiohttp
import msgspec
import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from bentos.contract import DETECT_PATH, HEADER_MODEL, Detection, Modality
from scripts.demo.speech import draw_voice, speak
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.stand import stand
from scripts.stack.settings import load_settings
from tests.fixtures.media import sound
from tests.fixtures.sound_models import save_ast, save_waveform_model

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning"),
]
RATE = 16_000


def original(folder, clip):
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**extractor(clip, sampling_rate=RATE, return_tensors="pt")).logits
    return torch.softmax(logits, dim=-1)[0, 1].item()


async def test_a_short_clip_gets_the_answer_of_the_original_from_the_bento(tmp_path):
    (tmp_path / "models").mkdir()
    repository = Repository(tmp_path / "models")
    folders = {
        "speech": save_waveform_model(tmp_path / "wav2vec2", "wav2vec2_group"),
        "spectra": save_ast(tmp_path / "ast"),
    }
    wishes = {"speech": Wishes(name="speech", input_size=1), "spectra": Wishes(name="spectra")}
    cards = {name: import_model([str(folder)], wishes[name], repository)[0].card for name, folder in folders.items()}
    rng = np.random.default_rng(1)
    # Sixteen bits, as in the file.
    clip = np.rint(speak(rng, draw_voice(rng), 9000) * 32767).astype(np.float32) / 32768
    answers = {}

    standing = stand(repository, [("speech", 1), ("spectra", 1)], load_settings({}), bentos=[Modality.AUDIO])
    # In a thread, for a stand has event loops of its own.
    here = await asyncio.to_thread(standing.__enter__)
    try:
        async with aiohttp.ClientSession() as session:
            for name in folders:
                headers = {"authorization": f"Bearer {here.token}", HEADER_MODEL: name}
                address = here.bentos[Modality.AUDIO] + DETECT_PATH
                async with session.post(address, data=sound(clip), headers=headers) as response:
                    answers[name] = msgspec.json.decode(await response.read(), type=Detection)
    finally:
        await asyncio.to_thread(standing.__exit__, None, None, None)

    for name, folder in folders.items():
        answer = answers[name]
        assert (answer.model, answer.version, answer.digest) == (name, 1, cards[name].digest)
        assert answer.p_fake == pytest.approx(original(folder, clip), abs=1e-3)
