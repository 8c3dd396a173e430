-- What accounts have in the object store: room for it, how long it stays, and how it goes. Locks are taken in the order
-- jobs, detections, the account, media, storage meters, meters, counts of days; storage meters of several accounts in the
-- order of their ids. Who ends an account locks it first, and of its detections only those that nobody settles any more.

-- Take the storage meter of an account for oneself until the transaction ends.
CREATE FUNCTION lock_storage(of_account uuid) RETURNS storage_meters LANGUAGE plpgsql AS $$
DECLARE
    s storage_meters;
BEGIN
    SELECT * INTO s FROM storage_meters WHERE account_id = of_account FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO storage_meters (account_id) VALUES (of_account)
        ON CONFLICT (account_id) DO UPDATE SET kept_bytes = storage_meters.kept_bytes
        RETURNING * INTO s;
    END IF;
    RETURN s;
END $$;

-- Take room for a medium that is being judged, for so many seconds and some more; the caller has the storage meter. It is
-- ready once it lies in the store, under the path that is its own from here on.
CREATE FUNCTION reserve_medium(
    of_account uuid, of_key uuid, of_filename text, of_media_type text, of_modality text, of_size bigint, of_digest bytea,
    lifetime_s float8
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    new_id uuid := uuidv7();
BEGIN
    INSERT INTO media (id, account_id, key_id, state, path, object_path, filename, media_type, modality, size_bytes,
        digest, kept, expires_at)
    VALUES (new_id, of_account, of_key, 'reserved', 'media/' || new_id, 'media/' || new_id, of_filename, of_media_type,
        of_modality, of_size, of_digest, true, now() + make_interval(secs => lifetime_s) + interval '1 hour');
    RETURN new_id;
END $$;

-- Until when an account keeps what it stores now; null: for ever. The account's row is shared until the transaction ends,
-- so that whoever changes its retention sees this medium, or this one the change.
CREATE FUNCTION kept_until(of_account uuid) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT now() + make_interval(days => a.retention_days) FROM accounts a WHERE a.id = of_account FOR SHARE
$$;

-- Keep media of an account for so many days from when they were stored, and what comes from now on likewise; null: for
-- ever. The caller has changed the account's row in this transaction.
CREATE FUNCTION retain_media(of_account uuid, days integer) RETURNS void LANGUAGE sql AS $$
    UPDATE media SET expires_at = completed_at + make_interval(days => retain_media.days)
    WHERE account_id = of_account AND kept AND state = 'ready'
        AND expires_at IS DISTINCT FROM completed_at + make_interval(days => retain_media.days)
$$;

-- Take media out of everybody's reach, for good: they do not count as kept any more, and what was derived from them goes
-- at once. Their objects, and then their rows, are removed by whoever takes them with `take_discarded`. What a job still
-- needs stays, unless `even_needed`. `why` is the reason in the proof; null: they have had their time. Returns those
-- that go.
CREATE FUNCTION discard_media(of_ids uuid[], why text, even_needed boolean DEFAULT false) RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[];
BEGIN
    PERFORM 1 FROM detections WHERE medium_id = ANY (of_ids) AND status IN ('succeeded', 'failed')
    ORDER BY id FOR NO KEY UPDATE;
    -- Whoever hands over a job for one of them waits, and then finds it gone; or is seen by what follows.
    PERFORM 1 FROM media WHERE id = ANY (of_ids) ORDER BY id FOR UPDATE;
    PERFORM 1 FROM storage_meters s
    WHERE s.account_id IN (SELECT m.account_id FROM media m WHERE m.id = ANY (of_ids))
    ORDER BY s.account_id FOR NO KEY UPDATE;
    WITH discarded AS (
        UPDATE media m SET state = 'deleting', kept = false, expires_at = now(),
            reason = coalesce(why, CASE
                WHEN m.state = 'open' THEN 'never_completed'
                WHEN m.state = 'ready' AND m.kept THEN 'retention'
                WHEN m.state = 'ready' THEN 'unused'
            END)
        WHERE m.id = ANY (of_ids) AND m.state <> 'deleting' AND (even_needed OR NOT is_needed(m.id))
        RETURNING m.id
    )
    SELECT coalesce(array_agg(d.id), '{}') INTO gone FROM discarded d;
    UPDATE detections SET medium_id = NULL, thumbnail = NULL
    WHERE medium_id = ANY (gone) AND status IN ('succeeded', 'failed');
    RETURN QUERY SELECT unnest(gone);
END $$;

-- Whether work that has not ended needs a medium.
CREATE FUNCTION is_needed(of_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM jobs WHERE medium_id = of_id AND status IN ('queued', 'running'))
        OR EXISTS (SELECT 1 FROM batches WHERE archive_id = of_id AND status = 'expanding')
        OR EXISTS (
            SELECT 1 FROM batch_items i JOIN batches b ON b.id = i.batch_id
            WHERE i.medium_id = of_id AND i.place >= b.next_place AND b.status = 'expanding'
        )
$$;

-- Discard media that have had their time, at most `most`, one process at a time; returns how many were looked at.
CREATE FUNCTION expire_media(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    due uuid[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('bonafide.media')) THEN
        RETURN 0;
    END IF;
    due := ARRAY(
        SELECT id FROM media WHERE expires_at < now() AND state <> 'deleting' ORDER BY expires_at LIMIT most
    );
    PERFORM discard_media(due, NULL);
    -- What is needed for longer is looked at again later, so that it does not stand in the way of others.
    UPDATE media SET expires_at = now() + interval '10 minutes'
    WHERE id = ANY (due) AND state <> 'deleting' AND expires_at < now();
    RETURN cardinality(due);
END $$;

-- Take discarded media, at most `most`, to remove their objects; nobody else is given them for `pause_s` seconds, after
-- which they are tried again.
CREATE FUNCTION take_discarded(most integer, pause_s float8) RETURNS SETOF media LANGUAGE sql AS $$
    UPDATE media SET expires_at = now() + make_interval(secs => pause_s)
    WHERE id IN (
        SELECT id FROM media WHERE state = 'deleting' AND coalesce(expires_at, now()) <= now()
        ORDER BY id LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING *
$$;

-- Forget discarded media whose objects are gone, and leave the proof of it; returns how many there were.
CREATE FUNCTION forget_media(of_ids uuid[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    count integer;
BEGIN
    -- What still names them: ended jobs, and detections whose account ended while they ran.
    PERFORM 1 FROM jobs WHERE medium_id = ANY (of_ids) ORDER BY id FOR NO KEY UPDATE;
    PERFORM 1 FROM detections WHERE medium_id = ANY (of_ids) ORDER BY id FOR NO KEY UPDATE;
    PERFORM 1 FROM media WHERE id = ANY (of_ids) ORDER BY id FOR UPDATE;
    PERFORM 1 FROM storage_meters s
    WHERE s.account_id IN (SELECT m.account_id FROM media m WHERE m.id = ANY (of_ids))
    ORDER BY s.account_id FOR NO KEY UPDATE;
    WITH gone AS (
        DELETE FROM media WHERE id = ANY (of_ids) AND state = 'deleting' RETURNING *
    ), proven AS (
        INSERT INTO deletion_proofs (account_id, medium_id, digest, size_bytes, reason, stored_at)
        SELECT account_id, id, digest, size_bytes, reason, coalesce(completed_at, created_at) FROM gone
        WHERE reason IS NOT NULL
        ON CONFLICT (account_id, medium_id) DO NOTHING
    )
    SELECT count(*) INTO count FROM gone;
    RETURN count;
END $$;

-- Remove detections for good that have been in the bin for so many days, at most `most`; their jobs and what was kept of
-- them go with them, what they were charged stays in the counts of their days. Returns how many there were.
CREATE FUNCTION empty_bin(days integer, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('bonafide.bin')) THEN
        RETURN 0;
    END IF;
    gone := ARRAY(
        SELECT id FROM detections WHERE deleted_at < now() - make_interval(days => empty_bin.days)
        ORDER BY deleted_at LIMIT most
    );
    PERFORM 1 FROM jobs WHERE detection_id = ANY (gone) ORDER BY id FOR UPDATE;
    PERFORM 1 FROM detections WHERE id = ANY (gone) ORDER BY id FOR UPDATE;
    -- What was taken out of the bin in between stays.
    gone := ARRAY(SELECT id FROM detections WHERE id = ANY (gone) AND deleted_at IS NOT NULL);
    PERFORM discard_media(ARRAY(
        SELECT d.medium_id FROM detections d WHERE d.id = ANY (gone) AND d.medium_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM detections o WHERE o.medium_id = d.medium_id AND o.id <> ALL (gone))
    ), 'owner');
    DELETE FROM detections WHERE id = ANY (gone);
    RETURN cardinality(gone);
END $$;
