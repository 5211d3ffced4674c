"""Interventions over batches of pairs, which give back one number per pair."""
