"""Numbers that are known without sampling: of weights, and of given texts."""
