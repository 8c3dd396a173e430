"""Batches: many media handed over at once, judged one by one, told of as one."""
