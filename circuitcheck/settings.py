"""What a session decides for all of its claims."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The numbers that decide how evidence is gathered; reports state them.

    ``alpha``: the error rate, both sides together. ``whole``: populations up to so many pairs are evaluated whole.
    ``sample``: pairs drawn from a larger one. ``floor_logits`` and ``floor_share``: the mean gap under which a
    behaviour is absent, for readouts in logits and for readouts between 0 and 1. ``memory``: bytes for runs, beside the
    model; a quarter of what is free where nothing is said.
    """

    seed: int = 0
    alpha: float = 0.05
    whole: int = 256
    sample: int = 512
    floor_logits: float = 0.5
    floor_share: float = 0.05
    memory: int | None = None
