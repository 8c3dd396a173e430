"""Which of a model's labels mean fake: read from their names where those are clear, asked for where they are not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from scripts.models.errors import RefusedError

_FAKE: Final = re.compile(
    "ai|aigenerated|aivoice|artificial|chatgpt|cloned?|computer|deepfakes?|fabricated|fake[ds]?|forged|forgery|gan|"
    "generated|gpt|llm|machine|manipulated|spoof(ed)?|swapped|synthesi[sz]ed|synthetic|tampered|tts"
)
_REAL: Final = re.compile(
    "actual|authentic|bonafide|genuine|human|humanvoice|live|natural|originals?|pristine|reals?|realism|untampered"
)
_NOT: Final = frozenset(
    {"absent", "anti", "false", "free", "isn", "less", "negative", "never", "no", "non", "not", "un", "without", "zero"}
)
"""Words that may turn another into its opposite, as in "un-manipulated" and "deepfake-free": then a person is asked."""
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_PLACEHOLDER: Final = re.compile(r"LABEL_\d+")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a model's last layer: the names of its labels in order, and the numbers of those that mean fake.

    `activation` "sigmoid" is one value in all; then `fake` is (1,) where a high value means fake and (0,) where a low
    one does, and there are two names, for a low and for a high value. `note` says what a person should know of it.
    """

    activation: Literal["softmax", "sigmoid"]
    fake: tuple[int, ...]
    names: tuple[str, ...]
    note: str


def read_labels(names: Mapping[int, str] | Sequence[str], wished: Sequence[str]) -> Reading:
    """Say how to read the last layer of a model with these labels; one label stands for a single value, for a sigmoid.

    `names` are a configuration's `id2label`; `wished` are what `--fake-label` said.

    Raises:
        RefusedError: It is unclear which of them mean fake, or a wished one is not there.
    """
    labels = tuple(names[index] for index in sorted(names)) if isinstance(names, Mapping) else tuple(names)
    if len(labels) == 1:
        return read_single(labels[0], wished)
    if not labels:
        raise RefusedError("The model names no labels, so it is no classifier that could say what is fake.")
    fake = _wished(labels, wished) if wished else _guessed(labels)
    told = " + ".join(labels[index] for index in fake)
    how = "as asked" if wished else "read from the labels"
    several = ", the sum of their probabilities" if len(fake) > 1 else ""
    return Reading(
        activation="softmax",
        fake=fake,
        names=labels,
        note=f"p_fake is that of {told} among {', '.join(labels)} ({how}{several}).",
    )


def check_names(config: Mapping[str, Any], wished: Sequence[str]) -> None:
    """Pass for a configuration of transformers whose two tables of labels say the same, as far as both name a label.

    Numbers in `wished` count whatever the tables say.

    Raises:
        RefusedError: Labels are not numbered from 0 on, or `id2label` and `label2id` contradict each other.
    """
    names, numbers = config.get("id2label"), config.get("label2id")
    if not isinstance(names, Mapping) or (wished and all(wish.isdecimal() for wish in wished)):
        return
    by_number = {str(number): str(name) for number, name in names.items()}
    if by_number and set(by_number) != set(map(str, range(len(by_number)))):
        raise RefusedError(
            f"id2label in config.json numbers its labels {', '.join(by_number)} and not from 0 on, so it is unclear "
            "which output is which. Look it up where the model was published, then add --fake-label with a number."
        )
    other = {str(name): str(number) for name, number in numbers.items()} if isinstance(numbers, Mapping) else {}
    wrong = [name for number, name in by_number.items() if other.get(name, number) != number]
    # Two outputs of one name cannot both be in the other table.
    if wrong and len(set(by_number.values())) == len(by_number):
        raise RefusedError(
            f"config.json contradicts itself: id2label and label2id give {_listed(tuple(wrong))} different numbers. "
            "Look up which is right where the model was published, or ask it about a few media whose truth you know, "
            "then add --fake-label with the number of the label that means fake."
        )


def read_single(name: str | None, wished: Sequence[str]) -> Reading:
    """Say how to read a single output value, whose label is `name` if it has one.

    Raises:
        RefusedError: It is unclear whether a high value means fake or real.
    """
    meaning = _meaning(name) if name else None
    if wished:
        if len(wished) > 1 or (wished[0] not in {"0", "1"} and (name is None or _plain(wished[0]) != _plain(name))):
            raise RefusedError(
                "The model gives a single value: say --fake-label 1 where a high value means fake, "
                "or --fake-label 0 where a low one does."
            )
        high = wished[0] != "0"
    elif meaning is None:
        raise RefusedError(
            "The model gives a single value, and nothing says whether a high one means fake. Add --fake-label 1 where "
            "it does, or --fake-label 0 where a low one does (as after training on folders fake/ and real/ in the "
            "order of the alphabet)."
        )
    else:
        high = meaning == "fake"
    names = ("real", "fake") if high else ("fake", "real")
    return Reading(
        activation="sigmoid",
        fake=(int(high),),
        names=names,
        note=f"p_fake is read from a single value; a {'high' if high else 'low'} one means fake.",
    )


def _wished(labels: tuple[str, ...], wished: Sequence[str]) -> tuple[int, ...]:
    plain = [_plain(label) for label in labels]
    found: set[int] = set()
    for wish in wished:
        if _plain(wish) in plain:
            found.update(index for index, label in enumerate(plain) if label == _plain(wish))
        elif wish.isdecimal() and int(wish) < len(labels):
            found.add(int(wish))
        else:
            raise RefusedError(
                f"The model has no label {wish!r}; give --fake-label one of: {_listed(labels)}, or its number."
            )
    if len(found) == len(labels):
        raise RefusedError(f"Not all labels can mean fake; give --fake-label only those that do: {_listed(labels)}.")
    return tuple(sorted(found))


def _guessed(labels: tuple[str, ...]) -> tuple[int, ...]:
    meanings = [_meaning(label) for label in labels]
    if None in meanings or not {"fake", "real"} <= set(meanings):
        raise RefusedError(
            f"It is unclear which of the labels {_listed(labels)} mean fake. Look it up where the model was published, "
            "then add --fake-label with the label or its number, several times where several mean fake."
        )
    return tuple(index for index, meaning in enumerate(meanings) if meaning == "fake")


def _meaning(label: str) -> Literal["fake", "real"] | None:
    """What a label's name says for certain; None where it says nothing, denies something or says both."""
    if _PLACEHOLDER.fullmatch(label):
        return None
    words = {word.lower() for word in _WORDS.findall(label)}
    words.add("".join(re.findall(r"[a-z0-9]+", label.lower())))
    if words & _NOT:
        return None
    # "Deep Fake", "bona fide" and the like are one word here; "real" in "unreal" is none.
    match any(map(_FAKE.fullmatch, words)), any(map(_REAL.fullmatch, words)):
        case True, False:
            return "fake"
        case False, True:
            return "real"
        case _:
            return None


def _plain(label: str) -> str:
    return label.strip().casefold()


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(f"{label!r}" for label in labels)
