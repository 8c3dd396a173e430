-- The functions that admit and close detections. Each is one round trip and one transaction, whatever it holds.
--
-- Locks are taken in one order everywhere, so that no two calls wait for each other in a ring: detections, then the
-- meter of the account, then the meter of the key, then the count of the day; accounts in the order of their ids.

-- What the limits take for now; asked under the lock of a meter, so that it never runs backwards for an account. A test
-- that has to cross midnight puts another clock in its place.
CREATE FUNCTION platform_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';

-- Who calls: by the SHA-256 of a key, by a session, or as a subject that an outside issuer vouched for. No row: nobody.
-- Scopes are null for callers who may do whatever their account may. A daily limit of the account's own that is above its
-- plan's takes a burst limit with it that the plan did not set below its daily one. Rotated keys share one meter.
-- Status is that of the account, or 'unverified': its password is of use only once its e-mail is verified, where the
-- connection says so (`bonafide.require_verified_email`).
CREATE FUNCTION find_caller(of_digest bytea, of_session uuid, of_issuer text, of_subject text)
RETURNS TABLE (
    account_id uuid, key_id uuid, session_id uuid, number bigint, email text, username text, role text, status text,
    scopes text[], allowed_addresses text[], allowed_models text[],
    daily_limit integer, daily_bytes bigint, burst_limit integer, burst_period_s integer, concurrent_limit integer,
    key_daily_limit integer, key_daily_bytes bigint, key_burst_limit integer, key_burst_period_s integer,
    key_meter_id uuid
) LANGUAGE sql STABLE AS $$
    SELECT a.id, c.key_id, c.session_id, a.number, a.email, a.username, a.role,
        CASE WHEN a.status = 'active' AND a.email_verified_at IS NULL AND a.email IS NOT NULL
            AND a.password_hash IS NOT NULL AND current_setting('bonafide.require_verified_email', true) = 'on'
            THEN 'unverified' ELSE a.status END,
        c.scopes, c.allowed_addresses, c.allowed_models,
        coalesce(a.daily_limit, p.daily_limit), coalesce(a.daily_bytes, p.daily_bytes),
        coalesce(
            a.burst_limit,
            CASE WHEN p.burst_limit >= p.daily_limit THEN greatest(p.burst_limit, a.daily_limit) ELSE p.burst_limit END
        ),
        coalesce(a.burst_period_s, p.burst_period_s),
        coalesce(a.concurrent_limit, p.concurrent_limit),
        c.daily_limit, c.daily_bytes, c.burst_limit, c.burst_period_s, c.meter_id
    FROM (
        SELECT k.account_id, k.id AS key_id, NULL::uuid AS session_id, k.scopes, k.allowed_addresses, k.allowed_models,
            k.daily_limit, k.daily_bytes, k.burst_limit, k.burst_period_s, coalesce(k.meter_id, k.id) AS meter_id
        FROM api_keys k
        WHERE k.digest = of_digest AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        UNION ALL
        SELECT s.account_id, NULL, s.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM sessions s
        WHERE s.id = of_session AND s.closed_at IS NULL AND s.expires_at > now()
        UNION ALL
        SELECT i.account_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM identities i
        WHERE i.issuer = of_issuer AND i.subject = of_subject
    ) c
    JOIN accounts a ON a.id = c.account_id
    JOIN plans p ON p.name = a.plan
    WHERE a.status <> 'deleted'
    LIMIT 1
$$;

-- Take a meter for oneself until the transaction ends.
CREATE FUNCTION lock_meter(of_subject uuid) RETURNS meters LANGUAGE plpgsql AS $$
DECLARE
    m meters;
BEGIN
    SELECT * INTO m FROM meters WHERE subject_id = of_subject FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO meters (subject_id, day, arrival_at) VALUES (of_subject, 'epoch', 'epoch')
        ON CONFLICT (subject_id) DO UPDATE SET day = meters.day
        RETURNING * INTO m;
    END IF;
    RETURN m;
END $$;

-- A locked meter as it stands at a time: on a new day nothing is used yet; and where a burst limit was changed since,
-- nobody owes more than the whole of the new one.
CREATE FUNCTION meter_at(m meters, at timestamptz, slot interval, burst_limit integer) RETURNS meters
LANGUAGE plpgsql AS $$
DECLARE
    today date := (at AT TIME ZONE 'utc')::date;
BEGIN
    IF m.day < today THEN
        m.day := today;
        m.charged := 0;
        m.bytes := 0;
    END IF;
    m.arrival_at := least(m.arrival_at, at + slot * burst_limit);
    RETURN m;
END $$;

-- Write a locked meter back where it was changed.
CREATE FUNCTION keep_meter(m meters) RETURNS void LANGUAGE sql AS $$
    UPDATE meters SET day = m.day, charged = m.charged, bytes = m.bytes, total = m.total, arrival_at = m.arrival_at
    WHERE subject_id = m.subject_id AND (day, charged, bytes, total, arrival_at)
        IS DISTINCT FROM (m.day, m.charged, m.bytes, m.total, m.arrival_at)
$$;

-- What was done under an idempotency key in the last 24 hours, as far as it is committed.
CREATE FUNCTION find_claim(of_account uuid, of_key text) RETURNS idempotency_keys LANGUAGE sql AS $$
    SELECT * FROM idempotency_keys WHERE account_id = of_account AND key = of_key AND expires_at > now()
$$;

-- Take one slot of a burst that belongs to no account. Null, or how long it is to the next where there is none.
CREATE FUNCTION take_slot(of_subject uuid, burst_limit integer, burst_period_s integer) RETURNS interval
LANGUAGE plpgsql AS $$
DECLARE
    m meters := lock_meter(of_subject);
    at timestamptz := platform_now();
    slot interval := make_interval(secs => burst_period_s / burst_limit::float8);
BEGIN
    m := meter_at(m, at, slot, burst_limit);
    m.arrival_at := greatest(m.arrival_at, at) + slot;
    IF m.arrival_at - slot * burst_limit > at THEN
        RETURN m.arrival_at - slot * burst_limit - at;
    END IF;
    PERFORM keep_meter(m);
    RETURN NULL;
END $$;

-- Take an idempotency key for oneself until the transaction ends; false where another one works under it. What that one
-- does is not committed yet and cannot be seen, so nobody waits for it or writes over it.
CREATE FUNCTION take_idempotency_key(of_account uuid, of_key text) RETURNS boolean LANGUAGE sql AS $$
    SELECT pg_try_advisory_xact_lock(hashtextextended(of_account || ' ' || of_key, 0))
$$;

-- Admit detections, each for itself: find the caller, check what it may and what is left, charge, open the row.
-- What is refused is not charged. `outcome` is 'admitted', 'replay' (the idempotency key has its answer already, in
-- `detection_id`) or why not: 'unknown', 'suspended', 'unverified', 'scope', 'address', 'model', 'in_progress', 'mismatch',
-- 'daily', 'bytes', 'burst', 'concurrent', 'key_daily', 'key_bytes', 'key_burst'.
CREATE FUNCTION admit(orders jsonb)
RETURNS TABLE (
    place integer, outcome text, detection_id uuid, created_at timestamptz, account_id uuid, key_id uuid,
    daily_limit integer, charged integer, burst_limit integer, burst_period_s integer, arrival_at timestamptz,
    at timestamptz, daily_bytes bigint, bytes bigint, concurrent_limit integer, running integer,
    key_daily_limit integer, key_charged integer, key_burst_limit integer, key_burst_period_s integer,
    key_arrival_at timestamptz, key_daily_bytes bigint, key_bytes bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    o record;
    m meters;
    k meters;
    claim idempotency_keys;
    taken boolean;
    limited boolean;
    slot interval;
    key_slot interval;
    arrival timestamptz;
    key_arrival timestamptz;
BEGIN
    FOR o IN
        SELECT t.*, c.*
        FROM jsonb_to_recordset(orders) AS t (
            place integer, key_digest text, session_id uuid, issuer text, subject text, address text, modality text,
            model text, attempt uuid, filename text, media_type text, size_bytes bigint, media_digest text,
            request_id text, channel text, client_reference text, tags text[], cached_from uuid,
            charge integer, lifetime_s float8, idempotency_key text, fingerprint text
        )
        LEFT JOIN LATERAL find_caller(decode(t.key_digest, 'hex'), t.session_id, t.issuer, t.subject) c ON true
        ORDER BY c.account_id, t.place
    LOOP
        place := o.place;
        account_id := o.account_id;
        key_id := o.key_id;
        detection_id := NULL;
        created_at := NULL;
        running := NULL;
        key_charged := NULL;
        key_arrival_at := NULL;
        key_bytes := NULL;
        IF o.account_id IS NULL THEN
            outcome := 'unknown';
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- An interval is rounded to microseconds: so many of them as the limit allows make up the period.
        slot := make_interval(secs => o.burst_period_s / o.burst_limit::float8);
        IF m.subject_id IS DISTINCT FROM o.account_id THEN
            IF m.subject_id IS NOT NULL THEN
                PERFORM keep_meter(m);
            END IF;
            m := lock_meter(o.account_id);
            at := platform_now();
            m := meter_at(m, at, slot, o.burst_limit);
        END IF;
        arrival := greatest(m.arrival_at, at) + slot;
        limited := o.key_daily_limit IS NOT NULL OR o.key_daily_bytes IS NOT NULL OR o.key_burst_limit IS NOT NULL;
        IF limited THEN
            key_slot := make_interval(secs => o.key_burst_period_s / o.key_burst_limit::float8);
            k := meter_at(lock_meter(o.key_meter_id), at, key_slot, o.key_burst_limit);
            key_arrival := greatest(k.arrival_at, at) + key_slot;
        END IF;
        IF o.concurrent_limit IS NOT NULL THEN
            SELECT count(*) INTO running FROM detections d WHERE d.account_id = o.account_id AND d.status = 'running';
        END IF;
        claim := NULL;
        taken := true;
        IF o.idempotency_key IS NOT NULL THEN
            claim := find_claim(o.account_id, o.idempotency_key);
            IF claim.key IS NULL THEN
                taken := take_idempotency_key(o.account_id, o.idempotency_key);
                claim := find_claim(o.account_id, o.idempotency_key);
            END IF;
        END IF;

        outcome := CASE
            WHEN o.status IN ('suspended', 'unverified') THEN o.status
            WHEN NOT (o.scopes IS NULL OR '*' = ANY (o.scopes) OR 'detect:' || o.modality = ANY (o.scopes)) THEN 'scope'
            WHEN o.allowed_addresses IS NOT NULL AND NOT coalesce(o.address::inet <<= ANY (o.allowed_addresses::inet[]), false)
                THEN 'address'
            WHEN o.allowed_models IS NOT NULL AND NOT coalesce(o.model = ANY (o.allowed_models), false) THEN 'model'
            WHEN NOT taken THEN 'in_progress'
            WHEN claim.key IS NOT NULL AND claim.fingerprint <> decode(o.fingerprint, 'hex') THEN 'mismatch'
            WHEN claim.key IS NOT NULL THEN 'claimed'
            WHEN m.charged + o.charge > o.daily_limit THEN 'daily'
            WHEN m.bytes + o.size_bytes > o.daily_bytes THEN 'bytes'
            WHEN limited AND k.charged + o.charge > o.key_daily_limit THEN 'key_daily'
            WHEN limited AND k.bytes + o.size_bytes > o.key_daily_bytes THEN 'key_bytes'
            WHEN running >= o.concurrent_limit THEN 'concurrent'
            WHEN arrival - slot * o.burst_limit > at THEN 'burst'
            WHEN limited AND key_arrival - key_slot * o.key_burst_limit > at THEN 'key_burst'
            ELSE 'admitted'
        END;
        IF outcome = 'claimed' THEN
            detection_id := claim.detection_id;
            outcome := 'in_progress';
            SELECT 'replay' INTO outcome FROM detections d WHERE d.id = claim.detection_id AND d.status = 'succeeded';
            outcome := coalesce(outcome, 'in_progress');
        ELSIF outcome = 'admitted' THEN
            m.charged := m.charged + o.charge;
            m.bytes := m.bytes + o.size_bytes;
            m.total := m.total + o.charge;
            m.arrival_at := coalesce(arrival, m.arrival_at);
            IF limited THEN
                k.charged := k.charged + o.charge;
                k.bytes := k.bytes + o.size_bytes;
                k.total := k.total + o.charge;
                k.arrival_at := coalesce(key_arrival, k.arrival_at);
            END IF;
            INSERT INTO detections AS d (
                account_id, key_id, status, attempt, modality, filename, media_type, size_bytes, media_digest,
                request_id, channel, client_reference, tags, cached_from, charged, charged_on, deadline_at
            ) VALUES (
                o.account_id, o.key_id, 'running', o.attempt, o.modality, o.filename, o.media_type, o.size_bytes,
                decode(o.media_digest, 'hex'), o.request_id, o.channel, o.client_reference,
                coalesce(o.tags, '{}'), o.cached_from, o.charge, m.day, now() + make_interval(secs => o.lifetime_s)
            ) RETURNING d.id, d.created_at INTO detection_id, created_at;
            running := running + 1;
            IF o.idempotency_key IS NOT NULL THEN
                INSERT INTO idempotency_keys AS i (account_id, key, fingerprint, detection_id, expires_at)
                VALUES (o.account_id, o.idempotency_key, decode(o.fingerprint, 'hex'), detection_id, now() + '24 hours')
                ON CONFLICT (account_id, key) DO UPDATE
                SET fingerprint = excluded.fingerprint, detection_id = excluded.detection_id, status = NULL,
                    response = NULL, created_at = now(), expires_at = excluded.expires_at;
            END IF;
        END IF;
        daily_limit := o.daily_limit;
        charged := m.charged;
        burst_limit := o.burst_limit;
        burst_period_s := o.burst_period_s;
        arrival_at := m.arrival_at;
        daily_bytes := o.daily_bytes;
        bytes := m.bytes;
        concurrent_limit := o.concurrent_limit;
        key_daily_limit := o.key_daily_limit;
        key_burst_limit := o.key_burst_limit;
        key_burst_period_s := o.key_burst_period_s;
        key_daily_bytes := o.key_daily_bytes;
        IF limited THEN
            PERFORM keep_meter(k);
            key_charged := k.charged;
            key_arrival_at := k.arrival_at;
            key_bytes := k.bytes;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF m.subject_id IS NOT NULL THEN
        PERFORM keep_meter(m);
    END IF;
END $$;

-- Begin to count a key that had no limits until now, with what it has used today; those that share its meter likewise.
CREATE FUNCTION start_key_meter(of_account uuid, of_meter uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today date;
BEGIN
    PERFORM lock_meter(of_account);
    today := (platform_now() AT TIME ZONE 'utc')::date;
    INSERT INTO meters AS m (subject_id, day, charged, bytes, total, arrival_at)
    SELECT of_meter, today, coalesce(sum(u.charged), 0), coalesce(sum(u.bytes), 0), coalesce(sum(u.charged), 0), 'epoch'
    FROM api_keys k CROSS JOIN LATERAL (
        SELECT d.charged, d.bytes FROM detection_days d
        WHERE d.account_id = of_account AND d.day = today AND d.key_id = k.id
        UNION ALL
        SELECT d.charged, d.size_bytes FROM detections d
        WHERE d.account_id = of_account AND d.status = 'running' AND d.charged_on = today AND d.key_id = k.id
    ) u
    WHERE k.account_id = of_account AND coalesce(k.meter_id, k.id) = of_meter
    ON CONFLICT (subject_id) DO UPDATE SET day = excluded.day, charged = excluded.charged, bytes = excluded.bytes;
END $$;

-- Count a closed detection in its day.
CREATE FUNCTION count_failure(of_account uuid, of_day date, of_modality text, of_key uuid) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO detection_days AS d (account_id, day, modality, key_id, failed)
    VALUES (of_account, of_day, of_modality, coalesce(of_key, '00000000-0000-0000-0000-000000000000'), 1)
    ON CONFLICT (account_id, day, modality, key_id) DO UPDATE SET failed = d.failed + 1
$$;

-- Close a running detection as failed and refund it, to the day on which it was charged; its idempotency key is free
-- again. Null where it was not this attempt's to close any more.
CREATE FUNCTION fail_detection(of_id uuid, of_attempt uuid, code text, message text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    d record;
    subject uuid;
BEGIN
    UPDATE detections SET status = 'failed', settled_at = now(), refunded = true, attempt = uuidv4(),
        error_code = code, error_message = message
    WHERE id = of_id AND attempt = of_attempt AND status = 'running'
    RETURNING * INTO d;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    FOREACH subject IN ARRAY ARRAY[
        d.account_id, (SELECT coalesce(k.meter_id, k.id) FROM api_keys k WHERE k.id = d.key_id)
    ] LOOP
        UPDATE meters m SET total = m.total - d.charged,
            charged = m.charged - CASE WHEN m.day = d.charged_on THEN d.charged ELSE 0 END,
            bytes = m.bytes - CASE WHEN m.day = d.charged_on THEN d.size_bytes ELSE 0 END
        WHERE m.subject_id = subject;
    END LOOP;
    PERFORM count_failure(d.account_id, d.charged_on, d.modality, d.key_id);
    DELETE FROM idempotency_keys i WHERE i.detection_id = of_id;
    RETURN d.settled_at;
END $$;

-- Close what is overdue because its process died; one process at a time, at most `most` rows. Returns how many.
CREATE FUNCTION sweep_detections(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    d record;
    count integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('bonafide.sweep')) THEN
        RETURN 0;
    END IF;
    FOR d IN
        SELECT s.id, s.attempt FROM (
            SELECT * FROM detections WHERE status = 'running' AND deadline_at < now()
            ORDER BY deadline_at LIMIT most FOR UPDATE SKIP LOCKED
        ) s
        -- The order in which settling counts days.
        ORDER BY s.account_id, s.charged_on, s.modality, coalesce(s.key_id, '00000000-0000-0000-0000-000000000000')
    LOOP
        PERFORM fail_detection(d.id, d.attempt, 'abandoned', 'The detection was interrupted. Nothing was charged.');
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;

-- The audit log is only ever added to; the one change allowed is to give an event its place in the chain.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.place IS NULL AND NEW.place IS NOT NULL
        AND to_jsonb(OLD) - 'place' - 'chain_hash' = to_jsonb(NEW) - 'place' - 'chain_hash' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- What a job was called with may be a secret, such as the link in a mail: it goes as soon as nobody needs it any more.
CREATE FUNCTION forget_job_arguments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.args := '{}';
    RETURN NEW;
END $$;
CREATE TRIGGER procrastinate_jobs_forget_arguments BEFORE UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW WHEN (NEW.status IN ('succeeded', 'cancelled')) EXECUTE FUNCTION forget_job_arguments();
