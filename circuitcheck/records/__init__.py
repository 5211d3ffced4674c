"""What stays on disk: the store of numbers, the lock and how it is compared, kept decisions and counterexamples."""
