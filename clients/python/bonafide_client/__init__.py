"""The client of Bonafide: asks a platform whether media are genuine, and reads back what it answered.

```python
from bonafide_client import Bonafide

with Bonafide(api_key="sk-live-…") as client:
    detection = client.detections.create("holiday.jpg")
    print(detection.verdict, detection.confidence)
```
"""

from bonafide_client.clients import AsyncBonafide, Bonafide
from bonafide_client.credentials import Tokens
from bonafide_client.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    BonafideError,
    CallTimeoutError,
    ConflictError,
    ConnectionLostError,
    DeadlineExceededError,
    IdempotencyMismatchError,
    InProgressError,
    InvalidField,
    LimitError,
    MalformedAnswerError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    ServerError,
    StorageFullError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
    UnsupportedMediaError,
)
from bonafide_client.paging import AsyncPages, Page, Pages
from bonafide_client.retrying import Retries, Timeouts
from bonafide_client.schemas.detections import Detection, DetectionSummary
from bonafide_client.schemas.evidence import AudioEvidence, Evidence, ImageEvidence, TextEvidence, VideoEvidence
from bonafide_client.streams import AsyncStream, Stream

__all__ = [
    "ApiError",
    "AsyncBonafide",
    "AsyncPages",
    "AsyncStream",
    "AudioEvidence",
    "AuthenticationError",
    "BadRequestError",
    "Bonafide",
    "BonafideError",
    "CallTimeoutError",
    "ConflictError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "Detection",
    "DetectionSummary",
    "Evidence",
    "IdempotencyMismatchError",
    "ImageEvidence",
    "InProgressError",
    "InvalidField",
    "LimitError",
    "MalformedAnswerError",
    "NoAnswerError",
    "NotFoundError",
    "Page",
    "Pages",
    "PermissionDeniedError",
    "QuotaExceededError",
    "Retries",
    "ServerError",
    "StorageFullError",
    "Stream",
    "TextEvidence",
    "Timeouts",
    "Tokens",
    "TooLargeError",
    "UnavailableError",
    "UnreachableError",
    "UnsupportedMediaError",
    "VideoEvidence",
]
