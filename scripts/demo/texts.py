"""Texts for the demo text detector: what people wrote for Python's own documentation, and babble sampled from it.

The genuine texts come with Python itself (the topics of `help()` and the docstrings of the standard library, all under
the licence of the Python Software Foundation). The fakes are sampled from a model of word pairs that is fitted to the
genuine texts of the same part, so that words, names and commas are the same and only their order over more than two
words gives a fake away.
"""

import ast
import hashlib
import random
import re
import sysconfig
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import Final

from scripts.demo.photographs import Part

MIN_WORDS: Final = 30
MAX_WORDS: Final = 70
"""Length of the pieces in words: what fits into one window of the model, and is enough for a person to judge by."""

_SHARES: Final[tuple[tuple[Part, int], ...]] = (("train", 70), ("calibration", 85), ("test", 100))
_SHORTEST_DOCUMENT: Final = 40
_SAMPLE_WORDS: Final = 300
_LINE: Final = 88
_FORGETFUL: Final = (0.4, 1.0)
_LEFT_OUT: Final = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib2to3"})
_MARKUP: Final = re.compile(r"[*=~^\-_`|+]{3,}|\*\*|``")


@dataclass(frozen=True, slots=True)
class Texts:
    """Pieces of text of one part, and for each whether it is fake: genuine and fake by turns."""

    pieces: tuple[str, ...]
    fake: tuple[bool, ...]


def draw_texts(seed: int, part: Part, pairs: int) -> Texts:
    """Return `pairs` pieces that people wrote and as many that were sampled, the same ones for the same seed."""
    rng = random.Random(f"{seed} {part}")
    documents = [document.split() for document in genuine_documents(part)]
    babble = Babble(documents)
    pieces: list[str] = []
    for _ in range(pairs):
        document = rng.choices(documents, [len(words) for words in documents])[0]
        length = rng.randint(MIN_WORDS, MAX_WORDS)
        start = rng.randrange(max(1, len(document) - length + 1))
        pieces += [" ".join(document[start : start + length]), " ".join(babble.sample(rng, length))]
    return Texts(tuple(pieces), tuple(index % 2 == 1 for index in range(len(pieces))))


def sample_text(seed: int, *, forged: bool) -> str:
    """Return 300 words of the test part, written by people or sampled, with line ends as in a file."""
    rng = random.Random(f"{seed} sample")
    documents = [document.split() for document in genuine_documents("test")]
    long = [words for words in documents if len(words) >= _SAMPLE_WORDS]
    words = Babble(documents).sample(rng, _SAMPLE_WORDS) if forged else rng.choice(long)[:_SAMPLE_WORDS]
    return "\n".join(textwrap.wrap(" ".join(words), _LINE)) + "\n"


def genuine_documents(part: Part) -> list[str]:
    """Return the documents of a part; which part a document belongs to is told by its own hash, for ever."""
    return [text for text in _documents() if _part_of(text) == part]


class Babble:
    """Word pairs of a body of text (a Markov chain of the first order; Shannon, 1948, "A Mathematical Theory…")."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self._after: dict[str, list[str]] = defaultdict(list)
        self._starts = [words[0] for words in documents]
        self._all = [word for words in documents for word in words]
        for words in documents:
            for first, second in pairwise(words):
                self._after[first].append(second)

    def sample(self, rng: random.Random, length: int) -> list[str]:
        """Return `length` words; every so often the chain forgets the word before, more in some samples than others."""
        forgetful = rng.uniform(*_FORGETFUL)
        words = [rng.choice(self._all)]
        while len(words) < length:
            followers = self._after.get(words[-1])
            words.append(rng.choice(followers if followers and rng.random() >= forgetful else self._all))
        return words


def _part_of(text: str) -> Part:
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % 100
    return next(part for part, bound in _SHARES if place < bound)


@cache
def _documents() -> tuple[str, ...]:
    """All genuine texts, each once, without the underlining and starring of reStructuredText, white space as one."""
    texts = (" ".join(_MARKUP.sub(" ", raw).split()) for raw in _raw_documents())
    return tuple(dict.fromkeys(text for text in texts if len(text.split()) >= _SHORTEST_DOCUMENT))


def _raw_documents() -> Iterator[str]:
    yield from topics.values()
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.rglob("*.py")):
        if _LEFT_OUT.isdisjoint(file.relative_to(library).parts):
            yield from _docstrings(file)


def _docstrings(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        # Some files of the library are broken on purpose, to test tools on them.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
