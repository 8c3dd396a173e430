"""Which module brings which family of models. None is imported before it is needed."""

from collections.abc import Callable
from typing import Any, Final

from bentos.contract import Modality
from scripts.models.errors import RefusedError
from scripts.models.importing.brought import Brought
from scripts.models.importing.sources import Source
from scripts.models.importing.training import load
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository

Bring = Callable[[Source, Wishes, Repository], list[Brought]]

_FILES: Final = {
    "keras": "scripts.models.importing.keras_files",
    "onnx": "scripts.models.importing.onnx_files",
}
_CLASSIFIERS: Final = {
    Modality.IMAGE: ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES", "scripts.models.importing.image_classifiers"),
    Modality.AUDIO: ("MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES", "scripts.models.importing.audio_classifiers"),
    Modality.TEXT: ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES", "scripts.models.importing.text_classifiers"),
}
"""Per modality the table of transformers that lists its classes, and who brings them. Sound comes before text, because
classifiers of sound are called sequence classifiers too."""


def family_of(source: Source, wishes: Wishes) -> Bring:
    """Return the function that brings a source, which has a modality of its own if it is one of transformers.

    Raises:
        RefusedError: There is none for the architecture, or the modality that was asked for is another.
        ModelsError: The frameworks are not installed.
    """
    if source.kind != "transformers":
        return load(_FILES[source.kind]).bring
    modality = _modality_of(source)
    if wishes.modality not in {None, modality}:
        raise RefusedError(
            f"{source.architecture} judges {modality.value}, not {wishes.modality}; leave --modality out. "
            "An image model judges videos too where a caller asks for it by name."
        )
    return load(_CLASSIFIERS[modality][1]).bring


def _modality_of(source: Source) -> Modality:
    tables = load("transformers.models.auto.modeling_auto")
    for modality, (table, _) in _CLASSIFIERS.items():
        if source.architecture in _classes(getattr(tables, table)):
            return modality
    raise RefusedError(
        f"{source.architecture or 'A model that names no architecture'} is no classifier of pictures, sound or text "
        "that the installed transformers knows (…ForImageClassification, …ForAudioClassification, "
        "…ForSequenceClassification). Bring a model of such a class, or export it to ONNX and bring that file."
    )


def _classes(table: dict[str, Any]) -> frozenset[str]:
    names: list[str] = []
    for entry in table.values():
        names.extend([entry] if isinstance(entry, str) else entry)
    return frozenset(names)
