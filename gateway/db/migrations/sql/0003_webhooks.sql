-- Webhooks: what is told is written in the transaction of what it is about, with the queue entries that deliver it.

-- Put a pending delivery into the queue, for when its next try is due.
CREATE FUNCTION enqueue_delivery(of_id uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE webhook_deliveries d SET ticket = (procrastinate_defer_jobs_v1(ARRAY[
        ROW('webhooks', 'deliver_webhook', 0, NULL, NULL, jsonb_build_object('delivery_id', d.id), d.next_try_at)
            ::procrastinate_job_to_defer_v1
    ]))[1] WHERE d.id = of_id
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
