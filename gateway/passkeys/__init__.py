"""Passkeys: signing in with an authenticator (WebAuthn)."""
