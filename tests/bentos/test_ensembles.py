import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.cards import Card, CropInput, Ensemble, Member, Route
from bentos.contract import ImageEvidence, Modality, Reason, Thresholds, Timings, Verdict
from bentos.ensembles import MemberAnswer, conclude_together, default_thresholds, digest_of, find_fault, suits
from bentos.errors import (
    BrokenModelError,
    DeadlineExceededError,
    DetectionError,
    InferenceUnavailableError,
    UnknownModelError,
    UnreadableMediaError,
)
from bentos.verdict import Finding, Heard

TIMINGS = Timings(queue_ms=0, decode_ms=0, faces_ms=0, inference_ms=0, total_ms=0)
CROP = CropInput(height=4, width=4, resize_filter="area", margin=0.3)
ROUTES = {name: Route(stable=1) for name in "abc"}


def card(model: str, *, version: int = 1, low: float = 0.4, high: float = 0.6, modality: Modality = Modality.IMAGE):
    return Card(
        model=model,
        version=version,
        modality=modality,
        source="made up",
        licence="Apache-2.0",
        digest=f"sha256:{model}-{version}",
        demo=True,
        input=CROP,
        label_order=(),
        intended_use="tests",
        limits="all",
        created="2026-01-01",
        thresholds=Thresholds(low=low, high=high),
    )


def ensemble(*members: Member, **changes) -> Ensemble:
    declared = Ensemble(
        version=3,
        modality=Modality.IMAGE,
        title="Both",
        description="Two at once.",
        fusion="mean",
        members=members or (Member(model="a"), Member(model="b")),
        thresholds=Thresholds(low=0.4, high=0.6),
    )
    return msgspec.structs.replace(declared, **changes)


def heard(model: str, p_fake: float, *reasons: str, **options) -> Heard:
    finding = Finding(
        p_fake=p_fake,
        evidence=ImageEvidence(width=len(model), height=1, format=model, faces_found=0, faces=()),
        reasons=tuple(Reason(code=code, message=model) for code in reasons),
        **options,
    )
    return Heard(card=card(model), finding=finding)


def together(declared: Ensemble, *outcomes: Heard | DetectionError):
    answers = [MemberAnswer(member, outcome) for member, outcome in zip(declared.members, outcomes, strict=True)]
    return conclude_together("both", declared, answers, timings=TIMINGS)


def test_the_mean_decides_and_each_member_is_named_with_what_it_said():
    detection = together(ensemble(), heard("a", 0.9, "x"), heard("b", 0.2, "x", "y"))
    assert detection.p_fake == pytest.approx(0.55)
    assert (detection.verdict, detection.partial, detection.unscored) == (Verdict.UNCERTAIN, False, ())
    assert (detection.model, detection.version) == ("both", 3)
    assert [(score.model, score.version, score.digest, score.verdict, score.weight) for score in detection.members] == [
        ("a", 1, "sha256:a-1", Verdict.FAKE, 1.0),
        ("b", 1, "sha256:b-1", Verdict.REAL, 1.0),
    ]
    assert [reason.code for reason in detection.reasons] == ["judged_by_members", "x", "y"]
    assert isinstance(detection.evidence, ImageEvidence)
    assert detection.evidence.format == "a"


def test_weights_count_in_weighted_fusion_only():
    members = (Member(model="a", weight=3.0), Member(model="b"))
    answers = (heard("a", 0.9), heard("b", 0.1))
    assert together(ensemble(*members, fusion="weighted"), *answers).p_fake == pytest.approx(0.7)
    assert together(ensemble(*members), *answers).p_fake == pytest.approx(0.5)


def test_a_vote_counts_verdicts_by_the_members_own_thresholds():
    three = ensemble(*(Member(model=name) for name in "abc"), fusion="vote", thresholds=default_thresholds("vote", ()))
    fake, real, unsure = 0.61, 0.39, 0.5
    for said, p_fake, verdict in (
        ((fake, fake, real), 2 / 3, Verdict.FAKE),
        ((fake, real, real), 1 / 3, Verdict.REAL),
        ((fake, real, unsure), 1 / 2, Verdict.UNCERTAIN),
        ((fake, unsure, unsure), 2 / 3, Verdict.FAKE),
    ):
        detection = together(three, *map(heard, "abc", said))
        assert detection.p_fake == pytest.approx(p_fake)
        assert detection.verdict is verdict


def test_without_a_member_the_rest_answers_and_says_who_is_missing():
    whole = together(ensemble(), heard("a", 0.9), heard("b", 0.7))
    detection = together(ensemble(), InferenceUnavailableError(), heard("b", 0.7))
    assert (detection.p_fake, detection.partial) == (0.7, True)
    [reason] = detection.unscored
    assert reason.code == "members_missing"
    assert "a (inference_unavailable)" in reason.message
    assert [score.model for score in detection.members] == ["b"]
    assert isinstance(detection.evidence, ImageEvidence)
    assert detection.evidence.format == "b"
    assert detection.digest != whole.digest


def test_what_a_member_could_not_score_makes_the_whole_partial():
    lost = (Reason(code="frames_unreadable", message="Some."),)
    detection = together(ensemble(), heard("a", 0.9, unscored=lost), heard("b", 0.7, unscored=lost))
    assert detection.partial
    assert detection.unscored == lost


def test_too_little_of_a_medium_for_all_members_is_uncertain():
    members = (heard("a", 0.9, undecided=True), heard("b", 0.9, undecided=True))
    assert together(ensemble(), *members).verdict is Verdict.UNCERTAIN


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ((InferenceUnavailableError(), UnknownModelError()), InferenceUnavailableError),
        ((BrokenModelError(), BrokenModelError()), BrokenModelError),
        ((DeadlineExceededError(), DeadlineExceededError()), DeadlineExceededError),
        ((InferenceUnavailableError(), UnreadableMediaError()), UnreadableMediaError),
    ],
    ids=["away", "broken", "late", "medium at fault"],
)
def test_too_few_answers_are_no_answer(failures, kind):
    with pytest.raises(kind):
        together(ensemble(), *failures)


def test_the_declaration_says_how_few_are_too_few():
    with pytest.raises(InferenceUnavailableError, match="1 of the 2 members of both answered and 2 are needed"):
        together(ensemble(minimum=2), heard("a", 0.9), InferenceUnavailableError())


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    weights=st.lists(st.floats(0.01, 100), min_size=6, max_size=6),
    fusion=st.sampled_from(["mean", "weighted"]),
)
def test_a_score_of_several_lies_between_theirs_whatever_they_weigh(values, weights, fusion):
    names = "abcdef"[: len(values)]
    declared = ensemble(*(Member(model=n, weight=w) for n, w in zip(names, weights, strict=False)), fusion=fusion)
    assert min(values) <= together(declared, *map(heard, names, values)).p_fake <= max(values)


def test_the_digest_tells_declarations_and_answering_versions_apart():
    cards = [card("a"), card("b")]
    digests = {
        digest_of(ensemble(), cards),
        digest_of(ensemble(), cards[:1]),
        digest_of(ensemble(), [card("a"), card("b", version=2)]),
        digest_of(ensemble(fusion="vote"), cards),
        digest_of(ensemble(minimum=2), cards),
        digest_of(ensemble(thresholds=Thresholds(low=0.4, high=0.7)), cards),
        digest_of(ensemble(Member(model="a", weight=2.0), Member(model="b")), cards),
    }
    assert len(digests) == 7
    assert digest_of(ensemble(), cards) == digest_of(ensemble(title="Other words", version=4), cards)


def test_the_digest_can_be_made_again_from_what_is_documented():
    document = {
        "declaration": {
            "fusion": "mean",
            "members": [["a", 1.0], ["b", 1.0]],
            "minimum": 1,
            "modality": "image",
            "thresholds": [0.4, 0.6],
        },
        "members": [["a", 1, "sha256:a-1"], ["b", 1, "sha256:b-1"]],
    }
    packed = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert digest_of(ensemble(), [card("a"), card("b")]) == f"sha256:{hashlib.sha256(packed).hexdigest()}"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (ensemble(), None),
        (ensemble(Member(model="a"), Member(model="nothing")), "no model with a stable version: nothing"),
        (ensemble(Member(model="a"), Member(model="both")), "no model with a stable version: both"),
        (ensemble(Member(model="a"), Member(model="a")), "twice"),
        (ensemble(members=()), "0 members"),
        (ensemble(*(Member(model=f"m{number}") for number in range(17))), "17 members"),
        (ensemble(Member(model="a", weight=0.0)), "not a number above 0"),
        (ensemble(Member(model="a", weight=float("nan"))), "not a number above 0"),
        (ensemble(minimum=3), "at least 3 answers of 2"),
        (ensemble(minimum=0), "at least 0"),
        (ensemble(thresholds=Thresholds(low=0.7, high=0.6)), "not in order"),
    ],
    ids=range(11),
)
def test_a_declaration_that_is_not_sound_is_told_why(declared, words):
    fault = find_fault("both", declared, ROUTES)
    assert fault is None if words is None else words in str(fault)


def test_an_ensemble_and_a_model_have_different_names():
    assert "name of a model" in str(find_fault("a", ensemble(Member(model="b")), ROUTES))


def test_thresholds_are_the_mean_of_the_members_unless_they_vote():
    own = [Thresholds(low=0.2, high=0.6), Thresholds(low=0.4, high=0.9)]
    assert default_thresholds("mean", own) == Thresholds(low=0.3, high=0.75)
    assert default_thresholds("vote", own) == Thresholds(low=0.5, high=0.51)


def test_a_model_suits_its_own_kind_and_one_of_pictures_videos_too():
    picture, sound = card("a"), card("b", modality=Modality.AUDIO)
    assert [suits(modality, picture) for modality in Modality] == [True, True, False, False]
    assert [suits(modality, sound) for modality in Modality] == [False, False, True, False]
