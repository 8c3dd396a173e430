"""Endpoints that fail: how long they rest, and when they are disabled and their owner gets a mail."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.audit.service import SYSTEM, Act, record
from gateway.mail.service import Mail, post
from gateway.settings import GatewaySettings

FREE_FAILURES: Final = 5
"""So many failures in a row cost no rest: a single delivery is tried as often as it should be."""
LONGEST_REST_S: Final = 600

_FORGET: Final = text("""
    UPDATE webhook_endpoints SET failing_since = NULL, failures = 0, rests_until = NULL
    WHERE id = :id AND (failing_since IS NOT NULL OR failures > 0)
""")
# A rest that has begun is not prolonged by the tries that were under way.
_NOTE: Final = text("""
    UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, clock_timestamp()), failures = failures + 1,
        rests_until = CASE
            WHEN rests_until > clock_timestamp() OR failures + 1 < :free THEN rests_until
            ELSE clock_timestamp() + make_interval(secs => least(2.0 ^ least(failures + 1 - :free, 16), :longest_s))
        END
    WHERE id = :id AND enabled
    RETURNING failing_since < clock_timestamp() - make_interval(secs => :patience_s) AS too_long
""")
_DISABLE: Final = text("""
    UPDATE webhook_endpoints e SET enabled = false, disabled_reason = :reason
    FROM accounts a WHERE e.id = :id AND a.id = e.account_id AND e.enabled
    RETURNING e.url, e.failing_since, a.email
""")

_WHY: Final = {
    "failing": "nothing could be delivered to it since {since:%Y-%m-%d %H:%M} UTC",
    "gone": "it answered 410, which says that it is gone for good",
}
_MAIL: Final = """Hello,

the webhook endpoint

{url}

was disabled: {why}. What waited for it is not sent any more.

Once it takes messages again, enable it with PATCH {public_url}/v1/webhooks/endpoints/{id} and {{"enabled": true}};
GET {public_url}/v1/webhooks/deliveries lists what was not delivered, and each of them can be sent again.
"""


class Failing:
    """Takes note of successes and failures, in the transactions of the tries."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._patience_s = settings.webhook_failing_days * 86_400
        self._public_url = settings.public_url.rstrip("/")

    async def forget(self, connection: AsyncConnection, endpoint_id: UUID) -> None:
        """A try has succeeded: whatever failed before is forgotten."""
        await connection.execute(_FORGET, {"id": endpoint_id})

    async def note(self, connection: AsyncConnection, endpoint_id: UUID, *, gone: bool) -> None:
        """A try has failed; `gone`: there is no use in another. Disables the endpoint when it is time to."""
        parameters: dict[str, Any] = {
            "id": endpoint_id,
            "free": FREE_FAILURES,
            "longest_s": LONGEST_REST_S,
            "patience_s": self._patience_s,
        }
        too_long = (await connection.execute(_NOTE, parameters)).scalar_one_or_none()
        if gone or too_long:
            await self._disable(connection, endpoint_id, "gone" if gone else "failing")

    async def _disable(self, connection: AsyncConnection, endpoint_id: UUID, reason: str) -> None:
        row = (await connection.execute(_DISABLE, {"id": endpoint_id, "reason": reason})).one_or_none()
        if row is None:
            return
        after = {"enabled": False, "disabled_reason": reason}
        act = Act(SYSTEM, "webhook.disable", "webhook", str(endpoint_id), before={"enabled": True}, after=after)
        await record(connection, act)
        if row.email:
            why = _WHY[reason].format(since=row.failing_since)
            told = _MAIL.format(url=row.url, why=why, public_url=self._public_url, id=endpoint_id)
            await post(connection, Mail(to=row.email, subject="A webhook endpoint was disabled", text=told))
