"""Whether the model that is asked is still the one that was loaded."""
