"""The networks of the precision part: of the published classes and sizes, with random weights, in three precisions.

Run by itself, because it needs torch: it saves them as transformers does, imports them as an engineer would, and puts
the converted versions beside them. What is there already is kept.
"""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
import transformers

from bentos.cards import Precision, Route, TrafficTable
from scripts.models import triton_config
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.precision import convert
from scripts.models.publish import (
    CONFIG_FILE,
    MODEL_FILE,
    digest_of,
    publish_version,
    read_golden,
    write_file,
    write_golden,
    write_traffic,
)
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from scripts.models.tuning import Tuning, write_tuning

PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
"""In the order of their versions, from 1 on."""
IMAGE: Final = "vit_base"
AUDIO: Final = "wav2vec2_base"
SAMPLES: Final = 32_000
"""A window of sound: two seconds at 16 kHz."""
TUNING: Final = Tuning(threads=1, instances=2, delay_us=0, preferred=(1,))
"""One thread for each of two instances, and no batches: on a processor a batch is only more memory to go through."""

_LABELS: Final = {0: "Real", 1: "Fake"}
_SEED: Final = 20_260
_READY: Final = "ready"


def sources(folder: Path) -> dict[str, Path]:
    """Folders of the networks as transformers saved them, by name."""
    return {name: folder / "sources" / name for name in (IMAGE, AUDIO)}


def make(folder: Path) -> Repository:
    """Return the repository with both networks, made where it is not there yet."""
    models = folder / "models"
    if (folder / _READY).is_file():
        return Repository(models)
    models.mkdir(parents=True, exist_ok=True)
    repository = Repository(models)
    for name, source in sources(folder).items():
        _save(name, source)
        if not repository.versions(name):
            import_model([str(source)], Wishes(name=name), repository)
        _convert(repository, name)
        config = models / name / CONFIG_FILE
        write_file(config, write_tuning(config.read_bytes(), TUNING))
        repository.list_versions(name, repository.versions(name))
        triton_config.parse(config.read_bytes())
    routes = {name: Route(stable=1, shadow=2, previous=3) for name in sources(folder)}
    write_traffic(models, TrafficTable(defaults={}, models=routes))
    write_file(folder / _READY, b"")
    return repository


def _save(name: str, folder: Path) -> None:
    if (folder / "config.json").is_file():
        return
    torch.manual_seed(_SEED)
    labels: dict[str, Any] = {"id2label": _LABELS, "label2id": {label: index for index, label in _LABELS.items()}}
    if name == IMAGE:
        transformers.ViTForImageClassification(transformers.ViTConfig(**labels)).save_pretrained(folder)
        transformers.ViTImageProcessor().save_pretrained(folder)
        return
    config = transformers.Wav2Vec2Config(**labels)
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(max_length=SAMPLES).save_pretrained(folder)


def _convert(repository: Repository, name: str) -> None:
    """Put the other precisions beside version 1. Nothing is compared: random weights give no verdict worth keeping."""
    first = repository.card(name, 1)
    weights = (repository.folder(name, 1) / MODEL_FILE).read_bytes()
    inputs = read_golden(repository.root, name, 1)[0]
    for version, precision in enumerate(PRECISIONS, start=1):
        if version in repository.versions(name):
            continue
        converted = convert(weights, precision, inputs)
        card = msgspec.structs.replace(
            first, version=version, precision=precision, derived_from=1, digest=digest_of(converted)
        )
        write_golden(repository.root, name, version, inputs={}, outputs=run_graph(converted, inputs))
        publish_version(repository.root, card, converted)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
