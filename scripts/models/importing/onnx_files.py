"""Brings ONNX files: classifiers of pictures and of sound, and graphs that speak the repository's contract already.

The graph that is served is held to the file itself, run by ONNX Runtime on pixels and samples that are prepared apart.
"""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from bentos.cards import Parity
from scripts.models.errors import RefusedError
from scripts.models.graph import Logits, give_p_fake, rename_ends, take_pixels, take_waveform
from scripts.models.graph_parts import BATCH, copy_of, real_inputs
from scripts.models.graph_scores import flatten_scores, to_logits
from scripts.models.importing import parity
from scripts.models.importing.brought import Brought, batching_of, draft_card, draft_config, golden_of
from scripts.models.importing.onnx_loading import FRAMEWORK, OnnxFile, in_words, load_onnx, told
from scripts.models.importing.onnx_media import Medium, in_contract, read_medium
from scripts.models.importing.onnx_pairs import bring_pair
from scripts.models.importing.outputs import p_fake_of, read_output
from scripts.models.importing.sources import Source
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository
from scripts.models.staging import Candidate
from scripts.models.triton_config import Tensor

GOLDEN: Final = 4

_VALUES: Final = "source/values"
_SCORES: Final = "source/scores"


def bring(source: Source, wishes: Wishes, repository: Repository) -> list[Brought]:
    """Put the contract round an ONNX file and hold the graph to the file.

    Raises:
        RefusedError: It is no classifier of pictures or sound that can be served, something has to be said on the
            command line, or the graph does not answer what the file answers.
        ModelsError: The file cannot be read.
    """
    if len(source.paths) > 1:
        return bring_pair(source, wishes, repository)
    wishes.tell(f"opening {source.path.name}")
    file = load_onnx(source.path)
    if len(file.inputs) != 1 or len(file.model.graph.output) != 1:
        raise RefusedError(
            f"{source.path.name} takes {in_words(file.inputs)} and gives {in_words(file.model.graph.output)}. Bring a "
            "graph of one input, pictures or waveforms, and one output, the scores."
        )
    medium = read_medium(file, wishes)
    if wishes.modality not in {None, medium.modality}:
        raise RefusedError(f"The graph judges {medium.modality.value}, not {wishes.modality}; leave --modality out.")
    wishes.tell(f"asking the original about {len(medium.given)} inputs")
    [answers] = file.ask(medium.prepared)
    if in_contract(file):
        return [_as_it_is(file, medium, answers, source, wishes, repository)]
    graph = _with_free_batch(file, medium, answers)
    scores, reading = read_output(graph, _SCORES, wishes, beside=source.path)
    expected = p_fake_of(answers.reshape(len(answers), -1), scores, reading)
    graph = flatten_scores(graph, source=_SCORES, count=answers.reshape(len(answers), -1).shape[1])
    graph = to_logits(graph, scores, source=_SCORES)
    graph = give_p_fake(graph, Logits(activation=reading.activation, fake=reading.fake), source=_SCORES)
    weights = _with_input(graph, medium).SerializeToString()
    wishes.tell("comparing the two")
    checked = _checked(weights, medium, expected)
    notes = (reading.note, *medium.notes)
    return [_brought(medium, weights, checked, reading.names, notes, source, wishes, repository)]


def _with_free_batch(file: OnnxFile, medium: Medium, answers: NDArray) -> ModelProto:
    """The file's graph with ends of our names and of the sizes that were seen, the batch alone open."""
    graph = copy_of(file.model)
    # What was known of sizes inside held for the file's own batch.
    del graph.graph.value_info[:]
    [taken], [given] = real_inputs(graph), graph.graph.output
    for end, shape in ((taken, medium.prepared.shape), (given, answers.shape)):
        end.CopyFrom(helper.make_tensor_value_info(end.name, TensorProto.FLOAT, [BATCH, *shape[1:]]))
    try:
        return rename_ends(graph, inputs=[_VALUES], outputs=[_SCORES])
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise RefusedError(_fixed_batch(error)) from error


def _with_input(graph: ModelProto, medium: Medium) -> ModelProto:
    if medium.pixels is not None:
        return take_pixels(graph, medium.pixels, source=_VALUES)
    if medium.normalised:
        return take_waveform(graph, source=_VALUES, samples=medium.given.shape[1])
    return rename_ends(graph, inputs=[medium.name], outputs=["p_fake"])


def _checked(weights: bytes, medium: Medium, expected: NDArray) -> Parity:
    try:
        return parity.check(weights, {medium.name: medium.given}, expected, framework=FRAMEWORK)
    except (MemoryError, RefusedError):
        raise
    except Exception as error:
        # The runtime's errors share no class.
        raise RefusedError(_fixed_batch(error)) from error


def _fixed_batch(error: Exception) -> str:
    return (
        f"The graph cannot judge several media at once: {told(error)} Export it with a free batch size (dynamic axes), "
        "because calls share batches here."
    )


def _as_it_is(
    file: OnnxFile, medium: Medium, answers: NDArray, source: Source, wishes: Wishes, repository: Repository
) -> Brought:
    """A graph that speaks the contract: nothing is added, and its p_fake is believed to be one."""
    if answers.shape != (len(medium.given), 1) or answers.min() < 0 or answers.max() > 1:
        raise RefusedError(
            f"p_fake of {file.path.name} has the shape {list(answers.shape[1:])} and lies from {answers.min():.3g} to "
            f"{answers.max():.3g}. The contract wants one probability a medium, [batch, 1]."
        )
    graph = copy_of(file.model)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param = BATCH
    weights = graph.SerializeToString()
    checked = _checked(weights, medium, answers)
    return _brought(medium, weights, checked, ("real", "fake"), medium.notes, source, wishes, repository)


def _brought(
    medium: Medium,
    weights: bytes,
    checked: Parity,
    labels: tuple[str, ...],
    notes: tuple[str, ...],
    source: Source,
    wishes: Wishes,
    repository: Repository,
) -> Brought:
    card = draft_card(
        wishes,
        source,
        modality=medium.modality,
        specification=medium.specification,
        labels=labels,
        parity=checked,
    )
    inputs, outputs = golden_of(repository, wishes.name, weights, {medium.name: medium.given[:GOLDEN]})
    kind = "UINT8" if medium.given.dtype == np.uint8 else "FP32"
    tensor = Tensor(name=medium.name, dtype=kind, shape=medium.given.shape[1:])
    candidate = Candidate(
        card=card,
        weights=weights,
        config=draft_config(wishes, source, modality=medium.modality, inputs=[tensor], batching=batching_of(weights)),
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
    return Brought(candidate=candidate, notes=notes)
