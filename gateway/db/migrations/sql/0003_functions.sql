-- Jobs: how they are admitted, wait, are taken, taken again, and end. Locks are taken in the order of 0002, jobs before
-- detections; a batch comes after its job.

DROP FUNCTION find_caller(bytea, uuid, text, text);
-- Who calls: by the SHA-256 of a key, by a session, as a subject that an outside issuer vouched for, or, for what a worker
-- does later on somebody's behalf, as an account with the key that it used, if any. No row: nobody.
-- Scopes are null for callers who may do whatever their account may. A daily limit of the account's own that is above its
-- plan's takes a burst limit with it that the plan did not set below its daily one. Rotated keys share one meter.
-- Status is that of the account, or 'unverified': its password is of use only once its e-mail is verified, where the
-- connection says so (`bonafide.require_verified_email`).
CREATE FUNCTION find_caller(of_digest bytea, of_session uuid, of_issuer text, of_subject text,
    of_account uuid DEFAULT NULL, of_key uuid DEFAULT NULL)
RETURNS TABLE (
    account_id uuid, key_id uuid, session_id uuid, number bigint, email text, username text, role text, status text,
    scopes text[], allowed_addresses text[], allowed_models text[],
    daily_limit integer, daily_bytes bigint, burst_limit integer, burst_period_s integer, concurrent_limit integer,
    key_daily_limit integer, key_daily_bytes bigint, key_burst_limit integer, key_burst_period_s integer,
    key_meter_id uuid, keeps_media boolean, storage_bytes bigint
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
        c.daily_limit, c.daily_bytes, c.burst_limit, c.burst_period_s, c.meter_id,
        a.keeps_media, coalesce(a.storage_bytes, p.storage_bytes)
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
        UNION ALL
        SELECT o.id, k.id, NULL, k.scopes, k.allowed_addresses, k.allowed_models, k.daily_limit, k.daily_bytes,
            k.burst_limit, k.burst_period_s, coalesce(k.meter_id, k.id)
        FROM (SELECT of_account AS id) o
        LEFT JOIN api_keys k ON k.id = of_key AND k.account_id = o.id AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())
        WHERE o.id IS NOT NULL AND (of_key IS NULL OR k.id IS NOT NULL)
    ) c
    JOIN accounts a ON a.id = c.account_id
    JOIN plans p ON p.name = a.plan
    WHERE a.status <> 'deleted'
    LIMIT 1
$$;

-- Admit detections, each for itself: find the caller, check what it may and what is left, charge, open the row.
-- What is refused is not charged. `outcome` is 'admitted', 'replay' (the idempotency key has its answer already, in
-- `detection_id`) or why not: 'unknown', 'suspended', 'unverified', 'scope', 'address', 'model', 'in_progress', 'mismatch',
-- 'daily', 'bytes', 'burst', 'concurrent', 'key_daily', 'key_bytes', 'key_burst', 'storage'.
-- Since 0003 an order may come from a job, `job_id`: its row is opened as queued and has no deadline. It takes no slot of
-- a burst and is not counted as running at once, for it waits for its turn. Its idempotency key answers with it at once.
-- A medium that is to be kept, because its order says so or, where it says nothing, its account, has its room from here
-- on: a row of `media` that is reserved. It has `keeping_s` longer to be closed. Where there is no room: 'storage'.
DROP FUNCTION admit(jsonb);
CREATE FUNCTION admit(orders jsonb)
RETURNS TABLE (
    place integer, outcome text, detection_id uuid, created_at timestamptz, account_id uuid, key_id uuid,
    daily_limit integer, charged integer, burst_limit integer, burst_period_s integer, arrival_at timestamptz,
    at timestamptz, daily_bytes bigint, bytes bigint, concurrent_limit integer, running integer,
    key_daily_limit integer, key_charged integer, key_burst_limit integer, key_burst_period_s integer,
    key_arrival_at timestamptz, key_daily_bytes bigint, key_bytes bigint, reserved_id uuid
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    o record;
    s storage_meters;
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
        SELECT t.*, c.*, t.job_id IS NULL AND coalesce(t.keep, c.keeps_media) AS is_kept
        FROM jsonb_to_recordset(orders) AS t (
            place integer, key_digest text, session_id uuid, issuer text, subject text, address text, modality text,
            model text, attempt uuid, filename text, media_type text, size_bytes bigint, media_digest text,
            request_id text, channel text, client_reference text, tags text[], cached_from uuid,
            charge integer, lifetime_s float8, idempotency_key text, fingerprint text, job_id uuid, medium_id uuid,
            for_account uuid, for_key uuid, keep boolean, keeping_s float8
        )
        LEFT JOIN LATERAL find_caller(
            decode(t.key_digest, 'hex'), t.session_id, t.issuer, t.subject, t.for_account, t.for_key
        ) c ON true
        -- Those that are kept come first, for storage meters are locked before meters.
        ORDER BY c.account_id, is_kept DESC, t.place
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
        reserved_id := NULL;
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
            IF o.is_kept THEN
                s := lock_storage(o.account_id);
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
            SELECT count(*) INTO running FROM detections d
            WHERE d.account_id = o.account_id AND d.status = 'running' AND d.job_id IS NULL;
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
            WHEN o.for_account IS NULL AND o.allowed_addresses IS NOT NULL AND NOT coalesce(o.address::inet <<= ANY (o.allowed_addresses::inet[]), false)
                THEN 'address'
            WHEN o.allowed_models IS NOT NULL AND NOT coalesce(o.model = ANY (o.allowed_models), false) THEN 'model'
            WHEN NOT taken THEN 'in_progress'
            WHEN claim.key IS NOT NULL AND claim.fingerprint <> decode(o.fingerprint, 'hex') THEN 'mismatch'
            WHEN claim.key IS NOT NULL THEN 'claimed'
            WHEN m.charged + o.charge > o.daily_limit THEN 'daily'
            WHEN m.bytes + o.size_bytes > o.daily_bytes THEN 'bytes'
            WHEN limited AND k.charged + o.charge > o.key_daily_limit THEN 'key_daily'
            WHEN limited AND k.bytes + o.size_bytes > o.key_daily_bytes THEN 'key_bytes'
            WHEN o.is_kept AND s.kept_bytes + o.size_bytes > o.storage_bytes THEN 'storage'
            WHEN o.job_id IS NOT NULL THEN 'admitted'
            WHEN running >= o.concurrent_limit THEN 'concurrent'
            WHEN arrival - slot * o.burst_limit > at THEN 'burst'
            WHEN limited AND key_arrival - key_slot * o.key_burst_limit > at THEN 'key_burst'
            ELSE 'admitted'
        END;
        IF outcome = 'claimed' THEN
            detection_id := claim.detection_id;
            outcome := 'in_progress';
            SELECT 'replay' INTO outcome FROM detections d
            WHERE d.id = claim.detection_id AND (d.status = 'succeeded' OR d.job_id IS NOT NULL);
            outcome := coalesce(outcome, 'in_progress');
        ELSIF outcome = 'admitted' THEN
            m.charged := m.charged + o.charge;
            m.bytes := m.bytes + o.size_bytes;
            m.total := m.total + o.charge;
            IF o.job_id IS NULL THEN
                m.arrival_at := coalesce(arrival, m.arrival_at);
            END IF;
            IF limited THEN
                k.charged := k.charged + o.charge;
                k.bytes := k.bytes + o.size_bytes;
                k.total := k.total + o.charge;
                IF o.job_id IS NULL THEN
                    k.arrival_at := coalesce(key_arrival, k.arrival_at);
                END IF;
            END IF;
            IF o.is_kept THEN
                reserved_id := reserve_medium(o.account_id, o.key_id, o.filename, o.media_type, o.modality, o.size_bytes,
                    decode(o.media_digest, 'hex'), o.lifetime_s + o.keeping_s);
                s.kept_bytes := s.kept_bytes + o.size_bytes;
            END IF;
            INSERT INTO detections AS d (
                account_id, key_id, status, attempt, modality, filename, media_type, size_bytes, media_digest,
                request_id, channel, client_reference, tags, cached_from, charged, charged_on, deadline_at, job_id,
                medium_id
            ) VALUES (
                o.account_id, o.key_id, CASE WHEN o.job_id IS NULL THEN 'running' ELSE 'queued' END, o.attempt,
                o.modality, o.filename, o.media_type, o.size_bytes,
                decode(o.media_digest, 'hex'), o.request_id, o.channel, o.client_reference,
                coalesce(o.tags, '{}'), o.cached_from, o.charge, m.day,
                CASE WHEN o.job_id IS NULL
                    THEN now() + make_interval(secs => o.lifetime_s + CASE WHEN o.is_kept THEN o.keeping_s ELSE 0 END) END,
                o.job_id, coalesce(reserved_id, o.medium_id)
            ) RETURNING d.id, d.created_at INTO detection_id, created_at;
            IF o.job_id IS NULL THEN
                running := running + 1;
            END IF;
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
-- Since 0003 what waits counts as used, as it does for the account: it is refunded to this meter where it fails.
CREATE OR REPLACE FUNCTION start_key_meter(of_account uuid, of_meter uuid) RETURNS void LANGUAGE plpgsql AS $$
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
        WHERE d.account_id = of_account AND d.status IN ('queued', 'running') AND d.charged_on = today
            AND d.key_id = k.id
    ) u
    WHERE k.account_id = of_account AND coalesce(k.meter_id, k.id) = of_meter
    ON CONFLICT (subject_id) DO UPDATE SET day = excluded.day, charged = excluded.charged, bytes = excluded.bytes;
END $$;

-- Close a queued or running detection as failed and refund it, to the day on which it was charged; its idempotency key is free
-- again. Null where it was not this attempt's to close any more.
CREATE OR REPLACE FUNCTION fail_detection(of_id uuid, of_attempt uuid, code text, message text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    d record;
    subject uuid;
BEGIN
    UPDATE detections SET status = 'failed', settled_at = now(), refunded = true, attempt = uuidv4(),
        error_code = code, error_message = message
    WHERE id = of_id AND attempt = of_attempt AND status IN ('queued', 'running')
    RETURNING * INTO d;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF d.job_id IS NULL AND d.medium_id IS NOT NULL THEN
        -- What has no verdict is not kept.
        PERFORM discard_media(ARRAY[d.medium_id], NULL);
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

-- Weigh the medium of a detection that was admitted before its medium was known, and charge its bytes. Null where they
-- are within the limits, else 'bytes' or 'key_bytes' and nothing is changed.
CREATE FUNCTION weigh_detection(
    of_id uuid, of_attempt uuid, of_size bigint, of_digest bytea, of_media_type text, of_filename text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d detections;
    key_meter uuid;
    k api_keys;
    m meters;
    most bigint;
    today date;
BEGIN
    SELECT * INTO d FROM detections WHERE id = of_id AND attempt = of_attempt AND status IN ('queued', 'running')
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    m := lock_meter(d.account_id);
    today := (platform_now() AT TIME ZONE 'utc')::date;
    SELECT coalesce(a.daily_bytes, p.daily_bytes) INTO most
    FROM accounts a JOIN plans p ON p.name = a.plan WHERE a.id = d.account_id;
    -- What was admitted on a day counts there, as its charge does; a day that is over has no limit left to keep.
    IF d.charged_on = m.day AND m.day = today AND m.bytes + of_size - d.size_bytes > most THEN
        RETURN 'bytes';
    END IF;
    SELECT * INTO k FROM api_keys WHERE id = d.key_id;
    key_meter := coalesce(k.meter_id, k.id);
    IF key_meter IS NOT NULL THEN
        IF EXISTS (
            SELECT 1 FROM meters q WHERE q.subject_id = key_meter AND q.day = d.charged_on AND q.day = today
                AND q.bytes + of_size - d.size_bytes > k.daily_bytes
        ) THEN
            RETURN 'key_bytes';
        END IF;
        UPDATE meters SET bytes = bytes + of_size - d.size_bytes WHERE subject_id = key_meter AND day = d.charged_on;
    END IF;
    UPDATE meters SET bytes = bytes + of_size - d.size_bytes WHERE subject_id = d.account_id AND day = d.charged_on;
    UPDATE detections SET size_bytes = of_size, media_digest = of_digest, media_type = of_media_type,
        filename = of_filename
    WHERE id = of_id;
    RETURN NULL;
END $$;

-- Note something that happened to a job, whose row the caller has locked, and announce it to those who follow it.
CREATE FUNCTION note_job(of_id uuid, of_kind text, of_data jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    at_place integer;
BEGIN
    INSERT INTO job_events (job_id, place, kind, data)
    SELECT of_id, coalesce(max(e.place), 0) + 1, of_kind, coalesce(of_data, '{}') FROM job_events e WHERE e.job_id = of_id
    RETURNING place INTO at_place;
    PERFORM pg_notify('job_events', of_id || ' ' || at_place);
    RETURN at_place;
END $$;

-- Open jobs of one account and class whose detections were admitted just now in this transaction, and queue them in the
-- order given.
CREATE FUNCTION open_jobs(of_account uuid, of_class text, documents jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs (id, account_id, key_id, batch_id, place, detection_id, medium_id, source_url, model, class,
        request_id)
    SELECT d.id, of_account, d.key_id, d.batch_id, d.place, d.detection_id, d.medium_id, d.source_url, d.model, of_class,
        d.request_id
    FROM jsonb_to_recordset(documents) AS d (id uuid, key_id uuid, batch_id uuid, place integer, detection_id uuid,
        medium_id uuid, source_url text, model text, request_id text);
    PERFORM note_job((d ->> 'id')::uuid, 'queued', '{}') FROM jsonb_array_elements(documents) d;
    PERFORM enqueue_jobs(of_account, of_class, ARRAY(
        SELECT (d ->> 'id')::uuid FROM jsonb_array_elements(documents) WITH ORDINALITY AS n (d, nth) ORDER BY n.nth
    ));
END $$;

-- Put queued jobs of one account and class into the queue, in the order given, at the earliest at their `run_at`.
--
-- Fair between accounts: a job's place is one behind the last one that waits for its account, and never before the first
-- one that waits at all (start-time fair queueing, Goyal, Vin and Cheng 1996, with every job costing the same). So an
-- account with one job waits for one job of each other account, however many those have. Nothing is remembered of what
-- no longer waits, and an empty queue begins at 0 again. Classes are strictly apart: a worker's lane takes the highest
-- first, and has a lane for each of the others so that none starves.
CREATE FUNCTION enqueue_jobs(of_account uuid, of_class text, of_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    span CONSTANT bigint := 1000000000;
    band bigint := CASE of_class WHEN 'interactive' THEN 2 * span WHEN 'api' THEN span ELSE 0 END;
    first bigint;
    own bigint;
    tickets bigint[];
BEGIN
    -- What waits for another try has a place of long ago, which would let newcomers pass all others.
    SELECT place_in_queue INTO first FROM jobs
    WHERE class = of_class AND status = 'queued' AND ticket IS NOT NULL AND attempts = 0
    ORDER BY place_in_queue LIMIT 1;
    -- A range over the account, so that no index but its own is in this order: another one is read past all others' jobs.
    SELECT place_in_queue + 1 INTO own FROM jobs
    WHERE class = of_class AND account_id >= of_account AND account_id <= of_account AND status = 'queued'
        AND ticket IS NOT NULL
    ORDER BY account_id DESC, place_in_queue DESC LIMIT 1;
    first := greatest(coalesce(first, 0), coalesce(own, 0));
    UPDATE jobs SET place_in_queue = least(first + n.nth - 1, span - 1)
    FROM unnest(of_ids) WITH ORDINALITY AS n (id, nth) WHERE jobs.id = n.id;
    tickets := procrastinate_defer_jobs_v1((
        SELECT array_agg(
            ROW('jobs.' || j.class, 'job', (band - j.place_in_queue)::integer, NULL, NULL,
                jsonb_build_object('job_id', j.id), j.run_at)::procrastinate_job_to_defer_v1
            ORDER BY n.nth
        )
        FROM unnest(of_ids) WITH ORDINALITY AS n (id, nth) JOIN jobs j ON j.id = n.id
    ));
    UPDATE jobs SET ticket = n.ticket
    FROM unnest(of_ids, tickets) AS n (id, ticket) WHERE jobs.id = n.id;
END $$;

-- Give a job that waits for another try back to the queue. It keeps its place: it has waited for its turn already.
CREATE FUNCTION requeue_job(of_id uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    j jobs;
    span CONSTANT bigint := 1000000000;
BEGIN
    SELECT * INTO j FROM jobs WHERE id = of_id;
    UPDATE jobs SET ticket = (procrastinate_defer_jobs_v1(ARRAY[
        ROW('jobs.' || j.class, 'job',
            (CASE j.class WHEN 'interactive' THEN 2 * span WHEN 'api' THEN span ELSE 0 END - j.place_in_queue)::integer,
            NULL, NULL, jsonb_build_object('job_id', j.id), j.run_at)::procrastinate_job_to_defer_v1
    ]))[1] WHERE id = of_id;
END $$;

-- Take a queued job for `lease_s` seconds, under a new token, which is its detection's too. No row: it is not queued any
-- more, or its time has not come.
CREATE FUNCTION begin_job(of_id uuid, lease_s float8, of_worker text) RETURNS SETOF jobs LANGUAGE plpgsql AS $$
DECLARE
    j jobs;
BEGIN
    UPDATE jobs SET status = 'running', attempt = uuidv4(), attempts = attempts + 1, worker = of_worker, ticket = NULL,
        lease_until = clock_timestamp() + make_interval(secs => lease_s), started_at = coalesce(started_at, now()),
        error_code = NULL, error_message = NULL
    WHERE id = of_id AND status = 'queued' AND run_at <= now()
    RETURNING * INTO j;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE detections SET status = 'running', attempt = j.attempt WHERE id = j.detection_id;
    PERFORM note_job(j.id, 'running', jsonb_build_object('attempt', j.attempts));
    RETURN NEXT j;
END $$;

-- Renew the leases of the jobs that a worker has, given by their tokens; returns the tokens that are still good.
CREATE FUNCTION renew_leases(of_attempts uuid[], lease_s float8) RETURNS SETOF uuid LANGUAGE sql AS $$
    UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => lease_s)
    WHERE status = 'running' AND attempt = ANY (of_attempts) AND lease_until > clock_timestamp()
    RETURNING attempt
$$;

-- Note how far a job is; false where this attempt has it no more.
CREATE FUNCTION progress_job(of_id uuid, of_attempt uuid, of_data jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs SET progress = of_data - 'scores'
    WHERE id = of_id AND attempt = of_attempt AND status = 'running' AND lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM note_job(of_id, 'progress', of_data);
    RETURN true;
END $$;

-- End a running job as succeeded or failed; false where this attempt has it no more, and nothing is changed. Whoever
-- calls it settles or fails the detection in the same transaction, and does neither where it is false.
CREATE FUNCTION end_job(
    of_id uuid, of_attempt uuid, of_status text, code text, message text, of_dead boolean, of_data jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs SET status = of_status, ended_at = now(), lease_until = NULL, attempt = NULL, dead = of_dead,
        error_code = code, error_message = message, failures = failures + (of_status = 'failed')::integer
    WHERE id = of_id AND attempt = of_attempt AND status = 'running' AND lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM note_job(of_id, of_status, of_data);
    RETURN true;
END $$;

-- Give a running job back for another try after `pause_s` seconds; false where this attempt has it no more.
CREATE FUNCTION retry_job(
    of_id uuid, of_attempt uuid, code text, message text, pause_s float8, failed boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    j jobs;
BEGIN
    UPDATE jobs SET status = 'queued', lease_until = NULL, attempt = NULL, error_code = code, error_message = message,
        failures = failures + failed::integer, run_at = clock_timestamp() + make_interval(secs => pause_s)
    WHERE id = of_id AND attempt = of_attempt AND status = 'running' AND lease_until > clock_timestamp()
    RETURNING * INTO j;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE detections SET status = 'queued', attempt = uuidv4() WHERE id = j.detection_id;
    PERFORM note_job(of_id, 'retrying', jsonb_build_object('code', code, 'message', message, 'run_at', j.run_at));
    PERFORM requeue_job(of_id);
    RETURN true;
END $$;

-- Take running jobs back whose lease has passed: their worker died, or hangs. Returns those that were lost too often,
-- under a new token by which the caller ends them as failed; the others wait in the queue again.
CREATE FUNCTION take_back_jobs(most_losses integer, most integer, lease_s float8) RETURNS SETOF jobs
LANGUAGE plpgsql AS $$
DECLARE
    j jobs;
BEGIN
    FOR j IN
        SELECT * FROM jobs WHERE status = 'running' AND lease_until <= clock_timestamp()
        ORDER BY lease_until LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        UPDATE jobs SET attempt = uuidv4(), losses = losses + 1,
            lease_until = clock_timestamp() + make_interval(secs => lease_s)
        WHERE id = j.id RETURNING * INTO j;
        UPDATE detections SET attempt = j.attempt WHERE id = j.detection_id;
        IF j.losses >= most_losses THEN
            RETURN NEXT j;
        ELSE
            PERFORM retry_job(j.id, j.attempt, 'worker_lost', 'The worker did not come back.', 0, false);
        END IF;
    END LOOP;
END $$;

-- Put queued jobs back into the queue that lost their entry there; returns how many.
CREATE FUNCTION reissue_tickets(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    one uuid;
    count integer := 0;
BEGIN
    FOR one IN
        SELECT j.id FROM jobs j LEFT JOIN procrastinate_jobs q ON q.id = j.ticket AND q.status IN ('todo', 'doing')
        WHERE j.status = 'queued' AND j.run_at < now() - interval '30 seconds' AND q.id IS NULL
        LIMIT most FOR NO KEY UPDATE OF j SKIP LOCKED
    LOOP
        PERFORM requeue_job(one);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;

-- Put queued jobs back into the queue whose entry a worker took `after_s` seconds ago and did not begin: it died in
-- between. Returns how many. Should it live, it finds the job begun already, or begins it and the other one does.
CREATE FUNCTION reissue_unbegun(after_s float8, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    one uuid;
    count integer := 0;
BEGIN
    FOR one IN
        SELECT j.id FROM procrastinate_jobs q
        JOIN jobs j ON j.id = CASE WHEN q.task_name = 'job' THEN (q.args ->> 'job_id')::uuid END AND j.ticket = q.id
        WHERE q.status = 'doing' AND q.worker_id IS NOT NULL AND j.status = 'queued' AND (
            SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = q.id AND e.type = 'started'
        ) < now() - make_interval(secs => after_s)
        LIMIT most FOR NO KEY UPDATE OF j SKIP LOCKED
    LOOP
        PERFORM requeue_job(one);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;

-- Cancel a job that has not ended, and refund it; false where it has. A worker that has it loses its token.
CREATE FUNCTION cancel_job(of_id uuid, message text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    j jobs;
    token uuid;
BEGIN
    UPDATE jobs SET status = 'cancelled', ended_at = now(), lease_until = NULL, attempt = NULL, dead = false,
        error_code = 'cancelled', error_message = message
    WHERE id = of_id AND status IN ('queued', 'running')
    RETURNING * INTO j;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE procrastinate_jobs SET status = 'cancelled' WHERE id = j.ticket AND status = 'todo';
    SELECT d.attempt INTO token FROM detections d WHERE d.id = j.detection_id;
    PERFORM fail_detection(j.detection_id, token, 'cancelled', message);
    PERFORM note_job(of_id, 'cancelled', '{}');
    RETURN true;
END $$;

-- How many jobs a worker takes before this one: of its own class those with a place before its own, and all that wait in
-- higher classes; counted up to `most`. Null where it does not wait.
CREATE FUNCTION jobs_ahead(of_id uuid, most integer) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (
        SELECT count(*) FROM (
            SELECT 1 FROM jobs o
            WHERE o.status = 'queued' AND o.class = j.class AND (o.place_in_queue, o.id) < (j.place_in_queue, j.id)
            LIMIT most
        ) same
    ) + (
        SELECT count(*) FROM (
            SELECT 1 FROM jobs o WHERE o.status = 'queued' AND (
                (j.class = 'batch' AND o.class IN ('interactive', 'api')) OR (j.class = 'api' AND o.class = 'interactive')
            ) LIMIT most
        ) higher
    )
    FROM jobs j WHERE j.id = of_id AND j.status = 'queued'
$$;

-- End a batch whose last job has ended; true for the one caller that ended it. Called in the transaction in which a job
-- of it ended, or in which it got its last job or was cancelled.
CREATE FUNCTION end_batch(of_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever ends another job of it at the same time waits here, and sees this one's end.
    PERFORM 1 FROM batches WHERE id = of_id FOR NO KEY UPDATE;
    UPDATE batches SET status = CASE status WHEN 'running' THEN 'finished' ELSE status END, ended_at = now()
    WHERE id = of_id AND status IN ('running', 'cancelled') AND ended_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch_id = of_id AND status IN ('queued', 'running'));
    RETURN FOUND;
END $$;

-- Keep the count of what an account has in the object store.
CREATE FUNCTION meter_media() RETURNS trigger LANGUAGE plpgsql AS $$
<<changed>>
DECLARE
    of_account uuid := coalesce(NEW.account_id, OLD.account_id);
    kept_bytes bigint := 0;
    kept_count bigint := 0;
    passing_bytes bigint := 0;
    passing_count bigint := 0;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        IF OLD.kept THEN
            kept_bytes := -OLD.size_bytes;
            kept_count := -1;
        ELSE
            passing_bytes := -OLD.size_bytes;
            passing_count := -1;
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        IF NEW.kept THEN
            kept_bytes := kept_bytes + NEW.size_bytes;
            kept_count := kept_count + 1;
        ELSE
            passing_bytes := passing_bytes + NEW.size_bytes;
            passing_count := passing_count + 1;
        END IF;
    END IF;
    IF (kept_bytes, kept_count, passing_bytes, passing_count) = (0, 0, 0, 0) THEN
        RETURN NULL;
    END IF;
    UPDATE storage_meters s SET kept_bytes = s.kept_bytes + changed.kept_bytes,
        kept_count = s.kept_count + changed.kept_count, passing_bytes = s.passing_bytes + changed.passing_bytes,
        passing_count = s.passing_count + changed.passing_count
    WHERE s.account_id = of_account;
    IF NOT FOUND AND TG_OP <> 'DELETE' THEN
        INSERT INTO storage_meters AS s (account_id, kept_bytes, kept_count, passing_bytes, passing_count)
        VALUES (of_account, kept_bytes, kept_count, passing_bytes, passing_count)
        ON CONFLICT (account_id) DO UPDATE SET kept_bytes = s.kept_bytes + excluded.kept_bytes,
            kept_count = s.kept_count + excluded.kept_count, passing_bytes = s.passing_bytes + excluded.passing_bytes,
            passing_count = s.passing_count + excluded.passing_count;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER media_metered AFTER INSERT OR DELETE OR UPDATE OF kept, size_bytes ON media
    FOR EACH ROW EXECUTE FUNCTION meter_media();

-- Take what an account has in the store for oneself until the transaction ends, and say whether `more` bytes fit: kept
-- ones into its allowance, others into `most_passing`. What is null has no limit.
CREATE FUNCTION fits_in_storage(of_account uuid, more bigint, keep boolean, most_passing bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    s storage_meters := lock_storage(of_account);
    allowance bigint;
BEGIN
    SELECT coalesce(a.storage_bytes, p.storage_bytes) INTO allowance
    FROM accounts a JOIN plans p ON p.name = a.plan WHERE a.id = of_account;
    RETURN coalesce(CASE WHEN keep THEN s.kept_bytes + more <= allowance ELSE s.passing_bytes + more <= most_passing END,
        true);
END $$;

-- A worker's lane takes from one queue, where procrastinate's own index knows only the order across all of them.
CREATE INDEX procrastinate_jobs_lane_idx ON procrastinate_jobs (queue_name, priority DESC, id) WHERE status = 'todo';

-- procrastinate's own function, made over for queues in which a hundred thousand tasks wait: that one sorts all of them
-- whenever the statistics of the table are not those of this minute, and reads past every task of other queues.
-- Here the head of each queue is one step into the index above, whatever the statistics say: no plan that sorts is
-- allowed, and a range over `queue_name` leaves no other index in the right order. The queues are gone through by the
-- priority of their heads; tasks that another worker is taking are left to it. A pause of `jobs` holds for every queue
-- whose name begins with `jobs.`: nothing is taken from there, from the moment on at which the pause is committed.
CREATE OR REPLACE FUNCTION procrastinate_fetch_job_v2(target_queue_names varchar[], p_worker_id bigint)
RETURNS procrastinate_jobs LANGUAGE plpgsql
SET enable_sort = off SET enable_incremental_sort = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
DECLARE
    queue text;
    found procrastinate_jobs;
BEGIN
    IF target_queue_names IS NULL THEN
        target_queue_names := ARRAY(
            WITH RECURSIVE named AS (
                SELECT min(t.queue_name::text) AS name FROM procrastinate_jobs t WHERE t.status = 'todo'
                UNION ALL
                SELECT (SELECT min(t.queue_name::text) FROM procrastinate_jobs t
                    WHERE t.status = 'todo' AND t.queue_name > n.name)
                FROM named n WHERE n.name IS NOT NULL
            )
            SELECT name FROM named WHERE name IS NOT NULL
        );
    END IF;
    FOR queue IN
        SELECT q.name FROM unnest(target_queue_names) AS q (name) CROSS JOIN LATERAL (
            SELECT t.priority, t.id FROM procrastinate_jobs t
            WHERE t.status = 'todo' AND t.queue_name >= q.name AND t.queue_name <= q.name
                AND (t.scheduled_at IS NULL OR t.scheduled_at <= now())
            ORDER BY t.queue_name, t.priority DESC, t.id LIMIT 1
        ) head
        WHERE NOT EXISTS (SELECT 1 FROM queue_pauses p WHERE p.queue = split_part(q.name, '.', 1))
        ORDER BY head.priority DESC, head.id
    LOOP
        UPDATE procrastinate_jobs SET status = 'doing', worker_id = p_worker_id
        WHERE id = (
            SELECT t.id FROM procrastinate_jobs t
            WHERE t.status = 'todo' AND t.queue_name >= queue AND t.queue_name <= queue
                AND (t.scheduled_at IS NULL OR t.scheduled_at <= now())
                -- Tasks of the same lock run one after the other, in the order of their priority.
                AND (t.lock IS NULL OR NOT EXISTS (
                    SELECT 1 FROM procrastinate_jobs o
                    WHERE o.lock = t.lock AND (
                        o.status = 'doing'
                        OR o.status = 'todo' AND (o.priority > t.priority OR o.priority = t.priority AND o.id < t.id)
                    )
                ))
            ORDER BY t.queue_name, t.priority DESC, t.id LIMIT 1
            FOR UPDATE OF t SKIP LOCKED
        )
        RETURNING * INTO found;
        EXIT WHEN found.id IS NOT NULL;
    END LOOP;
    RETURN found;
END $$;

-- These tables may grow by a hundred thousand rows before Postgres looks at them again. Plans for what they were would
-- read all of them for each job, and connections keep theirs.
ALTER FUNCTION enqueue_jobs SET enable_seqscan = off;
ALTER FUNCTION enqueue_jobs SET enable_bitmapscan = off;
ALTER FUNCTION enqueue_jobs SET enable_sort = off;
ALTER FUNCTION begin_job SET enable_seqscan = off;
ALTER FUNCTION renew_leases SET enable_seqscan = off;
ALTER FUNCTION progress_job SET enable_seqscan = off;
ALTER FUNCTION end_job SET enable_seqscan = off;
ALTER FUNCTION retry_job SET enable_seqscan = off;
ALTER FUNCTION take_back_jobs SET enable_seqscan = off;
ALTER FUNCTION cancel_job SET enable_seqscan = off;
ALTER FUNCTION reissue_unbegun SET enable_seqscan = off;
