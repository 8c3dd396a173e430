"""The audit log: who did what to whom, kept apart from the access log and chained by hashes."""
