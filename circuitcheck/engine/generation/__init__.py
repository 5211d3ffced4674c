"""Text that a model writes: greedy continuations, with what an intervention writes in place at every step."""
