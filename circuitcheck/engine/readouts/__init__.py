"""What is read from a run: readouts by name, functions, and answers of several tokens."""
