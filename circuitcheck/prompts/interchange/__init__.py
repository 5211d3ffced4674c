"""Base and source prompts, and what the algorithm of a description answers where variables take the source's values."""
