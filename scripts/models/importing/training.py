"""Imports modules that need the frameworks of training and converting, which a serving installation does not have."""

from importlib import import_module
from typing import Any

from scripts.models.errors import ModelsError


def load(module: str) -> Any:
    """Import a module that needs torch, Keras or transformers. Raises `ModelsError` where those are not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"scripts", "bentos"}:
            raise
        raise ModelsError(
            f"{error.name} is not installed here; run `make train-env`, which adds what converting models needs."
        ) from error
