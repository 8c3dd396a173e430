import numpy as np
import pytest

from bentos.deadline import Deadline
from bentos.errors import BrokenModelError, DeadlineExceededError, InferenceUnavailableError
from bentos.fakes import FakeInference, FakeModel, fake_signature
from bentos.inference import read_probabilities

SIGNATURE = fake_signature({"crop": (np.uint8, (2, 2, 3))}, {"p_fake": (1,)}, max_batch_size=4)


def client(answer=lambda batch: {"p_fake": batch["crop"][:, 0, 0, :1].astype(np.float32) / 255}) -> FakeInference:
    return FakeInference(models={("image_cnn", 1): FakeModel(signature=SIGNATURE, answer=answer)})


def crops(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


async def infer(fake: FakeInference, tensor: np.ndarray, seconds: float = 5, version: int = 1):
    return await fake.infer("image_cnn", version, {"crop": tensor}, Deadline.after(seconds))


@pytest.mark.parametrize(("rows", "batches"), [(1, [1]), (4, [4]), (5, [4, 1]), (23, [4, 4, 4, 4, 4, 3])])
async def test_rows_are_split_at_the_largest_batch_and_come_back_in_order(rows, batches):
    fake = client()
    outputs = await infer(fake, crops(rows))
    assert [size for _, _, size in fake.batches] == batches
    np.testing.assert_allclose(outputs["p_fake"][:, 0] * 255, np.arange(rows), atol=1e-4)


@pytest.mark.parametrize(
    "tensor", [np.zeros((0, 2, 2, 3), np.uint8), np.zeros((1, 3, 2, 3), np.uint8), np.zeros((1, 2, 2, 3))]
)
async def test_inputs_that_do_not_fit_are_never_sent(tensor):
    fake = client()
    with pytest.raises(BrokenModelError):
        await infer(fake, tensor)
    assert fake.batches == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: {},
        lambda batch: {"p_fake": np.zeros((len(batch["crop"]) + 1, 1), np.float32)},
        lambda batch: {"p_fake": np.zeros((len(batch["crop"]), 2), np.float32)},
        lambda batch: {"p_fake": np.zeros((len(batch["crop"]), 1), np.float64)},
        lambda batch: {"p_fake": np.full((len(batch["crop"]), 1), np.nan, np.float32)},
        lambda batch: {"p_fake": np.full((len(batch["crop"]), 1), np.inf, np.float32)},
    ],
)
async def test_an_answer_that_breaks_the_signature_is_refused(answer):
    with pytest.raises(BrokenModelError):
        await infer(client(answer), crops(2))


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_a_probability_outside_its_range_is_refused(value):
    with pytest.raises(BrokenModelError):
        read_probabilities("m", {"p_fake": np.array([[0.5], [value]], np.float32)}, "p_fake")


def test_a_missing_probability_is_refused():
    with pytest.raises(BrokenModelError):
        read_probabilities("m", {}, "p_fake")


async def test_a_version_that_is_not_loaded_is_unavailable():
    with pytest.raises(InferenceUnavailableError):
        await infer(client(), crops(1), version=2)


async def test_a_past_deadline_is_noticed_before_anything_is_sent():
    fake = client()
    with pytest.raises(DeadlineExceededError):
        await infer(fake, crops(1), seconds=-1)
    assert fake.batches == []


async def test_one_failed_batch_fails_the_call_with_its_own_error():
    def answer(batch):
        if batch["crop"][0, 0, 0, 0] == 8:
            raise InferenceUnavailableError
        return {"p_fake": np.zeros((len(batch["crop"]), 1), np.float32)}

    with pytest.raises(InferenceUnavailableError):
        await infer(client(answer), crops(40))


async def test_batches_that_answer_axes_of_different_lengths_are_padded():
    signature = fake_signature({"rows": (np.float32, (1,))}, {"spans": (-1, 2)}, max_batch_size=2)

    def answer(batch):
        longest = int(batch["rows"].max())
        return {"spans": np.ones((len(batch["rows"]), longest, 2), np.float32)}

    fake = FakeInference(models={("texts", 1): FakeModel(signature=signature, answer=answer)})
    rows = np.array([[1], [1], [3]], np.float32)
    spans = (await fake.infer("texts", 1, {"rows": rows}, Deadline.after(5)))["spans"]
    assert spans.shape == (3, 3, 2)
    assert (spans[:2, :1] == 1).all()
    assert (spans[:2, 1:] == -1).all()
    assert (spans[2] == 1).all()
