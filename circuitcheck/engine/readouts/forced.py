"""What is read of a branch: its members' log-probabilities, or whether greedy decoding would write one of them.

The logits are those of the last tokens of the branch, from the prompt's last on: of shape [row, position, token].
"""

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.engine.readouts.named import Reading, Readout
from circuitcheck.sampling.forced import tokens_of

if TYPE_CHECKING:
    import torch

    from circuitcheck.types import Floats


class _OfBranches(Readout):
    """What is read of members' tokens, each beside all others at its place."""

    takes_several = True

    @abstractmethod
    def against(self, logits: "torch.Tensor") -> "torch.Tensor":
        """What each of the logits [row, position, token] at a place is compared with, of shape [row, position]."""

    def needed(self, reading: Reading, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """The logits of members' tokens with what they are compared with, of shape [row, member, place, 2]; the rest of the
        vocabulary is left where it is."""
        import torch

        tokens, _ = _members(reading, which)
        single = logits.to(torch.promote_types(logits.dtype, torch.float32))
        places = single[:, None, : tokens.shape[2]].expand(-1, tokens.shape[1], -1, -1)
        chosen = places.gather(3, tokens.unsqueeze(3).to(single.device)).squeeze(3)
        others = self.against(single)[:, None, : tokens.shape[2]].expand_as(chosen)
        return torch.stack([chosen, others], 3).cpu().double()


class Forced(_OfBranches):
    """The log-probability of the members of a branch: of each, the sum over its tokens, each after those before it."""

    name, unit, words = "forced", "nats", "log-probability of the answers of a branch"

    def against(self, logits: "torch.Tensor") -> "torch.Tensor":
        return logits.logsumexp(-1)

    def value(self, reading: Reading, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        _, there = _members(reading, which)
        summed = (logits[..., 0] - logits[..., 1]).masked_fill(~there, 0.0).sum(2)
        return summed.masked_fill(~there.any(2), -float("inf")).logsumexp(1)

    def noise(
        self, reading: Reading, logits: "torch.Tensor", which: "torch.Tensor", reach: "torch.Tensor", values: "Floats"
    ) -> "Floats":
        """Of each token what rounding moves a logit by."""
        return (reach[:, 0] * _members(reading, which)[1].sum(2).max(1).values).numpy()


class Greedy(_OfBranches):
    """1 where each token of a member is on top of all, after those before it."""

    name, unit, words = "greedy", "accuracy", "whether greedy decoding writes an answer of a branch"

    def against(self, logits: "torch.Tensor") -> "torch.Tensor":
        return logits.max(-1).values

    def value(self, reading: Reading, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        _, there = _members(reading, which)
        return (((logits[..., 0] == logits[..., 1]) | ~there).all(2) & there.any(2)).any(1).double()

    def noise(
        self, reading: Reading, logits: "torch.Tensor", which: "torch.Tensor", reach: "torch.Tensor", values: "Floats"
    ) -> "Floats":
        return np.zeros(len(logits))


FORCED, GREEDY = Forced(), Greedy()


def _members(reading: Reading, which: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """The tokens of each row's members, and where there are any; of shape [row, member, place]."""
    import torch

    rows = [tokens_of(reading.pairs[row].answer) for row in which.tolist()]
    most, longest = max(map(len, rows)), max(len(tokens) for some in rows for tokens in some)
    found = torch.full((len(rows), most, longest), -1)
    for row, some in enumerate(rows):
        for member, tokens in enumerate(some):
            found[row, member, : len(tokens)] = torch.tensor(tokens)
    return found.clamp(min=0), found >= 0
