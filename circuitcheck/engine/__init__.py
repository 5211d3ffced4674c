"""Run interventions over batches of pairs; give back one number per pair."""

from circuitcheck.engine.engine import Engine, Outcome
from circuitcheck.engine.samples import Sample

__all__ = ["Engine", "Outcome", "Sample"]
