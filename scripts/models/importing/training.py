"""Imports modules that need the frameworks of training and converting, which a serving installation does not have."""

import os
from importlib import import_module
from typing import Any

from scripts.models.errors import ModelsError


def load(module: str) -> Any:
    """Import a module that needs torch, Keras or transformers. Raises `ModelsError` where those are not installed."""
    # TensorFlow prints to standard error while it is imported, unless it was told not to before.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"scripts", "bentos"}:
            raise
        raise ModelsError(
            f"{error.name} is not installed here; run `make train-env`, which adds what converting models needs."
        ) from error
