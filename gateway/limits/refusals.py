"""What an allowance has no room for any more: told without charging, before a large upload is let onto the disk.

The function `admit` decides at last, in the same order; see `db/migrations/sql`.
"""

from typing import Final

from gateway.errors import BytesExceededError, LimitError, QuotaExceededError
from gateway.limits.allowance import Allowance

KEY_QUOTA: Final = "The daily limit of this key is used up; it is reset at 00:00 UTC."
KEY_BYTES: Final = "The daily limit of bytes of this key is used up; it is reset at 00:00 UTC."


def refuse_over_limit(
    allowance: Allowance, *, size: int, charge: int, waiting: int = 0, waiting_of_key: int = 0
) -> None:
    """Refuse what will not be admitted today: a medium of at least `size` bytes that counts `charge` detections.

    `waiting` detections of the account, `waiting_of_key` of them with the same key, are still to be charged.

    Raises:
        LimitError: The day's detections or bytes of the account or of the key are used up.
    """
    tomorrow = allowance.seconds_to_reset
    refusals: tuple[tuple[int | None, int, LimitError], ...] = (
        (allowance.daily_remaining, charge + waiting, QuotaExceededError(retry_after_s=tomorrow)),
        (allowance.bytes_remaining, size, BytesExceededError(retry_after_s=tomorrow)),
        (allowance.key_daily_remaining, charge + waiting_of_key, QuotaExceededError(KEY_QUOTA, retry_after_s=tomorrow)),
        (allowance.key_bytes_remaining, size, BytesExceededError(KEY_BYTES, retry_after_s=tomorrow)),
    )
    for remaining, wanted, refusal in refusals:
        if remaining is not None and wanted > remaining:
            raise refusal
