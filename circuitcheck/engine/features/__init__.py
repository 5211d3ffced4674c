"""Dictionaries: what their features are, and what they write."""
