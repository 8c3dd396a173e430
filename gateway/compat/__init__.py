"""Contracts of other services that are served as written, as thin adapters over the same services as /v1."""
