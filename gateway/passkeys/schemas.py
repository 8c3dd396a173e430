"""What the passkey routes take and answer; the names inside are those of WebAuthn's own JSON.

What a browser hands over is taken as it comes, with whatever it says besides: `credential.toJSON()` grows over time.
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from gateway.accounts.names import LONGEST_EMAIL
from gateway.detections.schemas import Schema

LONGEST_NAME: Final = 64
_BASE64URL: Final = r"^[A-Za-z0-9_-]+$"

CredentialId = Annotated[str, msgspec.Meta(min_length=1, max_length=1366, pattern=_BASE64URL)]
Encoded = Annotated[str, msgspec.Meta(min_length=1, max_length=32_768, pattern=_BASE64URL)]
PasskeyName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["My phone"])
]
Transport = Annotated[str, msgspec.Meta(max_length=32)]


class AttestationResponse(
    msgspec.Struct, frozen=True, rename={"client_data": "clientDataJSON", "attestation_object": "attestationObject"}
):
    """What a new authenticator answered, in base64url."""

    client_data: Encoded
    attestation_object: Encoded
    transports: Annotated[tuple[Transport, ...], msgspec.Meta(max_length=16)] = ()


class NewCredential(msgspec.Struct, frozen=True, rename={"raw_id": "rawId"}):
    """`toJSON()` of what `navigator.credentials.create()` returned."""

    id: CredentialId
    raw_id: CredentialId
    type: Literal["public-key"]
    response: AttestationResponse


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The new credential, and what its owner calls it."""

    credential: NewCredential
    name: PasskeyName = "Passkey"


class AssertionResponse(
    msgspec.Struct,
    frozen=True,
    rename={
        "client_data": "clientDataJSON",
        "authenticator_data": "authenticatorData",
        "user_handle": "userHandle",
    },
):
    """What an authenticator signed, in base64url."""

    client_data: Encoded
    authenticator_data: Encoded
    signature: Encoded
    user_handle: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class Assertion(msgspec.Struct, frozen=True, rename={"raw_id": "rawId"}):
    """`toJSON()` of what `navigator.credentials.get()` returned."""

    id: CredentialId
    raw_id: CredentialId
    type: Literal["public-key"]
    response: AssertionResponse


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the authenticator answered to the options."""

    credential: Assertion


class Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to sign in, by e-mail or username; without it the authenticator offers what it has."""

    login: Annotated[str, msgspec.Meta(max_length=LONGEST_EMAIL, examples=["ada@example.org"])] | None = None


class NewName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a passkey is called from now on."""

    name: PasskeyName


class PasskeyView(Schema, frozen=True):
    """A passkey as its owner sees it."""

    id: UUID
    name: str
    transports: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None


class PasskeyList(Schema, frozen=True):
    """All passkeys of an account, the oldest first; there are at most 20."""

    data: tuple[PasskeyView, ...]


class RelyingParty(Schema, frozen=True):
    """For whom a passkey is made."""

    id: str
    name: str


class UserEntity(Schema, frozen=True, rename="camel"):
    """Whose passkey it will be; `id` is the user handle, in base64url."""

    id: str
    name: str
    display_name: str


class Parameters(Schema, frozen=True):
    """A kind of key that is accepted: -7 is ES256, -8 EdDSA, -257 RS256."""

    type: Literal["public-key"]
    alg: int


class Descriptor(Schema, frozen=True):
    """A passkey that is known."""

    id: str
    type: Literal["public-key"]
    transports: tuple[str, ...] = ()


class Selection(Schema, frozen=True, rename="camel"):
    """What the authenticator has to be capable of."""

    resident_key: str
    require_resident_key: bool
    user_verification: str


class CreationOptions(Schema, frozen=True, rename="camel"):
    """For `PublicKeyCredential.parseCreationOptionsFromJSON()`; good for five minutes and one answer."""

    rp: RelyingParty
    user: UserEntity
    challenge: str
    pub_key_cred_params: tuple[Parameters, ...]
    timeout: int
    exclude_credentials: tuple[Descriptor, ...]
    authenticator_selection: Selection
    attestation: str


class RequestOptions(Schema, frozen=True, rename="camel"):
    """For `PublicKeyCredential.parseRequestOptionsFromJSON()`; good for five minutes and one answer."""

    challenge: str
    timeout: int
    rp_id: str
    allow_credentials: tuple[Descriptor, ...]
    user_verification: str
