"""Answers as they are kept: encrypted, because they may hold secrets that are shown once.

The key is derived (HKDF, RFC 5869) from the gateway's own secret and from the client's idempotency key: neither the
database alone nor the secret alone opens an answer. AES-256-GCM binds it to the call that it answers.
"""

import hashlib
import os
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE: Final = b"bonafide idempotent answer"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it goes out: its status, the headers of its own, its body."""

    status: int
    headers: dict[str, str]
    body: bytes
    media_type: str


_DECODER: Final = msgspec.msgpack.Decoder(Answer)


class SealBrokenError(Exception):
    """The answer was sealed under another secret, or is another call's."""


class Seal:
    """Encrypts the answer to one call: by an account, under an idempotency key, with a fingerprint."""

    def __init__(self, secret: str, *, account_id: UUID, key: str, fingerprint: bytes) -> None:
        salt = hashlib.sha256(account_id.bytes + key.encode()).digest()
        derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=_PURPOSE).derive(secret.encode())
        self._cipher = AESGCM(derived)
        self._fingerprint = fingerprint

    def close(self, answer: Answer) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(answer), self._fingerprint)

    def open(self, sealed: bytes) -> Answer:
        """Decrypt. Raises SealBrokenError."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return _DECODER.decode(self._cipher.decrypt(nonce, text, self._fingerprint))
        except (InvalidTag, msgspec.DecodeError) as error:
            raise SealBrokenError from error
