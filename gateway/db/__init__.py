"""The database: tables, migrations, the two pools of connections, paging."""
