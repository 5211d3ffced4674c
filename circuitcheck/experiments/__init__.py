"""What is done to a model where, and how it is read: one file a verb. Knows nothing of claims."""
