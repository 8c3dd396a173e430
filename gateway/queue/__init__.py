"""The queue of jobs in Postgres: deferred in the transaction that calls for them, run by the worker."""
