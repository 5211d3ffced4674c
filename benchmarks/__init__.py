"""circuitcheck side by side with the libraries that a user would otherwise pick: `make bench`."""
