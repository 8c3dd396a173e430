"""Runs that kill, stop and cut off parts of the platform under load, and count what was lost, doubled or late."""
