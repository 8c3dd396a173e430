"""What was judged: pages, exports, changes, feedback, and the counts of it."""
