from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine

from gateway.db.engine import connection_string
from gateway.db.tables import METADATA

CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
            AND table_name NOT LIKE 'procrastinate%' ORDER BY 1, 2
    """,
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            AND tablename NOT LIKE 'procrastinate%' ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
            AND conrelid::regclass::text NOT LIKE 'procrastinate%' ORDER BY 1, 2
    """,
    "storage": """
        SELECT relname, reloptions FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
            AND relname NOT LIKE 'procrastinate%' ORDER BY 1
    """,
}


@pytest.mark.integration
def test_the_tables_are_what_the_migrations_build(database_url: str, postgres_server: Any) -> None:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres_server.conninfo("bonafide"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        engine = create_engine(postgres_server.url(name), poolclass=NullPool)
        METADATA.create_all(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        engine.dispose()
        with (
            psycopg.connect(connection_string(database_url)) as migrated,
            psycopg.connect(postgres_server.conninfo(name)) as declared,
        ):
            for what, query in CATALOGUE.items():
                assert declared.execute(query).fetchall() == migrated.execute(query).fetchall(), what
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
