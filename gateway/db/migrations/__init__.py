"""Alembic migrations; `env.py` is run by Alembic itself."""
