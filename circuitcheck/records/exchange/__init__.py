"""Numbers on their way from one store to another: merged, exported, imported, and sent home from where they were computed."""
