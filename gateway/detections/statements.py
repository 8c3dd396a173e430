"""The statements that open and close detections, each one round trip in autocommit.

Admitting and failing are functions of the database (`db/migrations/sql`), whose comments tell what they do and in
which order they lock. Settling closes rows only while they are `running` and only with the token of their attempt, and
counts them in their day. Admitting and settling take many detections at once. Where media are kept, they are ready
from the same moment on; that has a statement of its own, so that nobody else pays for it.
"""

from typing import Final, LiteralString

ADMIT: Final[LiteralString] = """
SELECT place, outcome, detection_id, created_at, account_id, key_id, daily_limit, charged, burst_limit, burst_period_s,
    arrival_at, at, daily_bytes, bytes, concurrent_limit, running, key_daily_limit, key_charged, key_burst_limit,
    key_burst_period_s, key_arrival_at, key_daily_bytes, key_bytes, reserved_id
FROM admit(%(orders)s::text::jsonb)
"""

_CLOSINGS: Final[LiteralString] = """
    jsonb_to_recordset(%(closings)s::text::jsonb) AS s (id uuid, attempt uuid, verdict text, p_fake float8, model text,
        version integer, answer jsonb, thumbnail text, medium_id uuid)
"""
_CLOSE: Final[LiteralString] = """
    UPDATE detections d
    SET status = 'succeeded', settled_at = now(), verdict = s.verdict, p_fake = s.p_fake, model = s.model,
        version = s.version, answer = s.answer, thumbnail = decode(s.thumbnail, 'base64')
"""
_CLOSED: Final[LiteralString] = """
    WHERE d.id = s.id AND d.attempt = s.attempt AND d.status = 'running'
    RETURNING d.id, d.number, d.settled_at, d.account_id, d.charged_on, d.modality, d.key_id, d.p_fake, d.verdict,
        d.charged, d.size_bytes, d.medium_id
"""
_DAYS: Final[LiteralString] = """
    INSERT INTO detection_days AS n (account_id, day, modality, key_id, succeeded, fake, verdict_real, verdict_fake,
        verdict_uncertain, charged, bytes)
    SELECT account_id, charged_on, modality, coalesce(key_id, '00000000-0000-0000-0000-000000000000') AS key,
        count(*), count(*) FILTER (WHERE p_fake >= 0.5), count(*) FILTER (WHERE verdict = 'REAL'),
        count(*) FILTER (WHERE verdict = 'FAKE'), count(*) FILTER (WHERE verdict = 'UNCERTAIN'),
        sum(charged), sum(size_bytes)
"""
_COUNTED: Final[LiteralString] = """
    GROUP BY account_id, charged_on, modality, key ORDER BY account_id, charged_on, modality, key
    ON CONFLICT (account_id, day, modality, key_id) DO UPDATE SET
        succeeded = n.succeeded + excluded.succeeded, fake = n.fake + excluded.fake,
        verdict_real = n.verdict_real + excluded.verdict_real, verdict_fake = n.verdict_fake + excluded.verdict_fake,
        verdict_uncertain = n.verdict_uncertain + excluded.verdict_uncertain,
        charged = n.charged + excluded.charged, bytes = n.bytes + excluded.bytes
"""
SETTLE: Final[LiteralString] = f"""
WITH closed AS ({_CLOSE} FROM {_CLOSINGS} {_CLOSED}), counted AS ({_DAYS} FROM closed {_COUNTED})
SELECT id, number, settled_at, NULL::uuid FROM closed
"""  # noqa: S608 - The inserted texts are constants.

# A medium that was discarded in between, with its whole account, is not kept. The days are counted once all media are
# kept, for locks are taken in this order.
SETTLE_KEEPING: Final[LiteralString] = f"""
WITH closed AS (
    {_CLOSE}, medium_id = r.id
    FROM {_CLOSINGS} LEFT JOIN media r ON r.id = s.medium_id AND r.state = 'reserved' {_CLOSED}
), kept AS (
    UPDATE media m SET state = 'ready', completed_at = now(), expires_at = kept_until(m.account_id)
    FROM closed c WHERE m.id = c.medium_id AND m.state = 'reserved'
    RETURNING m.id
), counted AS ({_DAYS} FROM closed CROSS JOIN (SELECT count(*) FROM kept) AS first {_COUNTED})
SELECT id, number, settled_at, medium_id FROM closed
"""  # noqa: S608 - The inserted texts are constants.

FAIL: Final[LiteralString] = "SELECT fail_detection(%(id)s, %(attempt)s, %(code)s, %(message)s)"

HOW_CLOSED: Final[LiteralString] = (
    "SELECT status, settled_at, number, medium_id FROM detections WHERE id = %(id)s AND attempt = %(attempt)s"
)

IS_CLAIMED: Final[LiteralString] = "SELECT (find_claim(%s::uuid, %s)).detection_id IS NOT NULL"

SWEEP: Final[LiteralString] = "SELECT sweep_detections(500)"
