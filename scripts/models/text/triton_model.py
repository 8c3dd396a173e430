"""A text model on Triton's python backend: `model.py` of each version, put beside its weights by the publisher.

Triton runs it in a process for each model instance. The texts of all requests of a dynamic batch run together, cut
into windows of tokens and padded to the longest; a request that is at fault fails alone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb  # pyright: ignore[reportMissingImports]  # Triton's stub brings it.
from text_classifier import (  # pyright: ignore[reportMissingImports]  # It lies beside this file.
    TextClassifier,
    TextError,
    TextScore,
    open_graph,
    stack,
)

_OUTPUTS: Final = {"p_fake": "TYPE_FP32", "token_p_fake": "TYPE_FP32", "token_spans": "TYPE_INT32"}
_WARM_UP: Final = "A first text, so that the first caller does not wait for what is done only once."


class TritonPythonModel:
    """One instance of one version of a model. Triton calls the methods below, never two of them at once."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the graph and its tokeniser and score a first text, so that a version that cannot fails to load.

        Raises:
            TritonModelException: The configuration names other tensors than a text model has.
        """
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"], args["model_version"])
        device = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        graph = open_graph(str(folder / "model.onnx"), parameters, device=device)
        self.classifier: Any = TextClassifier(graph, (folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.outputs = {entry["name"]: entry["data_type"] for entry in config["output"]}
        if [(entry["name"], entry["data_type"]) for entry in config["input"]] != [("text", "TYPE_STRING")]:
            raise pb.TritonModelException("config.pbtxt must name the one input text, of TYPE_STRING.")
        if not self.outputs.items() <= _OUTPUTS.items() or "p_fake" not in self.outputs:
            raise pb.TritonModelException(f"config.pbtxt names {self.outputs}; a text model has some of {_OUTPUTS}.")
        if "token_p_fake" in self.outputs and "token_p_fake" not in self.classifier.outputs:
            raise pb.TritonModelException("config.pbtxt names token_p_fake, which the graph does not answer.")
        self.classifier.score([_WARM_UP])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request, in order; one that cannot be answered gets an error of its own."""
        responses: list[Any] = [None] * len(requests)
        rows: dict[int, list[Any]] = {}
        for place, request in enumerate(requests):
            try:
                texts = [_decode(value) for value in pb.get_input_tensor_by_name(request, "text").as_numpy().flat]
                windows = [self.classifier.windows(text) for text in texts]
            except TextError as error:
                responses[place] = _failure(str(error), pb.TritonError.INVALID_ARG)
            except Exception as error:  # noqa: BLE001  # The tokenisers' errors share no class; one request's is its own.
                responses[place] = _failure(f"The tokeniser failed: {error}", pb.TritonError.INVALID_ARG)
            else:
                rows[place] = windows
        try:
            scores = self.classifier.judge([text for texts in rows.values() for text in texts])
        except Exception as error:  # noqa: BLE001  # Whatever it was, the others must not share one request's fault.
            pb.Logger.log_warn(f"A batch of {len(rows)} requests failed and is run one by one: {error}")
            for place, texts in rows.items():
                responses[place] = self._answer_alone(requests[place], texts)
            return responses
        start = 0
        for place, texts in rows.items():
            responses[place] = self._answer(requests[place], scores[start : start + len(texts)])
            start += len(texts)
        return responses

    def finalize(self) -> None:
        """Let go of the graph before the process ends."""
        del self.classifier

    def _answer_alone(self, request: Any, texts: Sequence[Any]) -> Any:
        try:
            return self._answer(request, self.classifier.judge(texts))
        except Exception as error:  # noqa: BLE001  # The runtime's errors share no class; each is told to its caller.
            return _failure(f"The graph failed: {error}", pb.TritonError.INTERNAL)

    def _answer(self, request: Any, scores: Sequence[TextScore]) -> Any:
        tensors = stack(scores)
        names = request.requested_output_names() or self.outputs
        return pb.InferenceResponse([pb.Tensor(name, np.ascontiguousarray(tensors[name])) for name in names])


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise TextError("The text is not UTF-8.") from error


def _failure(message: str, code: int) -> Any:
    return pb.InferenceResponse(output_tensors=[], error=pb.TritonError(message, code))
