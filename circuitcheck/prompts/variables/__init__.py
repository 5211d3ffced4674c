"""Functions of a prompt's fillers, the variables that they make, and prompts in which some take another prompt's value."""
