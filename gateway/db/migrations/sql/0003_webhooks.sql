-- Webhooks: what is told is written in the transaction of what it is about, with the queue entries that deliver it.

-- Put a pending delivery into the queue, for when its next try is due.
CREATE FUNCTION enqueue_delivery(of_id uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE webhook_deliveries d SET ticket = (procrastinate_defer_jobs_v1(ARRAY[
        ROW('webhooks', 'deliver_webhook', 0, NULL, NULL,
            jsonb_build_object('delivery_id', d.id, 'endpoint_id', d.endpoint_id, 'account_id', e.account_id),
            d.next_try_at)::procrastinate_job_to_defer_v1
    ]))[1] FROM webhook_endpoints e WHERE d.id = of_id AND e.id = d.endpoint_id
$$;

-- Tell the enabled endpoints of an account of an event that they want, or one endpoint of any event; a subject has each
-- event once. Answers the deliveries.
CREATE FUNCTION tell_webhooks(of_account uuid, of_event text, of_subject uuid, of_body text, of_endpoint uuid)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    endpoints uuid[];
    message uuid;
    one uuid;
BEGIN
    endpoints := ARRAY(
        SELECT e.id FROM webhook_endpoints e
        WHERE e.account_id = of_account AND e.enabled
            AND CASE WHEN of_endpoint IS NULL THEN of_event = ANY (e.events) ELSE e.id = of_endpoint END
        -- One that is being removed is waited for and left out, rather than missed by the rows that name it.
        FOR KEY SHARE
    );
    IF endpoints = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO webhook_messages (account_id, event, subject_id, body)
    VALUES (of_account, of_event, of_subject, of_body)
    ON CONFLICT (subject_id, event) DO NOTHING RETURNING id INTO message;
    IF message IS NULL THEN
        RETURN;
    END IF;
    FOR one IN
        INSERT INTO webhook_deliveries (endpoint_id, message_id, next_try_at)
        SELECT e, message, now() FROM unnest(endpoints) e RETURNING id
    LOOP
        PERFORM enqueue_delivery(one);
        RETURN NEXT one;
    END LOOP;
END $$;

-- Put deliveries back into the queue that are overdue and whose entry there is gone: their worker died in the middle of a
-- try, or between two. Returns how many.
CREATE FUNCTION reissue_deliveries(overdue_s float8, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    one uuid;
    count integer := 0;
BEGIN
    FOR one IN
        SELECT d.id FROM webhook_deliveries d
        WHERE d.status = 'pending' AND d.next_try_at < clock_timestamp() - make_interval(secs => overdue_s)
            AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs q WHERE q.id = d.ticket AND q.status = 'todo')
        ORDER BY d.next_try_at LIMIT most FOR NO KEY UPDATE OF d SKIP LOCKED
    LOOP
        PERFORM enqueue_delivery(one);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;

-- Claim the next try of a delivery for `hold_s` seconds, in which nobody else has it. No row: there is nothing to do now,
-- for it is not pending or not due, its endpoint or its account takes nothing any more, or the endpoint rests.
CREATE FUNCTION claim_delivery(of_id uuid, hold_s float8)
RETURNS TABLE (
    number integer, tries_before integer, endpoint_id uuid, account_id uuid, url text, secret bytea, former_secret bytea,
    message_id uuid, event text, body text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    d webhook_deliveries;
    e webhook_endpoints;
    active boolean;
BEGIN
    SELECT * INTO d FROM webhook_deliveries
    WHERE id = of_id AND status = 'pending' AND next_try_at <= clock_timestamp() FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO e FROM webhook_endpoints WHERE id = d.endpoint_id;
    active := (SELECT a.status = 'active' FROM accounts a WHERE a.id = e.account_id);
    IF NOT (e.enabled AND active) THEN
        UPDATE webhook_deliveries SET status = 'skipped', ended_at = clock_timestamp(), next_try_at = NULL, ticket = NULL
        WHERE id = of_id;
        RETURN;
    END IF;
    IF e.rests_until > clock_timestamp() THEN
        -- Spread over as long again, so that not all come at its end.
        UPDATE webhook_deliveries
        SET next_try_at = e.rests_until + random() * (e.rests_until - clock_timestamp()) WHERE id = of_id;
        PERFORM enqueue_delivery(of_id);
        RETURN;
    END IF;
    UPDATE webhook_deliveries SET tries = tries + 1, next_try_at = clock_timestamp() + make_interval(secs => hold_s),
        ticket = NULL
    WHERE id = of_id;
    -- What stands here if the worker dies before it can say more.
    INSERT INTO webhook_tries (delivery_id, number, at, duration_ms, error)
    VALUES (of_id, d.tries + 1, clock_timestamp(), 0, 'interrupted');
    RETURN QUERY SELECT d.tries + 1, d.tries_before, e.id, e.account_id, e.url, e.secret,
        CASE WHEN e.former_expires_at > clock_timestamp() THEN e.former_secret END, m.id, m.event, m.body
    FROM webhook_messages m WHERE m.id = d.message_id;
END $$;

-- Put off the next try of a delivery that is due, without counting one.
CREATE FUNCTION postpone_delivery(of_id uuid, pause_s float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_deliveries SET next_try_at = clock_timestamp() + make_interval(secs => pause_s)
    WHERE id = of_id AND status = 'pending' AND next_try_at <= clock_timestamp();
    IF FOUND THEN
        PERFORM enqueue_delivery(of_id);
    END IF;
END $$;
