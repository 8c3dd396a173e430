import codecs

import numpy as np
import pytest

from bentos.contract import Modality, TextEvidence
from bentos.errors import BrokenModelError, EmptyMediaError, UnreadableMediaError, UnsupportedMediaError
from bentos.evidence import MOST_TOKENS, text_evidence
from bentos.media.options import TextOptions
from bentos.media.prepared import PreparedText
from bentos.media.text import FEWEST_CHARACTERS, decode_text, prepare_text
from bentos.sample_makers import make_sample
from bentos.samples import SampleOptions

TEXT = "Über den Wolken muß die Freiheit wohl grenzenlos sein. 🐢 "
OPTIONS = TextOptions(characters=100)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16-be"),
    ],
    ids=["plain", "utf-8-sig", "utf-16-le", "utf-16-be"],
)
def test_unicode_is_read_with_and_without_a_mark(data: bytes, encoding: str) -> None:
    assert decode_text(data) == (TEXT, encoding)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyMediaError),
        (b" \n\t\xc2\xa0", EmptyMediaError),
        (codecs.BOM_UTF8, EmptyMediaError),
        (TEXT.encode("cp1252", "replace"), UnreadableMediaError),
        (TEXT.encode()[:-3], UnreadableMediaError),
        (codecs.BOM_UTF16_LE + b"\x00\xd8", UnreadableMediaError),
        (codecs.BOM_UTF16_LE + b"odd", UnreadableMediaError),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", UnsupportedMediaError),
        (b"text\x00with a zero", UnsupportedMediaError),
        (TEXT.encode("utf-16-le"), UnsupportedMediaError),
    ],
    ids=range(10),
)
def test_what_is_no_text_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        prepare_text(data, OPTIONS)


def test_control_characters_become_spaces_one_for_one() -> None:
    assert decode_text("a\x07b\x1bc\x9fd\n\te\x85f".encode())[0] == "a b c d\n\te\x85f"


def test_a_text_keeps_its_offsets_and_counts() -> None:
    text = f"\n  {TEXT * 6}"
    prepared = prepare_text(text.encode(), OPTIONS)
    assert (prepared.characters, prepared.words) == (len(text), len(text.split()))
    assert tuple(text[start:end] for start, end in prepared.spans) == prepared.passages
    assert not prepared.too_short
    assert prepared.reasons == prepared.unscored == ()


def test_a_short_text_is_told_and_a_long_one_is_judged_in_part() -> None:
    short = prepare_text(b" x" * (FEWEST_CHARACTERS - 1), OPTIONS)
    assert short.too_short
    assert [reason.code for reason in short.reasons] == ["text_too_short"]
    assert not prepare_text(b" x" * FEWEST_CHARACTERS, OPTIONS).too_short
    long = prepare_text(b"Some words. " * 100, TextOptions(characters=100, most_passages=3))
    assert len(long.passages) == 3
    assert [reason.code for reason in long.unscored] == ["passages_left_out"]


@pytest.mark.parametrize(
    "nothing", ["\u200b", "\u0301", "\ufffd", "\U000e0061"], ids=["space", "accent", "lost", "tag"]
)
def test_what_shows_nothing_is_no_passage_and_counts_for_nothing(nothing: str) -> None:
    # Tokenisers drop such characters, and a model cannot answer a passage without a token.
    with pytest.raises(EmptyMediaError):
        prepare_text((nothing * 300).encode(), OPTIONS)
    assert prepare_text(f"a{nothing * 300}".encode(), OPTIONS).too_short
    text = f"{'Some words. ' * 20}{nothing * 1000} {'Other words. ' * 20}"
    prepared = prepare_text(text.encode(), OPTIONS)
    assert all(passage.strip(f"{nothing} ") for passage in prepared.passages)
    assert tuple(text[start:end] for start, end in prepared.spans) == prepared.passages
    assert prepared.spans[-1][1] == len(text.rstrip())
    assert prepared.unscored == ()


def test_the_sample_for_readiness_is_a_text_long_enough_to_be_judged() -> None:
    sample = make_sample(b"", SampleOptions(Modality.TEXT))
    assert not prepare_text(sample.data.tobytes(), OPTIONS).too_short


def evidence(
    spans: tuple[tuple[int, int], ...], scores: list[float], tokens: list[list[tuple[int, int]]]
) -> TextEvidence:
    """Evidence of passages whose tokens all have the score of their passage."""
    text = PreparedText(
        passages=tuple("x" * (end - start) for start, end in spans),
        spans=spans,
        characters=spans[-1][1],
        words=1,
        encoding="utf-8",
        too_short=False,
        reasons=(),
        unscored=(),
        decode_ms=0,
    )
    longest = max(map(len, tokens))
    token_spans = np.full((len(spans), longest, 2), -1, np.int32)
    token_scores = np.full((len(spans), longest), -1, np.float32)
    for row, pairs in enumerate(tokens):
        token_spans[row, : len(pairs)] = pairs
        token_scores[row, : len(pairs)] = scores[row]
    outputs = {"token_p_fake": token_scores, "token_spans": token_spans}
    return text_evidence(text, np.asarray(scores, np.float32)[:, None], outputs)


def test_tokens_are_shown_where_they_lie_in_the_whole_text() -> None:
    found = evidence(((2, 7), (8, 12)), [0.25, 0.75], [[(0, 2), (3, 5)], [(0, 4)]])
    assert [(one.start, one.end, one.p_fake) for one in found.passages] == [(2, 7, 0.25), (8, 12, 0.75)]
    assert [[(one.start, one.end) for one in passage.tokens] for passage in found.passages] == [
        [(2, 4), (5, 7)],
        [(8, 12)],
    ]


def test_of_many_tokens_those_of_the_most_suspicious_passages_are_shown() -> None:
    many = MOST_TOKENS // 2 + 1
    tokens = [[(place, place + 1) for place in range(many)]] * 3
    found = evidence(((0, 1000), (1000, 2000), (2000, 3000)), [0.1, 0.9, 0.5], tokens)
    assert [len(passage.tokens) for passage in found.passages] == [0, many, 0]


def test_tokens_outside_of_their_passage_are_a_broken_model() -> None:
    with pytest.raises(BrokenModelError):
        evidence(((0, 5),), [0.5], [[(0, 6)]])
