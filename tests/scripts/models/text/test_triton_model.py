"""Models of text inside a real Triton: batches of many callers, long texts, and requests at fault."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from bentos.cards import Route, TrafficTable
from bentos.contract import Modality
from scripts.demo.texts import sample_text
from scripts.models.publish import read_golden, write_traffic
from scripts.models.text.packing import TOKENIZER_FILE, score_texts
from scripts.stack.ports import free_ports
from scripts.stack.settings import CHECKOUT
from scripts.stack.triton import Triton
from tests.fixtures.triton import running_triton

pytestmark = pytest.mark.integration

MODEL = "text_transformer"
FOLDER = CHECKOUT / "model_repository" / MODEL / "1"
TEXTS = (
    "A few words.",
    sample_text(3, forged=False)[:300],
    sample_text(4, forged=True),
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 30,
    "🐢" * 50,
)


async def ask(client: InferenceServerClient, texts: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    tensor = InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text] for text in texts], np.object_))
    answer = await client.infer(MODEL, [tensor], model_version="1", client_timeout=60)
    assert answer is not None
    names = ("p_fake", "token_p_fake", "token_spans")
    return {name: np.asarray(answer.as_numpy(name)) for name in names}


def expected(text: str) -> dict[str, NDArray[Any]]:
    weights, tokenizer = (FOLDER / "model.onnx").read_bytes(), (FOLDER / TOKENIZER_FILE).read_text(encoding="utf-8")
    return score_texts(weights, tokenizer, [text])


async def test_golden_texts_get_their_golden_answers(triton_server: Triton) -> None:
    inputs, outputs = read_golden(CHECKOUT / "model_repository", MODEL, 1)
    async with InferenceServerClient(triton_server.address) as client:
        answers = await ask(client, [bytes(text) for text in inputs["text"][:, 0]])
    for name, values in outputs.items():
        np.testing.assert_allclose(answers[name], values, atol=1e-5)


async def test_callers_that_share_a_batch_get_each_their_own(triton_server: Triton) -> None:
    async with InferenceServerClient(triton_server.address) as client:
        answers = await asyncio.gather(*(ask(client, [text.encode()]) for text in TEXTS * 6))
    for text, answer in zip(TEXTS * 6, answers, strict=True):
        for name, values in expected(text).items():
            np.testing.assert_allclose(answer[name], values, atol=1e-5, err_msg=text[:20])


async def test_rows_of_one_request_are_padded_to_the_longest(triton_server: Triton) -> None:
    async with InferenceServerClient(triton_server.address) as client:
        answer = await ask(client, [text.encode() for text in TEXTS[:3]])
    for row, text in enumerate(TEXTS[:3]):
        alone = expected(text)
        count = alone["token_p_fake"].shape[1]
        np.testing.assert_allclose(answer["p_fake"][row], alone["p_fake"][0], atol=1e-5)
        np.testing.assert_array_equal(answer["token_spans"][row, :count], alone["token_spans"][0])
        assert (answer["token_p_fake"][row, count:] == -1).all()
        assert (answer["token_spans"][row, count:] == -1).all()


async def test_a_request_at_fault_fails_alone(triton_server: Triton) -> None:
    bad = (b"\xff\xfe not UTF-8", b" \n ", b"word " * 60_000)
    async with InferenceServerClient(triton_server.address) as client:
        calls = [ask(client, [text.encode()]) for text in TEXTS] + [
            ask(client, [TEXTS[0].encode(), one]) for one in bad
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    for text, answer in zip(TEXTS, answers, strict=False):
        assert isinstance(answer, dict), answer
        np.testing.assert_allclose(answer["p_fake"], expected(text)["p_fake"], atol=1e-5)
    for answer, told in zip(answers[len(TEXTS) :], ("not UTF-8", "no text", "at most 256"), strict=True):
        assert isinstance(answer, InferenceServerException)
        assert told in (answer.message() or "")


def test_a_text_at_which_the_tokeniser_fails_fails_alone(triton_settings: Triton, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(CHECKOUT / "model_repository" / MODEL, repository / MODEL)
    write_traffic(repository, TrafficTable(defaults={Modality.TEXT: MODEL}, models={MODEL: Route(stable=1)}))
    file = repository / MODEL / "1" / TOKENIZER_FILE
    # Without a token for what is unknown the tokeniser raises where it meets something unknown.
    tokenizer = json.loads(file.read_text(encoding="utf-8").replace("[UNK]", "[GONE]"))
    tokenizer["model"]["unk_token"] = "[UNK]"
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    http, grpc, metrics = free_ports(3)
    settings = replace(
        triton_settings,
        repository=repository,
        folder=tmp_path / "triton",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
    )
    (tmp_path / "triton").mkdir()
    text = TEXTS[1]

    async def ask_all(address: str) -> list[Any]:
        async with InferenceServerClient(address) as client:
            calls = [ask(client, [one.encode()]) for one in (text, TEXTS[4]) * 16]
            return await asyncio.gather(*calls, return_exceptions=True)

    with running_triton(settings) as triton:
        answers = asyncio.run(ask_all(triton.address))
    for answer in answers[::2]:
        assert isinstance(answer, dict), answer
        np.testing.assert_allclose(answer["p_fake"], expected(text)["p_fake"], atol=1e-5)
    for answer in answers[1::2]:
        assert isinstance(answer, InferenceServerException)
        assert "tokeniser" in (answer.message() or "")
