"""Scores texts with an ONNX graph over tokens and its tokeniser: what a version of a text model does inside Triton.

The publisher puts this file beside the weights of each version, so it imports nothing of ours; the commands on models
import it from here, so that what they measure is what is served.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

MOST_WINDOWS: Final = 256
"""Windows of tokens in one text, at most: what one row may cost."""
ROWS_AT_ONCE: Final = 32
"""Windows that run through the graph together."""
LOGIT_BOUND: Final = 1e-6
"""Scores closer than this to 0 or 1 count as this close, so that one certain window cannot outweigh all others."""

_LAYERS: Final = ("input_ids", "attention_mask", "token_type_ids")


class TextError(ValueError):
    """A text that cannot be scored; the message says why."""


@dataclass(frozen=True, slots=True)
class TextScore:
    """p_fake of a text in [0, 1]; where the graph scores tokens also theirs, float32 [T], beside their spans.

    A span is the offset of a token's first character and of the one after its last, int32 [T, 2], in characters.
    """

    p_fake: float
    token_p_fake: NDArray[np.float32]
    token_spans: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of tokens that the model sees at once, with the marks that the model wants round it.

    `counted` are the places of real tokens, without those marks.
    """

    ids: Sequence[int]
    types: Sequence[int]
    counted: NDArray[np.intp]
    spans: NDArray[np.int32]


class TextClassifier:
    """A graph over tokens, and the tokeniser that it was trained with.

    The graph has the inputs `input_ids`, `attention_mask` and perhaps `token_type_ids`, int64 [batch, T] each, and the
    outputs `p_fake` [batch, 1] and perhaps `token_p_fake` [batch, T], float32.
    """

    def __init__(self, graph: ort.InferenceSession, tokenizer: str) -> None:
        """Take a graph and the text of its `tokenizer.json`, whose truncation says how many tokens a window has.

        Raises:
            ValueError: The two do not belong together, or the tokeniser says no window or no padding.
        """
        self._graph = graph
        self._tokenizer = Tokenizer.from_str(tokenizer)
        padding: Any = self._tokenizer.padding
        truncation: Any = self._tokenizer.truncation
        if not truncation or not padding:
            raise ValueError("tokenizer.json says neither how many tokens a window has nor how one is padded.")
        if truncation["stride"]:
            raise ValueError("tokenizer.json has windows that overlap; they must not, so that each token counts once.")
        self._pad = {"input_ids": padding["pad_id"], "attention_mask": 0, "token_type_ids": padding["pad_type_id"]}
        self._tokenizer.no_padding()
        self._inputs = {node.name for node in graph.get_inputs()}
        self.outputs = {node.name for node in graph.get_outputs()}
        if not {"input_ids", "attention_mask"} <= self._inputs <= set(_LAYERS):
            raise ValueError(f"The graph takes {sorted(self._inputs)}, not tokens.")
        if "p_fake" not in self.outputs:
            raise ValueError(f"The graph answers {sorted(self.outputs)}, not p_fake.")

    def score(self, texts: Sequence[str]) -> list[TextScore]:
        """Score each text, whatever the others are; one with more tokens than a window takes is read window by window.

        Its score is then the mean of the log-odds of its windows, each by its number of tokens: Satopää et al., 2014,
        "Combining multiple probability predictions using a simple logit model".

        Raises:
            TextError: A text has no tokens, or more windows than `MOST_WINDOWS`.
        """
        return self.judge([self.windows(text) for text in texts])

    def judge(self, windows: Sequence[Sequence[Window]]) -> list[TextScore]:
        """Score texts that are cut into windows already, as `score` does."""
        flat = [window for each in windows for window in each]
        results = self._run(flat)
        scores: list[TextScore] = []
        start = 0
        for each in windows:
            scores.append(_fuse(each, results[start : start + len(each)]))
            start += len(each)
        return scores

    def windows(self, text: str) -> list[Window]:
        """Cut a text into windows of tokens, one after the other. Raises `TextError` as `score` does."""
        encoding = self._tokenizer.encode(text)
        windows = [_window(each) for each in (encoding, *encoding.overflowing)]
        windows = [window for window in windows if len(window.counted)]
        if not windows:
            raise TextError("There is no text to score.")
        if len(windows) > MOST_WINDOWS:
            raise TextError(f"The text has {len(windows)} windows of tokens; at most {MOST_WINDOWS} are read at once.")
        return windows

    def _run(self, windows: Sequence[Window]) -> list[tuple[float, NDArray[np.float32]]]:
        """Score of each window and of its counted tokens; windows of like length run together, for little padding."""
        results: list[Any] = [None] * len(windows)
        order = sorted(range(len(windows)), key=lambda place: len(windows[place].ids))
        wanted = ["p_fake", *({"token_p_fake"} & self.outputs)]
        for start in range(0, len(order), ROWS_AT_ONCE):
            places = order[start : start + ROWS_AT_ONCE]
            answers: Any = self._graph.run(wanted, self._feed([windows[place] for place in places]))
            for row, place in enumerate(places):
                tokens = answers[1][row][windows[place].counted] if len(answers) > 1 else np.empty(0, np.float32)
                results[place] = (float(answers[0][row, 0]), tokens)
        return results

    def _feed(self, windows: Sequence[Window]) -> Mapping[str, NDArray[np.int64]]:
        longest = max(len(window.ids) for window in windows)
        feed = {
            name: np.full((len(windows), longest), self._pad[name], np.int64)
            for name in _LAYERS
            if name in self._inputs
        }
        for row, window in enumerate(windows):
            length = len(window.ids)
            feed["input_ids"][row, :length] = window.ids
            feed["attention_mask"][row, :length] = 1
            if "token_type_ids" in feed:
                feed["token_type_ids"][row, :length] = window.types
        return feed


def stack(scores: Sequence[TextScore]) -> dict[str, NDArray[Any]]:
    """Lay scores out as tensors: `p_fake` [n, 1], `token_p_fake` [n, T] and `token_spans` [n, T, 2], padded with -1."""
    longest = max(1, *(len(score.token_p_fake) for score in scores))
    tokens = np.full((len(scores), longest), -1, np.float32)
    spans = np.full((len(scores), longest, 2), -1, np.int32)
    for row, score in enumerate(scores):
        tokens[row, : len(score.token_p_fake)] = score.token_p_fake
        spans[row, : len(score.token_spans)] = score.token_spans
    p_fake = np.asarray([[score.p_fake] for score in scores], np.float32)
    return {"p_fake": p_fake, "token_p_fake": tokens, "token_spans": spans}


def open_graph(
    weights: str | bytes, parameters: Mapping[str, str] | None = None, *, device: int | None = None
) -> ort.InferenceSession:
    """Open a graph, from a file's path or its bytes, on a GPU where one is given and the runtime has CUDA.

    Of the parameters it heeds those of the `onnxruntime` backend: `intra_op_thread_count` and `allow_spinning`.
    """
    parameters = parameters or {}
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", "0"))
    options.add_session_config_entry("session.intra_op.allow_spinning", parameters.get("allow_spinning", "0"))
    providers: list[Any] = ["CPUExecutionProvider"]
    if device is not None and "CUDAExecutionProvider" in ort.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": str(device)}))
    return ort.InferenceSession(weights, options, providers=providers)


def window_tokens(tokenizer: str) -> int:
    """Return how many tokens a window of this `tokenizer.json` has, marks and all; 0 where it does not say."""
    truncation = json.loads(tokenizer).get("truncation")
    return int(truncation["max_length"]) if truncation else 0


def _window(encoding: Any) -> Window:
    offsets = np.asarray(encoding.offsets, np.int32).reshape(-1, 2)
    marks = np.asarray(encoding.special_tokens_mask, np.bool_)
    # Marks have no characters, and neither has what stands for the beginning of a word in some vocabularies.
    counted = np.flatnonzero(~marks & (offsets[:, 0] < offsets[:, 1]))
    return Window(ids=encoding.ids, types=encoding.type_ids, counted=counted, spans=offsets[counted])


def _fuse(windows: Sequence[Window], results: Sequence[tuple[float, NDArray[np.float32]]]) -> TextScore:
    scores = np.asarray([score for score, _ in results], np.float64)
    p_fake = float(scores[0])
    if len(scores) > 1:
        odds = np.clip(scores, LOGIT_BOUND, 1 - LOGIT_BOUND)
        mean = float(np.average(np.log(odds) - np.log1p(-odds), weights=[len(window.counted) for window in windows]))
        p_fake = 1 / (1 + math.exp(-mean))
    tokens = np.concatenate([tokens for _, tokens in results])
    spans = np.concatenate([window.spans for window in windows]) if len(tokens) else np.empty((0, 2), np.int32)
    return TextScore(p_fake, tokens, spans)
