"""What is known of a model before any number of it is computed, as it was when it was last loaded."""
