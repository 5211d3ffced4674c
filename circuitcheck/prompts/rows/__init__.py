"""Pairs from tables: rows as they are, and files of them."""
