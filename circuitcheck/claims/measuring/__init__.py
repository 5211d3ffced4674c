"""A number with all that makes it mean something, and how reports tell of it."""
