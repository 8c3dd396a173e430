"""Every way the gateway refuses or fails. The class docstring is the default message; renderers are in `rendering`.

GatewayError
├── RequestError (400)            the call is at fault
│   ├── InvalidHostError · InvalidBodyError · InvalidCursorError · SpentTokenError
│   ├── MissingFileError · EmptyFileError · UnreadableMediaError
│   ├── ConflictError (409)
│   │   └── EmailTakenError · UsernameTakenError · LastAdminError · NoPasswordError · IdempotencyInProgressError
│   ├── IdempotencyMismatchError (422)
│   ├── NotFoundError (404) · MethodNotAllowedError (405) · UpgradeRequiredError (426)
│   ├── MediaTooLargeError (413) · UnsupportedMediaError (415)
│   ├── InvalidItemsError · ArchiveError · ZipBombError
│   ├── MediumGoneError (410) · UrlsNotAllowedError (403) · UrlNotAllowedError · UrlRefusedError (422)
│   ├── BadSignatureError · SignatureExpiredError (403)   of signed uploads
│   ├── AlreadySentError · IncompleteUploadError (409) · LengthRequiredError (411)
│   ├── SizeMismatchError · DigestMismatchError · UnknownFileError
│   └── ClientGoneError (499)     nobody reads this one; it is for the log
├── AuthenticationError (401)     who calls is not known
│   ├── MissingKeyError · InvalidKeyError · InvalidTokenError · WrongPasswordError
│   └── InvalidPasskeyError · SignInRefusedError
├── ForbiddenError (403)          who calls is known, and may not do this
│   ├── AccountSuspendedError · EmailUnverifiedError · StaleSignInError · MissingScopeError
│   └── AddressNotAllowedError · ModelNotAllowedError
├── LimitError (429)              the account or the key has used what it may
│   ├── QuotaExceededError · BytesExceededError · BurstExceededError · ConcurrencyExceededError
│   ├── TooManyAttemptsError      of signing in
│   ├── StorageFullError · PassingFullError (507) · TooManyUploadsError
│   └── TooManyStreamsError
└── FailureError (500)            we are at fault; what was charged is refunded
    ├── UnavailableError (503)
    │   ├── InferenceUnavailableError · DatabaseUnavailableError · IssuerUnavailableError
    │   └── StorageUnavailableError · UrlUnreachableError · OverloadedError
    └── DeadlineExceededError (504)
"""

from gateway.errors.authentication import (
    AuthenticationError,
    InvalidKeyError,
    InvalidPasskeyError,
    InvalidTokenError,
    MissingKeyError,
    SignInRefusedError,
    WrongPasswordError,
)
from gateway.errors.failures import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    FailureError,
    InferenceUnavailableError,
    IssuerUnavailableError,
    OverloadedError,
    StorageUnavailableError,
    UnavailableError,
    UrlUnreachableError,
)
from gateway.errors.jobs import MediumGoneError, UrlNotAllowedError, UrlRefusedError, UrlsNotAllowedError
from gateway.errors.limits import (
    BurstExceededError,
    BytesExceededError,
    ConcurrencyExceededError,
    LimitError,
    PassingFullError,
    QuotaExceededError,
    StorageFullError,
    TooManyAttemptsError,
    TooManyUploadsError,
)
from gateway.errors.live import TooManyStreamsError, UpgradeRequiredError
from gateway.errors.permission import (
    AccountSuspendedError,
    AddressNotAllowedError,
    EmailUnverifiedError,
    ForbiddenError,
    MissingScopeError,
    ModelNotAllowedError,
    StaleSignInError,
)
from gateway.errors.requests import (
    ArchiveError,
    ClientGoneError,
    ConflictError,
    EmailTakenError,
    EmptyFileError,
    IdempotencyInProgressError,
    IdempotencyMismatchError,
    InvalidBodyError,
    InvalidCursorError,
    InvalidHostError,
    InvalidItemsError,
    LastAdminError,
    MediaTooLargeError,
    MethodNotAllowedError,
    MissingFileError,
    NoPasswordError,
    NotFoundError,
    RequestError,
    SpentTokenError,
    UnreadableMediaError,
    UnsupportedMediaError,
    UsernameTakenError,
    ZipBombError,
)
from gateway.errors.root import (
    GatewayError,
)
from gateway.errors.uploads import (
    AlreadySentError,
    BadSignatureError,
    DigestMismatchError,
    IncompleteUploadError,
    LengthRequiredError,
    SignatureExpiredError,
    SizeMismatchError,
    UnknownFileError,
)

__all__ = [
    "AccountSuspendedError",
    "AddressNotAllowedError",
    "AlreadySentError",
    "ArchiveError",
    "AuthenticationError",
    "BadSignatureError",
    "BurstExceededError",
    "BytesExceededError",
    "ClientGoneError",
    "ConcurrencyExceededError",
    "ConflictError",
    "DatabaseUnavailableError",
    "DeadlineExceededError",
    "DigestMismatchError",
    "EmailTakenError",
    "EmailUnverifiedError",
    "EmptyFileError",
    "FailureError",
    "ForbiddenError",
    "GatewayError",
    "IdempotencyInProgressError",
    "IdempotencyMismatchError",
    "IncompleteUploadError",
    "InferenceUnavailableError",
    "InvalidBodyError",
    "InvalidCursorError",
    "InvalidHostError",
    "InvalidItemsError",
    "InvalidKeyError",
    "InvalidPasskeyError",
    "InvalidTokenError",
    "IssuerUnavailableError",
    "LastAdminError",
    "LengthRequiredError",
    "LimitError",
    "MediaTooLargeError",
    "MediumGoneError",
    "MethodNotAllowedError",
    "MissingFileError",
    "MissingKeyError",
    "MissingScopeError",
    "ModelNotAllowedError",
    "NoPasswordError",
    "NotFoundError",
    "OverloadedError",
    "PassingFullError",
    "QuotaExceededError",
    "RequestError",
    "SignInRefusedError",
    "SignatureExpiredError",
    "SizeMismatchError",
    "SpentTokenError",
    "StaleSignInError",
    "StorageFullError",
    "StorageUnavailableError",
    "TooManyAttemptsError",
    "TooManyStreamsError",
    "TooManyUploadsError",
    "UnavailableError",
    "UnknownFileError",
    "UnreadableMediaError",
    "UnsupportedMediaError",
    "UpgradeRequiredError",
    "UrlNotAllowedError",
    "UrlRefusedError",
    "UrlUnreachableError",
    "UrlsNotAllowedError",
    "UsernameTakenError",
    "WrongPasswordError",
    "ZipBombError",
]
