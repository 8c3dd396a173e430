"""The real client against a real Triton, and against one that is away."""

import asyncio
import dataclasses
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from bentos.deadline import Deadline
from bentos.errors import BrokenModelError, DeadlineExceededError, InferenceUnavailableError
from bentos.triton import TritonClient
from scripts.stack.ports import free_ports
from scripts.stack.triton import Triton
from tests.fixtures.triton import running_triton

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@asynccontextmanager
async def up(triton: Triton) -> AsyncGenerator[None]:
    """A Triton for the length of a block; what starts it has an event loop of its own."""
    server = running_triton(triton)
    await asyncio.to_thread(server.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


async def infer(client: TritonClient, crops: np.ndarray, seconds: float = 20, version: int = 1):
    return await client.infer("image_cnn", version, {"crop": crops}, Deadline.after(seconds))


async def test_a_server_that_is_away_is_noticed_at_once():
    client = TritonClient(f"127.0.0.1:{free_ports(1)[0]}")
    async with asyncio.timeout(3):
        for _ in range(2):
            with pytest.raises(InferenceUnavailableError):
                await infer(client, np.zeros((1, 224, 224, 3), np.uint8))
    await client.close()


async def test_a_server_that_does_not_answer_is_given_up_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = TritonClient("{}:{}".format(*silent.getsockname()))
        with pytest.raises(DeadlineExceededError):
            await infer(client, np.zeros((1, 224, 224, 3), np.uint8), seconds=0.2)
        await client.close()


@pytest.mark.integration
class TestWithTriton:
    @pytest.fixture
    async def client(self, triton_server):
        client = TritonClient(triton_server.address)
        yield client
        await client.close()

    async def test_the_signature_is_what_the_card_says(self, client):
        card = json.loads((REPOSITORY / "image_cnn" / "1" / "card.json").read_text())
        signature = await client.signature("image_cnn", 1, Deadline.after(20))
        assert signature.inputs["crop"].shape == (card["input"]["height"], card["input"]["width"], 3)
        assert signature.max_batch_size > 1
        assert signature.title != "image_cnn"

    async def test_rows_keep_their_order_over_many_batches(self, client):
        golden = np.load(REPOSITORY / "image_cnn" / "golden" / "inputs.npz")["crop"]
        crops = np.concatenate([golden] * 30)[:70]
        together = (await infer(client, crops, seconds=60))["p_fake"]
        alone = (await infer(client, golden))["p_fake"]
        np.testing.assert_allclose(together, np.concatenate([alone] * 30)[:70], atol=1e-5)

    async def test_calls_at_once_are_not_mixed_up(self, client):
        golden = np.load(REPOSITORY / "image_cnn" / "golden" / "inputs.npz")["crop"]
        alone = (await infer(client, golden))["p_fake"]
        picks = np.random.default_rng(0).integers(0, len(golden), 60)
        answers = await asyncio.gather(*(infer(client, golden[pick : pick + 1], seconds=60) for pick in picks))
        np.testing.assert_allclose([a["p_fake"][0, 0] for a in answers], alone[picks, 0], atol=1e-5)

    async def test_a_version_that_is_not_loaded_is_unavailable(self, client):
        with pytest.raises(InferenceUnavailableError):
            await infer(client, np.zeros((1, 224, 224, 3), np.uint8), version=99)

    async def test_a_short_deadline_is_kept(self, client):
        crops = np.zeros((64, 224, 224, 3), np.uint8)
        await infer(client, crops[:1])
        with pytest.raises(DeadlineExceededError):
            await infer(client, crops, seconds=0.005)

    async def test_the_encoder_feeds_its_head(self, client):
        crops = np.zeros((16, 224, 224, 3), np.uint8)
        features = (await client.infer("video_encoder", 1, {"crop": crops}, Deadline.after(60)))["features"]
        inputs = {"features": features[None], "mask": np.ones((1, 16), np.float32)}
        outputs = await client.infer("video_lstm", 1, inputs, Deadline.after(20))
        assert outputs["p_fake"].shape == (1, 1)
        assert outputs["frame_p_fake"].shape == (1, 16)

    async def test_the_client_finds_a_triton_that_came_back(self, triton_settings, tmp_path):
        http, grpc, metrics = free_ports(3)
        mortal = dataclasses.replace(
            triton_settings, folder=tmp_path, http_port=http, grpc_port=grpc, metrics_port=metrics
        )
        crops = np.zeros((1, 224, 224, 3), np.uint8)
        client = TritonClient(mortal.address)
        async with up(mortal):
            await infer(client, crops)
        with pytest.raises(InferenceUnavailableError):
            await infer(client, crops)
        async with up(mortal), asyncio.timeout(10):
            while True:
                try:
                    outputs = await infer(client, crops)
                    break
                except InferenceUnavailableError:
                    await asyncio.sleep(0.1)
        await client.close()
        assert outputs["p_fake"].shape == (1, 1)

    async def test_another_shape_is_refused_before_it_is_sent(self, client):
        with pytest.raises(BrokenModelError):
            await infer(client, np.zeros((1, 100, 100, 3), np.uint8))
