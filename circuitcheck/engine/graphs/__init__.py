"""Runs in which a circuit's components hear only whom they are to hear."""
