"""Models that read pictures and say which class each is of."""
