"""Prompts: descriptions of pairs, the populations they generate, and their tokens."""
