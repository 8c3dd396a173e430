"""The checks of a version that need nothing but its files: card, digests, configuration, encoder, golden set."""

from typing import Final

from bentos.cards import Card, CropInput
from scripts.models import triton_config
from scripts.models.errors import RefusedError
from scripts.models.publish import CONFIG_FILE, MODEL_FILE, digest_of, read_golden
from scripts.models.repository import Repository
from scripts.models.validation_report import Book

_MEBIBYTE: Final = 1024 * 1024


def look_at_files(repository: Repository, model: str, version: int, book: Book) -> Card:
    """Check everything that needs no Triton, and return the card. Raises `FailedError`."""
    cards: list[Card] = []

    def read_card() -> str:
        cards.append(_checked_card(repository, model, version))
        return f"It is complete; thresholds {_said(cards[0])}."

    book.look("card", read_card)
    card = cards[0]
    book.look("files", lambda: _check_files(repository, card))
    book.look("configuration", lambda: _check_config(repository, card))
    if card.encoder is not None:
        book.look("encoder", lambda: _check_encoder(repository, card))
    book.look("golden set", lambda: _check_golden(repository, card))
    return card


def _checked_card(repository: Repository, model: str, version: int) -> Card:
    card = repository.card(model, version)
    if (card.model, card.version) != (model, version):
        raise RefusedError(
            f"The card is that of {card.model}:{card.version}; write model and version as the folder is."
        )
    if card.thresholds and not 0 <= card.thresholds.low <= card.thresholds.high <= 1:
        raise RefusedError(f"The thresholds {_said(card)} are not in order: 0 <= low <= high <= 1.")
    if card.thresholds is None and not is_encoder(card):
        raise RefusedError("The card has no thresholds, so that no verdict can be given; write `thresholds`.")
    return card


def _said(card: Card) -> str:
    return f"{card.thresholds.low} and {card.thresholds.high}" if card.thresholds else "none, as of an encoder"


def is_encoder(card: Card) -> bool:
    """Whether it takes crops of videos and gives features."""
    return card.modality == "video" and isinstance(card.input, CropInput)


def _check_files(repository: Repository, card: Card) -> str:
    folder = repository.folder(card.model, card.version)
    total = 0
    for name, digest in {MODEL_FILE: card.digest, **card.files}.items():
        if not (folder / name).is_file():
            raise RefusedError(f"{folder / name} is missing.")
        data = (folder / name).read_bytes()
        if digest_of(data) != digest:
            raise RefusedError(f"{folder / name} is not what its card says: its digest is {digest_of(data)}.")
        total += len(data)
    return f"{1 + len(card.files)} of {total / _MEBIBYTE:.1f} MiB, as the card's digests say."


def _check_config(repository: Repository, card: Card) -> str:
    file = repository.root / card.model / CONFIG_FILE
    config = triton_config.parse(file.read_bytes())
    if config.name != card.model:
        raise RefusedError(f"{file} names the model {config.name!r}; write {card.model!r}.")
    if config.backend not in {triton_config.BACKEND, triton_config.PYTHON_BACKEND}:
        raise RefusedError(f"{file} names the backend {config.backend!r}, which the platform does not run.")
    if config.max_batch_size < 1:
        raise RefusedError(f"{file} has max_batch_size {config.max_batch_size}; Triton has to batch: write 1 or more.")
    return f"Backend {config.backend}, batches of up to {config.max_batch_size}."


def _check_encoder(repository: Repository, card: Card) -> str:
    assert card.encoder  # noqa: S101  # The caller has looked.
    pinned = repository.card(card.encoder.model, card.encoder.version)
    if pinned.digest != card.encoder.digest:
        raise RefusedError(
            f"It was trained on another {pinned.model}:{pinned.version} than the one that is here: "
            f"{card.encoder.digest} against {pinned.digest}. Stage that encoder and pin it."
        )
    _check_files(repository, pinned)
    return f"{pinned.model}:{pinned.version}, as pinned."


def _check_golden(repository: Repository, card: Card) -> str:
    try:
        inputs, outputs = read_golden(repository.root, card.model, card.version)
    except FileNotFoundError as error:
        raise RefusedError(f"There is no golden set: {error.filename} is missing.") from error
    rows = {len(values) for values in (*inputs.values(), *outputs.values())}
    if len(rows) != 1 or not outputs:
        raise RefusedError(f"The golden set has {sorted(rows)} rows; inputs and answers have to be as many.")
    return f"{rows.pop()} inputs with answers."
