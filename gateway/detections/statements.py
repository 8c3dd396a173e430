"""The statements that open and close a detection, each one round trip in autocommit.

ADMIT finds the key, counts the day and the burst and opens the row, all or nothing: whoever is refused is not
charged. The rows of `bursts` and `usage_days` serialise an account's callers, across processes too, so that the daily
limit is exact. SETTLE, FAIL and SWEEP close a row only while it is `running` and, for the first two, only with the
token of its attempt.
"""

from typing import Final, LiteralString

ADMIT: Final[LiteralString] = """
WITH caller AS MATERIALIZED (
    SELECT k.id AS key_id, a.id AS account_id, a.daily_limit, a.burst_limit, a.burst_period_s,
        make_interval(secs => a.burst_period_s) AS period,
        make_interval(secs => a.burst_period_s / a.burst_limit::float8) AS emission,
        (now() AT TIME ZONE 'utc')::date AS today,
        coalesce(d.charged, 0) AS used_before
    FROM api_keys k
    JOIN accounts a ON a.id = k.account_id
    LEFT JOIN usage_days d ON d.account_id = a.id AND d.day = (now() AT TIME ZONE 'utc')::date
    WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND a.status = 'active'
), burst AS (
    INSERT INTO bursts AS b (account_id, arrival_at)
    SELECT account_id, now() + emission FROM caller
    WHERE burst_limit IS NOT NULL AND (daily_limit IS NULL OR used_before < daily_limit)
    ON CONFLICT (account_id) DO UPDATE
    SET arrival_at = greatest(b.arrival_at, now()) + (SELECT emission FROM caller)
    WHERE greatest(b.arrival_at, now()) + (SELECT emission - period FROM caller) <= now()
    RETURNING arrival_at
), charge AS (
    INSERT INTO usage_days AS d (account_id, day, charged)
    SELECT account_id, today, 1 FROM caller
    WHERE (daily_limit IS NULL OR used_before < daily_limit) AND (burst_limit IS NULL OR EXISTS (SELECT FROM burst))
    ON CONFLICT (account_id, day) DO UPDATE
    SET charged = d.charged + 1
    WHERE d.charged < (SELECT coalesce(daily_limit, 2147483647) FROM caller)
    RETURNING charged
), opened AS (
    INSERT INTO detections (account_id, key_id, status, attempt, modality, filename, media_type, size_bytes,
        request_id, charged_on, deadline_at)
    SELECT account_id, key_id, 'running', %(attempt)s, %(modality)s, %(filename)s, %(media_type)s, %(size_bytes)s,
        %(request_id)s, today, now() + make_interval(secs => %(lifetime_s)s)
    FROM caller, charge
    RETURNING id, created_at
)
SELECT caller.key_id, caller.account_id, opened.id, opened.created_at, caller.used_before,
    caller.daily_limit, coalesce(charge.charged, caller.daily_limit, 0), caller.burst_limit, caller.burst_period_s,
    burst.arrival_at, now()
FROM caller LEFT JOIN burst ON true LEFT JOIN charge ON true LEFT JOIN opened ON true
"""

BURST_STATE: Final[LiteralString] = "SELECT arrival_at FROM bursts WHERE account_id = %(account_id)s"

SETTLE: Final[LiteralString] = """
UPDATE detections
SET status = 'succeeded', settled_at = now(), verdict = %(verdict)s, p_fake = %(p_fake)s, model = %(model)s,
    version = %(version)s, answer = %(answer)s::text::jsonb
WHERE id = %(id)s AND attempt = %(attempt)s AND status = 'running'
RETURNING settled_at
"""

FAIL: Final[LiteralString] = """
WITH closed AS (
    UPDATE detections
    SET status = 'failed', settled_at = now(), refunded = true, error_code = %(code)s, error_message = %(message)s
    WHERE id = %(id)s AND attempt = %(attempt)s AND status = 'running'
    RETURNING account_id, charged_on
)
UPDATE usage_days d SET charged = d.charged - 1
FROM closed WHERE d.account_id = closed.account_id AND d.day = closed.charged_on
RETURNING d.charged
"""

HOW_CLOSED: Final[LiteralString] = (
    "SELECT status, settled_at FROM detections WHERE id = %(id)s AND attempt = %(attempt)s"
)

SWEEP: Final[LiteralString] = """
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtext('bonafide.sweep')) AS ours
), overdue AS (
    SELECT id FROM detections
    WHERE status = 'running' AND deadline_at < now() AND (SELECT ours FROM turn)
    ORDER BY deadline_at LIMIT 500 FOR UPDATE SKIP LOCKED
), closed AS (
    UPDATE detections d
    SET status = 'failed', settled_at = now(), refunded = true, attempt = uuidv4(),
        error_code = 'abandoned', error_message = 'The detection was interrupted. Nothing was charged.'
    FROM overdue WHERE d.id = overdue.id
    RETURNING d.account_id, d.charged_on
), refund AS (
    UPDATE usage_days d SET charged = d.charged - owed.count
    FROM (SELECT account_id, charged_on, count(*) FROM closed GROUP BY account_id, charged_on) owed
    WHERE d.account_id = owed.account_id AND d.day = owed.charged_on
)
SELECT count(*) FROM closed
"""
