"""Versions of a model that differ by a known amount, for runs and tests that have to tell which of them answered."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from bentos.cards import Card, Route, TrafficTable
from scripts.demo.catalogue import IMAGE_CNN
from scripts.models.publish import MODEL_FILE, read_golden, write_traffic
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from scripts.models.staging import ASSIGNED, Candidate, stage
from scripts.stack.settings import CHECKOUT

_SCORE: Final = "p_fake"


def shifted(graph: ModelProto, shift: float) -> ModelProto:
    """Return the graph with `shift` added to the log-odds of `p_fake`, before the sigmoid that ends it."""
    copy = ModelProto()
    copy.CopyFrom(graph)
    [end] = [node for node in copy.graph.node if _SCORE in node.output]
    before = end.input[0]
    end.input[0] = f"{_SCORE}/shifted"
    copy.graph.initializer.append(numpy_helper.from_array(np.asarray(shift, np.float32), f"{_SCORE}/shift"))
    add = helper.make_node("Add", [before, f"{_SCORE}/shift"], [f"{_SCORE}/shifted"])
    copy.graph.node.insert(len(copy.graph.node) - 1, add)
    onnx.checker.check_model(copy)
    return copy


def stage_shifted(repository: Repository, shift: float, *, model: str = "image_cnn") -> Card:
    """Stage a version of a demo image model that answers as its first one does, shifted by so many log-odds.

    Raises what `stage` does.
    """
    first = repository.folder(model, 1)
    weights = shifted(onnx.load_from_string((first / MODEL_FILE).read_bytes()), shift).SerializeToString()
    inputs, _ = read_golden(repository.root, model, 1)
    card = msgspec.structs.replace(repository.card(model, 1), version=ASSIGNED, derived_from=1)
    candidate = Candidate(
        card=card,
        weights=weights,
        config=IMAGE_CNN,
        golden_inputs=inputs,
        golden_outputs=run_graph(weights, inputs),
    )
    return stage(repository, candidate, reason=f"{shift:+g} log-odds, to be told from version 1")


def repository_of_versions(root: Path, model: str, shifts: Mapping[int, float]) -> Repository:
    """Make a repository of a demo image model alone, with these versions by their shifts; the first one is stable.

    Raises what `stage` does.
    """
    root.mkdir()
    shutil.copytree(CHECKOUT / "model_repository" / model, root / model)
    repository = Repository(root)
    for version in repository.versions(model)[1:]:
        shutil.rmtree(root / model / str(version))
    repository.list_versions(model, (1,))
    defaults = {repository.card(model, 1).modality: model}
    write_traffic(root, TrafficTable(defaults=defaults, models={model: Route(stable=1)}))
    for version in sorted(shifts)[1:]:
        stage_shifted(repository, shifts[version], model=model)
    return repository
