"""circuitcheck compared with plain transformers, architecture by architecture."""
