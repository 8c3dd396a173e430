"""Accounts: who may use the platform."""
