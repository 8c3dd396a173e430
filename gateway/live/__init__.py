"""What happens to jobs, told live: as server-sent events and over WebSockets."""
