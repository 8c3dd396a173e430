"""Calls to addresses that callers chose: never into networks that only this platform reaches."""
