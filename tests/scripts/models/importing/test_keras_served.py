"""Imported video models of Keras, served by a real Triton and judged through the real video Bento."""

import asyncio

import aiohttp
import keras
import msgspec
import numpy as np
import pytest
from keras import layers

from bentos.contract import DETECT_PATH, HEADER_MODEL, Detection, Modality
from bentos.media.options import VideoOptions
from bentos.media.prepared import CropShape
from bentos.media.video import prepare_video
from scripts.demo.samples import MEDIA
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.stand import stand
from scripts.stack.settings import load_settings
from tests.fixtures.keras_networks import FRAMES, SIDE, classifier, head, masked_head

pytestmark = [
    pytest.mark.integration,
    # Keras asks TensorFlow for arrays in a way that numpy has given up, wherever it reads or writes weights.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
CLIP = MEDIA / "forged.mp4"


def original(encoder, network):
    """What Keras makes of the most suspicious face of the clip, the frames prepared as the Bento does it."""
    part = keras.Model(encoder.inputs[0], encoder.get_layer("features").output)
    shape = CropShape(height=SIDE, width=SIDE, resize_filter="bilinear", margin=0.3)
    video = prepare_video(CLIP, VideoOptions(shape=shape, frames=FRAMES, fewest_frames=FRAMES))
    scores = []
    for track in video.tracks:
        features = np.asarray(part(video.crops[[crop.index for crop in track]].astype(np.float32)))
        places = np.arange(FRAMES) * len(track) // FRAMES
        given = features[places][None]
        if len(network.inputs) > 1:
            mask = np.arange(FRAMES)[None] < len(track)
            given = [np.concatenate([features, np.zeros_like(features)])[:FRAMES][None], mask]
        scores.append(float(np.asarray(network(given, training=False))[0, -1]))
    return max(scores)


async def test_a_clip_gets_the_answer_of_the_original_from_the_bento(tmp_path):
    (tmp_path / "models").mkdir()
    repository = Repository(tmp_path / "models")
    encoder = classifier(layers.Dense(1, activation="sigmoid"))
    encoder.save(tmp_path / "finetuned_model.h5")
    heads = {"with_mask": masked_head(), "as_a_whole": head(layers.Bidirectional(layers.LSTM(4)))}
    for name, network in heads.items():
        network.save(tmp_path / f"{name}.keras")
        files = [str(tmp_path / "finetuned_model.h5"), str(tmp_path / f"{name}.keras")]
        import_model(files, Wishes(name=name, fake_labels=("1",)), repository)
    answers = {}

    standing = stand(repository, [(name, 1) for name in heads], load_settings({}), bentos=[Modality.VIDEO])
    # In a thread, for a stand has event loops of its own.
    here = await asyncio.to_thread(standing.__enter__)
    try:
        async with aiohttp.ClientSession() as session:
            for name in heads:
                headers = {"authorization": f"Bearer {here.token}", HEADER_MODEL: name}
                address = here.bentos[Modality.VIDEO] + DETECT_PATH
                async with session.post(address, data=CLIP.read_bytes(), headers=headers) as response:
                    answers[name] = msgspec.json.decode(await response.read(), type=Detection)
    finally:
        await asyncio.to_thread(standing.__exit__, None, None, None)

    for name, network in heads.items():
        assert answers[name].p_fake == pytest.approx(original(encoder, network), abs=1e-3)
    assert [len(track.frames) > 0 for track in answers["with_mask"].evidence.tracks] == [True]
    assert [track.frames for track in answers["as_a_whole"].evidence.tracks] == [()]
