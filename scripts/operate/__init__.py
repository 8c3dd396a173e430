"""Commands for whoever operates the platform: its users and plans, its audit log, its mail."""
