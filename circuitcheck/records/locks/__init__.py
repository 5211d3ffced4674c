"""The lock: its two files, what has changed since they were written, and how an update takes that in."""
