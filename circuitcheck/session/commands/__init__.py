"""What the commands of `circuitcheck` do, beside running pytest."""
