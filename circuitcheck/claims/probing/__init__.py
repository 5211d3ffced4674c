"""What is claimed of what probes read."""
