"""Subspaces that are found by gradient descent."""
