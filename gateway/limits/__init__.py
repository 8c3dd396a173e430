"""Limits: what an account may use, and how answers say so."""
