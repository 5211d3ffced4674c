"""What pytest makes of claims: options, models, guards, workers, mutation testing."""
