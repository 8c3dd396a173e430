import keras
import numpy as np
import pytest
import torch

from scripts.demo.audio_model import AudioDetector, normalise
from scripts.demo.crops import draw_crops
from scripts.demo.image_model import build_trainee, detector_of, encoder_of
from scripts.demo.image_training import PairBatches
from scripts.demo.video_model import build_sequence_model
from scripts.demo.video_training import draw_masks

pytestmark = pytest.mark.integration


def test_the_encoder_is_the_detector_without_its_last_layer() -> None:
    keras.utils.set_random_seed(1)
    trainee = build_trainee()
    crops = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    features = np.asarray(encoder_of(trainee)(crops))
    assert features.shape == (2, 64)
    logits = trainee.get_layer("logit")(features)
    np.testing.assert_allclose(detector_of(trainee)(crops), logits, atol=1e-5)


def test_masked_steps_change_nothing_whatever_they_hold() -> None:
    keras.utils.set_random_seed(2)
    model = build_sequence_model()
    rng = np.random.default_rng(3)
    features, mask = rng.random((2, 16, 64), np.float32), np.ones((2, 16), np.float32)
    mask[0, 5:], mask[1, ::2] = 0, 0
    wild = np.where(mask[..., None] > 0, features, np.float32(np.nan))
    for plain, masked in zip(model([features, mask]), model([wild, mask]), strict=True):
        np.testing.assert_array_equal(np.asarray(plain), np.asarray(masked))


def test_a_clip_of_no_frames_has_a_score_all_the_same() -> None:
    model = build_sequence_model()
    clip, frames = model([np.ones((1, 16, 64), np.float32), np.zeros((1, 16), np.float32)])
    assert np.all(np.isfinite(clip))
    assert np.all(np.isfinite(frames))


def test_masks_in_training_keep_some_frames() -> None:
    masks = draw_masks(np.random.default_rng(4), 200)
    assert masks.shape == (200, 16)
    assert masks.sum(axis=1).min() >= 3
    assert 0.3 < np.mean(masks.sum(axis=1) == 16) < 0.7


def test_batches_hold_pairs_and_flip_crops_and_masks_together() -> None:
    data = draw_crops(6, "train", 0, 8)
    crops, (labels, masks) = PairBatches(data, seed=0)[0]
    assert crops.shape == (16, 224, 224, 3)
    assert labels[:, 0].tolist() == [0, 1] * 8
    assert not masks[::2].any()
    change = np.abs(crops[1::2].astype(float) - crops[::2]).mean(axis=-1)
    inside = np.kron(masks[1::2], np.ones((8, 8))) > 0.5
    assert all(c[i].mean() > c[~i].mean() for c, i in zip(change, inside, strict=True))


def test_the_audio_detector_gives_two_logits_at_any_loudness() -> None:
    torch.manual_seed(5)
    detector = AudioDetector().eval()
    sound = torch.randn(1, 32_000)
    with torch.inference_mode():
        quiet, loud = detector(normalise(0.01 * sound)), detector(normalise(sound))
    assert quiet.shape == (1, 2)
    torch.testing.assert_close(quiet, loud, atol=1e-3, rtol=0)
