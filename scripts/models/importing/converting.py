"""From a torch module to a graph, with the exporter's own words turned into a sentence where it gives up."""

import contextlib
import logging
from collections.abc import Generator, Sequence

import onnx
import torch
from onnx import ModelProto

from scripts.models.errors import RefusedError
from scripts.models.export_torch import export_torch
from scripts.models.text.exporting import export_tokens


def convert(module: torch.nn.Module, example: torch.Tensor, *, name: str, output: str) -> ModelProto:
    """Export a module as `export_torch` does.

    Raises:
        RefusedError: It cannot run on such an input, or does something that ONNX has no operators for.
    """
    check_input(module, example)
    with _told():
        return export_torch(module, example, name=name, output=output)


def check_input(module: torch.nn.Module, example: torch.Tensor) -> None:
    """Run a module once. Raises `RefusedError` where it cannot take such an input."""
    try:
        with torch.inference_mode():
            module(example)
    except (RuntimeError, ValueError) as error:
        raise RefusedError(
            f"The model cannot take an input of {list(example.shape[1:])}: {_line(error)} "
            "Leave --input-size out, or mend the processor's configuration so that it fits the model's."
        ) from error


def convert_tokens(module: torch.nn.Module, *, inputs: Sequence[str], output: str) -> ModelProto:
    """Export a module over tokens as `export_tokens` does. Raises `RefusedError` as `convert` does."""
    with _told():
        return export_tokens(module, inputs=inputs, outputs=[output])


@contextlib.contextmanager
def _told() -> Generator[None]:
    """Turn the exporter's errors into a sentence. Raises `RefusedError`."""
    try:
        with _quiet():
            yield
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        cause = _line(error.__cause__ or error).rstrip(".")
        raise RefusedError(
            f"The model does something that cannot be converted to ONNX ({cause}). Export it to an .onnx file "
            "in your own way and bring that."
        ) from error


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep the exporter's notes on parts that are not installed, and on its own attempts, off the terminal."""
    loggers = [logging.getLogger("torch.onnx"), logging.getLogger("torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:") + "."
