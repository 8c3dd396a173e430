"""Signed addresses: what they are good for, and that nothing else opens them."""

import time
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadSignatureError, SignatureExpiredError
from gateway.uploads.addresses import ROUTE, Place, Signer

SECRET = "made-up-secret-of-these-tests-only"
SIGNER = Signer(SECRET, "https://bonafide.example.org/")
PLACE = Place(UUID(int=7), 3, "account/20260131T093000000017Z/a.mp4")


def signed(signer: Signer = SIGNER, *, size: int = 10, life_s: int = 60) -> tuple[str, dict[str, str]]:
    address = urlsplit(signer.sign(PLACE, size=size, life_s=life_s))
    return address.path.removeprefix(f"{ROUTE}/"), dict(parse_qsl(address.query))


def check(signer: Signer, place: str, query: dict[str, str]) -> Place:
    return signer.check(place, size=int(query["size"]), expires=int(query["expires"]), signature=query["signature"])


def test_an_address_leads_to_its_place_and_ends_with_its_path() -> None:
    url = SIGNER.sign(PLACE, size=10, life_s=60)
    assert url.startswith("https://bonafide.example.org/v1/uploads/bytes/")
    assert urlsplit(url).path.endswith(f"/3/{PLACE.path}")
    assert PLACE.object_path == f"incoming/{PLACE.upload_id}/3/{PLACE.path}"
    assert check(SIGNER, *signed()) == PLACE
    # Frameworks hand the rest of a path over with its slash.
    place, query = signed()
    assert check(SIGNER, f"/{place}", query) == PLACE


def test_nothing_of_it_can_be_changed() -> None:
    place, query = signed()
    changed = [
        (place.replace("a.mp4", "b.mp4"), query),
        (place.replace("/3/", "/4/"), query),
        (place.replace(str(PLACE.upload_id), str(UUID(int=8))), query),
        (f"{place}/more", query),
        (place, query | {"size": "11"}),
        (place, query | {"expires": str(int(query["expires"]) + 1)}),
        (place, query | {"signature": query["signature"].upper()}),
        (place, query | {"signature": query["signature"][:-1]}),
        (place, query | {"signature": ""}),
    ]
    for one in changed:
        with pytest.raises(BadSignatureError):
            check(SIGNER, *one)


def test_another_secret_signs_for_nobody_here() -> None:
    with pytest.raises(BadSignatureError):
        check(SIGNER, *signed(Signer(SECRET + "x", "https://bonafide.example.org")))


def test_it_ends_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    place, query = signed(life_s=60)
    now = time.time()
    monkeypatch.setattr("gateway.uploads.addresses.time.time", lambda: now + 58)
    assert check(SIGNER, place, query) == PLACE
    monkeypatch.setattr("gateway.uploads.addresses.time.time", lambda: now + 61)
    with pytest.raises(SignatureExpiredError):
        check(SIGNER, place, query)
    # Whether it was ours is told before whether it has ended.
    with pytest.raises(BadSignatureError):
        check(SIGNER, place, query | {"signature": "0" * 64})


@given(place=st.text(max_size=80), signature=st.text(max_size=80), size=st.integers(), expires=st.integers())
def test_nothing_that_was_not_signed_is_let_in(place: str, signature: str, size: int, expires: int) -> None:
    with pytest.raises(BadSignatureError):
        SIGNER.check(place, size=size, expires=expires, signature=signature)
