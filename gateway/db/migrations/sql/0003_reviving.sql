-- Jobs that failed or were cancelled are tried again because an admin wants it. Locks are taken in the order of 0002, jobs
-- before detections; where there are several, all of those before the first meter.

-- Queue a job again that failed or was cancelled, and charge it again: to the same detection, which is then open as if it
-- had been admitted now. So a job has one row in the history and is charged once, whatever came before.
-- 'revived', or why not, and nothing is changed: 'gone', 'succeeded', 'open' (it has not ended), 'deleted' (its detection is
-- in the bin), 'medium_gone', 'key_gone' (or its account), 'suspended', 'unverified', 'scope', 'model', 'daily', 'bytes',
-- 'key_daily', 'key_bytes'.
CREATE FUNCTION revive_job(of_id uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    j jobs;
    d detections;
    c record;
    m meters;
    k meters;
    at timestamptz;
    refusal text;
    size bigint;
BEGIN
    SELECT * INTO j FROM jobs WHERE id = of_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'gone';
    ELSIF j.status NOT IN ('failed', 'cancelled') THEN
        RETURN CASE j.status WHEN 'succeeded' THEN 'succeeded' ELSE 'open' END;
    END IF;
    SELECT * INTO d FROM detections WHERE id = j.detection_id FOR NO KEY UPDATE;
    IF d.deleted_at IS NOT NULL THEN
        RETURN 'deleted';
    END IF;
    -- Whoever takes the medium away waits, and then finds the job queued; who ends another job of it, and holds the
    -- meters by then, does not.
    PERFORM 1 FROM media WHERE id = j.medium_id AND state = 'ready' FOR KEY SHARE;
    IF NOT FOUND AND (j.medium_id IS NOT NULL OR j.source_url IS NULL) THEN
        RETURN 'medium_gone';
    END IF;
    -- What comes from an address is fetched and weighed anew.
    size := CASE WHEN j.medium_id IS NULL THEN 0 ELSE d.size_bytes END;
    SELECT * INTO c FROM find_caller(NULL, NULL, NULL, NULL, j.account_id, j.key_id);
    IF NOT FOUND THEN
        RETURN 'key_gone';
    END IF;
    m := lock_meter(j.account_id);
    at := platform_now();
    m := meter_at(m, at, NULL, NULL);
    IF c.key_daily_limit IS NOT NULL OR c.key_daily_bytes IS NOT NULL OR c.key_burst_limit IS NOT NULL THEN
        k := meter_at(lock_meter(c.key_meter_id), at, NULL, NULL);
    END IF;
    refusal := CASE
        WHEN c.status IN ('suspended', 'unverified') THEN c.status
        WHEN NOT (c.scopes IS NULL OR '*' = ANY (c.scopes) OR 'detect:' || d.modality = ANY (c.scopes)) THEN 'scope'
        WHEN c.allowed_models IS NOT NULL AND NOT coalesce(j.model = ANY (c.allowed_models), false) THEN 'model'
        WHEN m.charged + d.charged > c.daily_limit THEN 'daily'
        WHEN m.bytes + size > c.daily_bytes THEN 'bytes'
        WHEN k.charged + d.charged > c.key_daily_limit THEN 'key_daily'
        WHEN k.bytes + size > c.key_daily_bytes THEN 'key_bytes'
    END;
    IF refusal IS NOT NULL THEN
        RETURN refusal;
    END IF;
    m.charged := m.charged + d.charged;
    m.bytes := m.bytes + size;
    m.total := m.total + d.charged;
    PERFORM keep_meter(m);
    IF k.subject_id IS NOT NULL THEN
        k.charged := k.charged + d.charged;
        k.bytes := k.bytes + size;
        k.total := k.total + d.charged;
        PERFORM keep_meter(k);
    END IF;
    UPDATE detection_days SET failed = failed - 1
    WHERE account_id = d.account_id AND day = d.charged_on AND modality = d.modality
        AND key_id = coalesce(d.key_id, '00000000-0000-0000-0000-000000000000');
    UPDATE detections SET status = 'queued', attempt = uuidv4(), charged_on = m.day, refunded = false, settled_at = NULL,
        error_code = NULL, error_message = NULL, size_bytes = size,
        media_digest = CASE WHEN j.medium_id IS NULL THEN NULL ELSE media_digest END
    WHERE id = d.id;
    UPDATE jobs SET status = 'queued', attempt = NULL, failures = 0, losses = 0, dead = false, worker = NULL, ticket = NULL,
        progress = NULL, error_code = NULL, error_message = NULL, run_at = now(), started_at = NULL, ended_at = NULL
    WHERE id = of_id;
    PERFORM note_job(of_id, 'queued', '{"revived": true}');
    UPDATE batches SET status = 'running', ended_at = NULL
    WHERE id = j.batch_id AND status IN ('finished', 'cancelled') AND ended_at IS NOT NULL;
    PERFORM enqueue_jobs(j.account_id, j.class, ARRAY[of_id]);
    RETURN 'revived';
END $$;

-- Queue dead jobs again, the newest first, up to `most` of them: those of an account where one is given, those that failed
-- with a code where one is given, those older than the job `before` where one is given. Each job that was looked at, and
-- what `revive_job` said of it.
CREATE FUNCTION revive_dead_jobs(of_account uuid, code text, before uuid, most integer)
RETURNS TABLE (job_id uuid, outcome text) LANGUAGE plpgsql AS $$
DECLARE
    chosen uuid[];
BEGIN
    chosen := ARRAY(
        SELECT j.id FROM jobs j
        WHERE j.dead AND (of_account IS NULL OR j.account_id = of_account) AND (code IS NULL OR j.error_code = code)
            AND (before IS NULL OR j.id < before)
        ORDER BY j.id DESC LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    );
    PERFORM 1 FROM detections d JOIN jobs j ON j.detection_id = d.id WHERE j.id = ANY (chosen)
    ORDER BY d.id FOR NO KEY UPDATE OF d;
    RETURN QUERY SELECT n.id, revive_job(n.id)
    FROM (SELECT j.id FROM jobs j WHERE j.id = ANY (chosen) ORDER BY j.account_id, j.id) n;
END $$;
