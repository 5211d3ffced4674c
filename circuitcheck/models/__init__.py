"""Loading a model, what it is made of, and the check that it says what the untouched model says."""
