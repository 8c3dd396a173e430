"""Brings classifiers of text of transformers: RoBERTa, DistilBERT, BERT, DeBERTa and whatever else has the class.

The tokeniser goes beside the weights, with the length of a window in it; a longer text is read window by window.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from bentos.cards import Parity, TextInput
from bentos.contract import Modality
from scripts.models.errors import RefusedError
from scripts.models.graph import Logits, give_p_fake
from scripts.models.importing import parity
from scripts.models.importing.brought import Brought, draft_card
from scripts.models.importing.checkpoint import FRAMEWORK, load_classifier
from scripts.models.importing.converting import convert_tokens
from scripts.models.importing.labels import Reading, read_labels
from scripts.models.importing.licence import licence_of
from scripts.models.importing.sources import Source
from scripts.models.importing.texts import carried_texts, texts_of
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.staging import Candidate, golden_inputs_of
from scripts.models.text.packing import as_input, describe, files_of, read_input, score_texts
from scripts.models.text.text_classifier import TextClassifier, open_graph

MOST_TOKENS: Final = 512
"""Tokens of a window of a model that says no limit, and of one that could take more: cost grows with their square."""
FEWEST_TOKENS: Final = 16
_CHARACTERS_PER_TOKEN: Final = 3
"""Few enough that a passage of English, at four characters or so a token, fits into one window."""
_STRANGE: Final = ("数", "ж", "ش", "अ", "🙂", "∑", "Q", "7")
"""Letters and signs of all kinds, each of which a text may consist of."""
_NUMBERS: Final = ("input_ids", "attention_mask")
_TYPES: Final = "token_type_ids"


class _Tokens(torch.nn.Module):
    """The classifier with its inputs in an order, and one output, as the exporter wants it."""

    def __init__(self, classifier: torch.nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self._classifier = classifier

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits [n, labels] of windows of tokens [n, T]."""
        given = dict(zip(self.inputs, (input_ids, attention_mask, token_type_ids), strict=False))
        return self._classifier(**given).logits


def bring(source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Convert a classifier of text and hold it to the original, on texts that Python carries or of `wishes.samples`.

    Raises:
        RefusedError: It has no fast tokeniser or none that can pad, it is unclear which label means fake, the weights
            are not safetensors, or the graph does not answer what the original answers.
        ModelsError: There is not enough memory.
    """
    reading = _read_labels(source, wishes)
    original = _load_tokeniser(source)
    classifier: Any = load_classifier(AutoModelForSequenceClassification, source, wishes, attn_implementation="eager")
    tokens = _window(classifier, original, source)
    tokenizer = _tokenizer_of(original, tokens, source)
    texts = [*carried_texts(), *(texts_of(wishes.samples) if wishes.samples else ())]
    module = _Tokens(classifier, _inputs_of(classifier, original))

    wishes.tell("converting it")
    graph = convert_tokens(module, inputs=module.inputs, output="logits")
    graph = give_p_fake(graph, Logits(activation=reading.activation, fake=reading.fake), source="logits")
    weights = graph.SerializeToString()
    wishes.tell(f"asking the original and the converted model about {len(texts)} texts")
    checked = _check(weights, tokenizer, _ask(classifier, original, reading, texts, tokens), texts)
    golden = _golden_texts(repository, wishes.name, texts)
    candidate = Candidate(
        card=draft_card(
            wishes,
            source,
            modality=Modality.TEXT,
            specification=TextInput(characters=_CHARACTERS_PER_TOKEN * tokens, tokens=tokens),
            labels=reading.names,
            parity=checked,
            licence=licence_of(source.path),
        ),
        weights=weights,
        files=files_of(tokenizer),
        config=describe(
            wishes.name,
            title=wishes.title or wishes.name,
            description=wishes.description or f"Imported: {source.about}.",
            tokens=False,
        ),
        golden_inputs={"text": as_input(golden)},
        golden_outputs=score_texts(weights, tokenizer, golden),
    )
    return [Brought(candidate=candidate, notes=(reading.note, f"It reads texts in windows of {tokens} tokens."))]


def _read_labels(source: Source, wishes: Wishes) -> Reading:
    problem = source.config.get("problem_type")
    if problem in {"multi_label_classification", "regression"}:
        raise RefusedError(
            f"{source.path.name} was trained for {problem.replace('_', ' ')}, so its values are no probabilities of "
            "real or fake that exclude each other. Bring a model that was trained to choose one label."
        )
    try:
        config: Any = AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"config.json of {source.path.name} cannot be read: {error} Fetch it again.") from error
    return read_labels(config.id2label, wishes.fake_labels)


def _load_tokeniser(source: Source) -> Any:
    """The original's own tokeniser. Raises `RefusedError` where it is missing, or has no fast form."""
    try:
        original: Any = AutoTokenizer.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers lets through whatever a missing or damaged file makes its parts raise.
        raise RefusedError(
            f"{source.path.name} has no tokeniser that can be read ({str(error).splitlines()[0][:200]}). Fetch the "
            "whole folder, with tokenizer.json, or write it with `AutoTokenizer.from_pretrained(…).save_pretrained`."
        ) from error
    if not getattr(original, "is_fast", False):
        raise RefusedError(
            f"The tokeniser of {source.path.name} exists only in Python, and what is served runs tokenizer.json. "
            "Convert it to a fast one of transformers, save that with `save_pretrained`, and bring the folder again."
        )
    if original.pad_token is None:
        raise RefusedError(
            f"The tokeniser of {source.path.name} names no token for padding, so its texts cannot share a batch. Set "
            "`tokenizer.pad_token` to the one it was trained with and save it with `save_pretrained`."
        )
    return original


def _window(classifier: Any, original: Any, source: Source) -> int:
    """How many tokens the model sees at once, marks and all. Raises `RefusedError` where those are too few."""
    limits = [MOST_TOKENS, int(original.model_max_length)]
    if most := getattr(classifier.config, "max_position_embeddings", None):
        limits.append(int(most) if int(most) > 0 else MOST_TOKENS)
    for name, part in classifier.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, torch.nn.Embedding):
            # RoBERTa and its kin number places from after the padding on.
            limits.append(part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1))
    if min(limits) < FEWEST_TOKENS:
        raise RefusedError(
            f"{source.path.name} sees {min(limits)} tokens at once; at least {FEWEST_TOKENS} are needed."
        )
    return min(limits)


def _tokenizer_of(original: Any, tokens: int, source: Source) -> str:
    """The text of `tokenizer.json` as it is served: windows one after the other, padding on the right."""
    tokenizer: Any = Tokenizer.from_str(original.backend_tokenizer.to_str())
    try:
        tokenizer.enable_truncation(tokens, stride=0, direction="right")
    except ValueError as error:
        raise RefusedError(f"The tokeniser of {source.path.name} cannot cut windows of {tokens}: {error}.") from error
    tokenizer.enable_padding(
        direction="right",
        pad_id=original.pad_token_id,
        pad_type_id=original.pad_token_type_id,
        pad_token=original.pad_token,
    )
    _knows_strange_letters(tokenizer, source)
    return tokenizer.to_str()


def _knows_strange_letters(tokenizer: Tokenizer, source: Source) -> None:
    """Refuse a tokeniser that fails, or finds nothing, where a text is in letters that it was not trained on."""
    for text in _STRANGE:
        try:
            encoding: Any = tokenizer.encode(text, add_special_tokens=False)
            known = any(start < end for start, end in encoding.offsets)
        except Exception:  # noqa: BLE001  # What the tokenisers raise is of no class of its own; it is told below.
            known = False
        if not known:
            raise RefusedError(
                f"The tokeniser of {source.path.name} has no token for {text!r} and none for what is unknown to it, so "
                "texts in other letters could not be judged. Set `tokenizer.unk_token` to the one that it was trained "
                "with and save it with `save_pretrained`."
            )


def _inputs_of(classifier: Any, original: Any) -> tuple[str, ...]:
    takes = inspect.signature(classifier.forward).parameters
    typed = _TYPES in takes and _TYPES in original.model_input_names
    return (*_NUMBERS, _TYPES) if typed else _NUMBERS


def _ask(classifier: Any, original: Any, reading: Reading, texts: Sequence[str], tokens: int) -> NDArray[np.float64]:
    """p_fake of the original for the first window of each text, by its own tokeniser, float64 [n]."""
    scores: list[float] = []
    with torch.inference_mode():
        for text in texts:
            logits = classifier(**original(text, truncation=True, max_length=tokens, return_tensors="pt")).logits[0]
            if reading.activation == "sigmoid":
                chance = torch.sigmoid(logits[0].double() if reading.fake == (1,) else -logits[0].double())
            else:
                chance = torch.softmax(logits.double(), dim=-1)[list(reading.fake)].sum()
            scores.append(float(chance))
    return np.asarray(scores)


def _check(weights: bytes, tokenizer: str, expected: NDArray[np.float64], texts: Sequence[str]) -> Parity:
    """Hold the graph to the original, text by text and in batches. Raises `RefusedError` where they differ."""
    served = TextClassifier(open_graph(weights), tokenizer)
    windows = [served.windows(text)[:1] for text in texts]
    alone = np.asarray([served.judge([each])[0].p_fake for each in windows])
    largest = parity.hold(alone, expected)
    together = np.asarray([score.p_fake for score in served.judge(windows)])
    spread = float(np.abs(together - alone).max())
    if not spread <= parity.BATCH_ERROR:
        raise RefusedError(
            f"The converted model's scores depend on what else is in a batch, by up to {spread:.1e}. Such a model "
            "cannot be served, because calls of different callers share batches."
        )
    return Parity(framework=FRAMEWORK, n=len(texts), largest=largest)


def _golden_texts(repository: Repository, model: str, texts: Sequence[str]) -> list[str]:
    """The golden inputs that a model has, or else a few texts, one of them of several windows."""
    if file := golden_inputs_of(repository, model):
        with np.load(file) as kept:
            # A model of another kind is refused by its signature, when this is staged.
            if "text" in kept:
                return read_input(kept["text"])
    return [*texts[:3], texts[-1]]
