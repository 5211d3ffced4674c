"""On what ways of running are compared: tokens of real text, and lengths beyond which a model computes otherwise."""
