"""Concepts that are read linearly: labels, fits and the directions that they give."""
