"""Texts on which an imported model is held to its original: some that come with Python, or those of a folder."""

from pathlib import Path
from pydoc_data.topics import topics
from typing import Final

from bentos.errors import DetectionError
from bentos.media.text import decode_text
from scripts.models.errors import RefusedError

MOST: Final = 64
"""Texts of a folder that are looked at."""
_TOPICS: Final = ("assert", "booleans", "dict", "exprlists", "floating", "naming", "pass", "slicings", "while", "with")
_OTHERS: Final = (
    "Short.",
    "Is this written by a person? It may well be; who knows, and who would tell!",
    "Ça n'a pas d'importance, « peut-être », dit-il. Über allen Gipfeln ist Ruh.",
    "数学は科学の女王である。\n\n\tΩδή. 🙂 1 + 1 = 2",
)
_CHARACTERS: Final = 4000


def carried_texts() -> list[str]:
    """Texts of many lengths, most of them in English; the same ones at every call."""
    return [*(topics[name][:_CHARACTERS] for name in _TOPICS if name in topics), *_OTHERS]


def texts_of(folder: Path) -> list[str]:
    """The texts of a folder and the folders in it: files that end in .txt or .md, `MOST` at most.

    Raises:
        RefusedError: There are none, or one cannot be read.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in {".txt", ".md"} and file.is_file())
    if not files:
        raise RefusedError(f"{folder} holds no .txt or .md file to hold the model to its original on.")
    texts: list[str] = []
    for file in files[:MOST]:
        try:
            texts.append(decode_text(file.read_bytes())[0])
        except (DetectionError, OSError) as error:
            raise RefusedError(f"{file} cannot be read as a text: {error} Take it out of the folder.") from error
    return texts
