"""What is read from a run: one number per pair, from the logits at the last position.

Both runs of a pair are read with the clean prompt's answer and foil. "logit_diff" is log-sum-exp over the answer's
tokens minus that over the foil's (for single tokens: the logit difference). "accuracy" is 1 where the answer is right:
above the foil where there is one, otherwise the top of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from circuitcheck.alignment import AlignedPair
from circuitcheck.errors import MethodError, NumericsError

if TYPE_CHECKING:
    import torch

    from circuitcheck.types import Floats

ReadoutName = Literal["logit_diff", "accuracy"]


@dataclass(frozen=True)
class Readout:
    """A readout by name. ``unit`` is the word for its raw numbers."""

    name: ReadoutName

    @property
    def unit(self) -> str:
        return "logits" if self.name == "logit_diff" else "accuracy"

    def __str__(self) -> str:
        return (
            "answer - foil logit difference, last position" if self.name == "logit_diff" else "accuracy, last position"
        )

    def check(self, pairs: Sequence[AlignedPair]) -> None:
        if self.name == "logit_diff" and not all(pair.foil for pair in pairs):
            raise MethodError(
                "the logit difference needs a foil beside the answer: give foil=..., or read model.on(pairs, readout='accuracy')"
            )

    def read(self, logits: "torch.Tensor", pairs: Sequence[AlignedPair]) -> "Floats":
        """Numbers of shape [pair] from last-position logits of shape [pair, vocabulary]."""
        if not bool(logits.isfinite().all()):
            row = int((~logits.isfinite().all(-1)).nonzero()[0])
            raise NumericsError(
                f"the model's logits are NaN or infinite for the pair of {pairs[row].pair.clean.text!r}"
            )
        answers = _over(logits, [pair.answer for pair in pairs])
        foils = _over(logits, [pair.foil for pair in pairs])
        if self.name == "logit_diff":
            values = answers.logsumexp(1) - foils.logsumexp(1)
        else:
            no_foil = (~foils.isfinite()).all(1)
            best = answers.max(1).values
            values = ((best > foils.max(1).values) & ~no_foil) | ((best == logits.double().max(1).values) & no_foil)
        return values.double().numpy(force=True)


def _over(logits: "torch.Tensor", tokens: "Sequence[tuple[int, ...]]") -> "torch.Tensor":
    """Each row's logits of its own tokens, in double precision, filled up with minus infinity; shape [pair, most tokens]."""
    import torch

    chosen = torch.full((len(tokens), max(1, *map(len, tokens))), -torch.inf, dtype=torch.float64)
    rows = torch.tensor([row for row, ids in enumerate(tokens) for _ in ids], dtype=torch.long)
    columns = torch.tensor([column for ids in tokens for column in range(len(ids))], dtype=torch.long)
    flat = torch.tensor([token for ids in tokens for token in ids], dtype=torch.long)
    chosen[rows, columns] = logits.cpu().double()[rows, flat]
    return chosen


def readout(name: str) -> Readout:
    """The readout of that name; raises ``MethodError`` naming those there are."""
    for known in get_args(ReadoutName):
        if name == known:
            return Readout(known)
    raise MethodError(f"there is no readout {name!r}; there are {', '.join(get_args(ReadoutName))}")
