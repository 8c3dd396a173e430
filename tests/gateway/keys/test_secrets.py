import hashlib
import re
import zlib

import pytest

from gateway.errors import InvalidKeyError
from gateway.keys.secrets import digest_key, make_key


def test_a_key_is_a_mark_and_48_hex_digits_of_which_the_last_8_check_the_first_40() -> None:
    key = make_key()
    assert re.fullmatch(r"sk-live-[0-9a-f]{48}", key.secret)
    digits = key.secret.removeprefix("sk-live-")
    assert int(digits[40:], 16) == zlib.crc32(digits[:40].encode("ascii"))


def test_what_is_kept_is_the_digest_and_the_prefix() -> None:
    key = make_key()
    assert key.digest == hashlib.sha256(key.secret.encode()).digest() == digest_key(key.secret)
    assert key.prefix == key.secret[:16]


def test_keys_differ() -> None:
    assert len({make_key().secret for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "mistyped",
    ["", "sk-live-", "sk-live-" + "0" * 48, "sk-test-" + "0" * 48, "Bearer x", make_key().secret.upper()],
    ids=["nothing", "prefix", "check", "other", "scheme", "case"],
)
def test_what_is_no_key_of_ours_is_known_without_a_database(mistyped: str) -> None:
    with pytest.raises(InvalidKeyError):
        digest_key(mistyped)


def test_any_single_digit_mistyped_is_noticed() -> None:
    secret = make_key().secret
    for place in range(len("sk-live-"), len(secret)):
        wrong = "0" if secret[place] != "0" else "1"
        with pytest.raises(InvalidKeyError):
            digest_key(secret[:place] + wrong + secret[place + 1 :])
