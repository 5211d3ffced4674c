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

    def reading(self, pairs: "Sequence[AlignedPair]") -> "Reading":
        """What is to be read for these pairs."""
        return Reading(self, tuple(pairs))


class Reading:
    """A readout of certain pairs. ``vocabulary`` are the tokens whose logits it needs, None for all of them; ``scale``
    is the largest logit read so far, without its sign."""

    def __init__(self, readout: Readout, pairs: "tuple[AlignedPair, ...]"):
        import torch

        self.readout, self.pairs, self.scale = readout, pairs, 0.0
        needed = sorted({token for pair in pairs for token in (*pair.answer, *pair.foil)})
        self.vocabulary = torch.tensor(needed) if all(pair.foil for pair in pairs) else None
        column = {token: token if self.vocabulary is None else place for place, token in enumerate(needed)}
        self._answers = _columns([[column[token] for token in pair.answer] for pair in pairs])
        self._foils = _columns([[column[token] for token in pair.foil] for pair in pairs])

    def read(self, logits: "torch.Tensor", which: "torch.Tensor") -> "Floats":
        """Numbers of shape [row] from last-position logits [row, token of the vocabulary] of the pairs ``which``."""
        logits = logits.detach().cpu().double()
        if not bool(logits.isfinite().all()):
            row = int((~logits.isfinite().all(-1)).nonzero()[0])
            text = self.pairs[int(which[row])].pair.clean.text
            raise NumericsError(f"the model's logits are NaN or infinite for the pair of {text!r}")
        self.scale = max(self.scale, float(logits.abs().max()))
        if self.readout.name == "logit_diff":
            return self.margin(logits, which).numpy()
        answers, foils = _over(logits, self._answers[which]), _over(logits, self._foils[which])
        no_foil = (~foils.isfinite()).all(1)
        best = answers.max(1).values
        right = ((best > foils.max(1).values) & ~no_foil) | ((best == logits.max(1).values) & no_foil)
        return right.double().numpy()

    def margin(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """By how much the answer stands above the foil (above all there is, without one), of shape [row]."""
        answers, foils = _over(logits, self._answers[which]), _over(logits, self._foils[which])
        against = logits if not bool(foils.isfinite().any()) else foils
        return answers.logsumexp(1) - against.logsumexp(1)


def _columns(lists: "list[list[int]]") -> "torch.Tensor":
    """Lists of columns, filled up with -1; shape [pair, longest]."""
    import torch

    longest = max(1, *map(len, lists))
    return torch.tensor([found + [-1] * (longest - len(found)) for found in lists])


def _over(logits: "torch.Tensor", columns: "torch.Tensor") -> "torch.Tensor":
    """Each row's logits of its own columns, minus infinity where there is none."""
    chosen = logits.gather(1, columns.clamp(min=0))
    return chosen.masked_fill(columns < 0, -float("inf"))


def readout(name: str) -> Readout:
    """The readout of that name; raises ``MethodError`` naming those there are."""
    for known in get_args(ReadoutName):
        if name == known:
            return Readout(known)
    raise MethodError(f"there is no readout {name!r}; there are {', '.join(get_args(ReadoutName))}")
