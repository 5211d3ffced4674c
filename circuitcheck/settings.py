"""What a session decides for all of its claims."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The numbers that decide how evidence is gathered; reports state them.

    ``alpha``: the error rate of each effect, both sides together. ``whole``: populations up to so many pairs are
    evaluated whole. ``budget``: pairs drawn from a larger one at most (they come in
    stages that end at 32, 48, 64, 96, 128 ...). ``bound``: mean gaps that a pair of a sample counts
    for at most. ``controls``: components of the same layer beside which a neuron's or a head's effect is shown. ``floor_logits`` and ``floor_share``: the mean gap under which a
    behaviour is absent, for readouts in logits and for readouts between 0 and 1. ``memory``: bytes for runs, beside the
    model; a quarter of what is free where nothing is said.
    """

    seed: int = 0
    alpha: float = 0.05
    whole: int = 256
    budget: int = 1024
    bound: float = 2.0
    controls: int = 16
    floor_logits: float = 0.5
    floor_share: float = 0.05
    memory: int | None = None
