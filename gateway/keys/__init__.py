"""API keys: what they look like, how they are kept, and how a caller is known by one."""
