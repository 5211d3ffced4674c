"""Causal scrubbing: runs in which sites have what other prompts have there, whose own sites have it from others again."""
