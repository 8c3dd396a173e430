"""The admin API: users, plans, keys and jobs of the whole platform, for super_admins."""
