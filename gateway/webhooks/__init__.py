"""Tells accounts of what has ended, at addresses of their own: signed, tried again for a day, and logged."""
