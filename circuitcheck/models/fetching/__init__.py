"""Getting models that are no folders yet: what can be fetched, from where, and where it is kept."""
