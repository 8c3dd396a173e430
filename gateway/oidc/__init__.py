"""Signing in at an outside provider (OpenID Connect)."""
