"""Mail: posted with the transaction that calls for it, sent by the worker."""
