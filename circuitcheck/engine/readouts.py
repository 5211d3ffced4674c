"""What is read from a run: one number per pair, from the logits behind the last token that is run.

"logit_diff"       log-sum-exp over the answer's tokens minus that over the foil's: for single tokens, the logit difference
"accuracy"         1 where the answer is right: above the foil where there is one, otherwise the top of the vocabulary
"probability"      of the answer; of a set of tokens, summed
"log_probability"  its logarithm, in nats
"rank"             minus the answer's place in the vocabulary, 1 for the top; of a set, its best token's place
"kl"               minus the Kullback-Leibler divergence from the clean run's distribution to this one's, in nats
a function         numbers [row] of logits [row, token] and the rows' pairs

Both runs of a pair are read with the clean prompt's answer and foil. More is better in all of them: a rank and a
divergence are read with their sign turned, so that a gap is clean minus corrupted and a share means what it does elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from circuitcheck.errors import MethodError, NumericsError
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.records.code_identity import identity_of
from circuitcheck.sampling.remembered import Identified
from circuitcheck.units import BOUNDED

if TYPE_CHECKING:
    import torch

    from circuitcheck.types import Floats

    # Of rows' logits and pairs, a number for each row.
    Function = Callable[["torch.Tensor", Sequence[AlignedPair]], Any]
    # The clean run's logits of rows that are certain pairs.
    Clean = Callable[["torch.Tensor"], "torch.Tensor"]

ReadoutName = Literal["logit_diff", "accuracy", "probability", "log_probability", "rank", "kl"]
# By how much a function's number may change with the rows beside it: what sums in another order make of it.
_ALIKE = 1e-6
NO_GRADIENT = "lets no gradient through: write it in torch, or search against('coordinate')"


@dataclass(frozen=True)
class Readout(Identified):
    """A readout by its name and the key of its unit in ``units.PHRASES``; ``words`` are for reports."""

    name: str
    unit: str
    words: str
    function: "Function | None" = None

    def __str__(self) -> str:
        return self.words

    @property
    def short(self) -> str:
        """Its name in a claim."""
        return self.words.rpartition(".")[2] if self.function is not None else self.name.replace("_", " ")

    @cached_property
    def identity(self) -> str | None:
        """What tells it from all others; None for a function whose code does not say what it computes."""
        return self.name if self.function is None else identity_of(self.function)

    @property
    def limits(self) -> tuple[float, float] | None:
        """What differences of its numbers lie between by their nature."""
        return (-1.0, 1.0) if self.unit in BOUNDED else None

    @property
    def is_amount(self) -> bool:
        """Whether its numbers are amounts that there can be shares of, rather than distances from the best there is."""
        return self.name not in ("log_probability", "rank", "kl")

    @property
    def looks_at_clean(self) -> bool:
        """Whether the clean run's logits are needed to read any run."""
        return self.name == "kl"

    def check(self, pairs: Sequence[AlignedPair]) -> None:
        if self.name == "logit_diff" and not all(pair.foil for pair in pairs):
            raise MethodError(
                "the logit difference needs a foil beside the answer: give foil=..., or read model.on(pairs, readout='accuracy')"
            )

    def reading(self, pairs: "Sequence[AlignedPair]", rounding: float = 0.0, clean: "Clean | None" = None) -> "Reading":
        """What is to be read for these pairs; see ``Reading``."""
        return Reading(self, tuple(pairs), rounding, clean)


class Reading:
    """A readout of certain pairs. ``vocabulary`` are the tokens whose logits it needs, None for all of them; ``rounding`` is
    how far rounding moves logits, as a share of the largest."""

    def __init__(
        self, readout: Readout, pairs: "tuple[AlignedPair, ...]", rounding: float = 0.0, clean: "Clean | None" = None
    ):
        import torch

        self.readout, self.pairs = readout, pairs
        self._rounding, self._clean, self._seen_alone = rounding, clean, False
        needed = sorted({token for pair in pairs for token in (*pair.answer, *pair.foil)})
        of_foils = readout.name in ("logit_diff", "accuracy") and all(pair.foil for pair in pairs)
        self.vocabulary = torch.tensor(needed) if of_foils else None
        column = {token: token if self.vocabulary is None else place for place, token in enumerate(needed)}
        self._answers = _columns([[column[token] for token in pair.answer] for pair in pairs])
        self._foils = _columns([[column[token] for token in pair.foil] for pair in pairs])

    def read(self, logits: "torch.Tensor", which: "torch.Tensor") -> "Floats":
        """Numbers of shape [row] from last-position logits [row, token of the vocabulary] of the pairs ``which``."""
        logits = logits.detach().cpu().double()
        self._check(logits, which, "the model's logits are")
        values = self.value(logits, which)
        self._check(values.unsqueeze(1), which, f"what {self.readout} gave is")
        return values.detach().numpy()

    def noise(self, logits: "torch.Tensor", which: "torch.Tensor", values: "Floats") -> "Floats":
        """What rounding can make of the numbers that were read from these logits, of shape [row]."""
        return self._noise_of(logits.detach().cpu().double(), which, values)

    def value(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """The numbers, of shape [row]; a backward pass goes through them but for ranks and accuracies."""
        match self.readout.name:
            case "logit_diff":
                return self.margin(logits, which)
            case "accuracy":
                return self._right(logits, which)
            case "probability":
                return self._log_probability(logits, which).exp()
            case "log_probability":
                return self._log_probability(logits, which)
            case "rank":
                best = _over(logits, self._answers[which]).max(1, keepdim=True).values
                return -1.0 - (logits > best).sum(1).double()
            case "kl":
                return -self._divergence(logits, which)
        return self._of_function(logits, which)

    def slope(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """What a gradient climbs, of shape [row]: the numbers, or for ranks and accuracies the answer's margin. Of a
        divergence the clean run's distribution is held."""
        return self.margin(logits, which) if self.readout.name in ("accuracy", "rank") else self.value(logits, which)

    def margin(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """By how much the answer stands above the foil (above all there is, without one), of shape [row]."""
        answers, foils = _over(logits, self._answers[which]), _over(logits, self._foils[which])
        against = logits if not bool(foils.isfinite().any()) else foils
        return answers.logsumexp(1) - against.logsumexp(1)

    def _right(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        answers, foils = _over(logits, self._answers[which]), _over(logits, self._foils[which])
        no_foil = (~foils.isfinite()).all(1)
        best = answers.max(1).values
        right = ((best > foils.max(1).values) & ~no_foil) | ((best == logits.max(1).values) & no_foil)
        return right.double()

    def _log_probability(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return _over(logits, self._answers[which]).logsumexp(1) - logits.logsumexp(1)

    def _divergence(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        if self._clean is None:
            raise AssertionError("a divergence is from the clean run's logits")
        clean, here = self._clean(which).cpu().double().log_softmax(1), logits.log_softmax(1)
        return (clean.exp() * (clean - here)).sum(1).clamp(min=0.0)  # rounding may bring it below

    def _of_function(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        pairs = [self.pairs[row] for row in which.tolist()]
        values = self._called(logits, pairs)
        if len(pairs) > 1 and not self._seen_alone:
            alone, beside = float(self._called(logits[-1:], pairs[-1:])[0]), float(values[-1])
            if abs(alone - beside) > _ALIKE * max(1.0, abs(beside)):
                raise MethodError(
                    f"{self.readout} gives a pair {beside:.6g} beside others and {alone:.6g} by itself: a row's number must be "
                    "of that row alone, or a pair's effect would depend on its batch"
                )
            self._seen_alone = True
        return values

    def _called(self, logits: "torch.Tensor", pairs: "list[AlignedPair]") -> "torch.Tensor":
        import torch

        if self.readout.function is None:
            raise AssertionError(f"{self.readout.name} is not known")
        try:
            given = self.readout.function(logits, pairs)
        except RuntimeError as error:
            if not logits.requires_grad:
                raise
            raise MethodError(f"{self.readout} {NO_GRADIENT} ({error})") from error
        takes = f"it takes logits {tuple(logits.shape)} of [row, token] and the {len(pairs)} rows' pairs, and gives a number a row"
        try:
            values = torch.as_tensor(given).double()
        except (TypeError, ValueError, RuntimeError):
            raise MethodError(
                f"{self.readout} gave a {type(given).__name__} that is no array of numbers: {takes}"
            ) from None
        if values.shape != (len(pairs),):
            raise MethodError(f"{self.readout} gave numbers of shape {tuple(values.shape)}: {takes}")
        return values

    def _check(self, numbers: "torch.Tensor", which: "torch.Tensor", what: str) -> None:
        """Raises ``NumericsError`` where numbers [row, ...] are not finite."""
        finite = numbers.isfinite().all(-1)
        if not bool(finite.all()):
            text = self.pairs[int(which[int((~finite).nonzero()[0])])].pair.clean.text
            raise NumericsError(f"{what} NaN or infinite for the pair of {text!r}")

    def _noise_of(self, logits: "torch.Tensor", which: "torch.Tensor", values: "Floats") -> "Floats":
        """What rounding can make of these numbers: of accuracies nothing; of ranks the tokens that stand as high as the
        answer to within rounding; of a function what it makes of logits that are moved by so much."""
        import torch

        reach = self._rounding * logits.abs().max(1, keepdim=True).values
        if self.readout.name == "accuracy":
            return np.zeros(len(logits))
        if self.readout.name == "rank":
            answers = _over(logits, self._answers[which])
            best = answers.max(1, keepdim=True).values
            near = [((some - best).abs() <= 2 * reach).sum(1) for some in (logits, answers)]
            return (near[0] - near[1]).double().numpy()
        if self.readout.function is None:
            return reach[:, 0].numpy()
        signs = torch.randint(0, 2, logits.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
        moved = [self.value(logits + way * reach * signs, which).detach().numpy() for way in (1, -1)]
        return np.maximum(*(np.abs(other - values) for other in moved))


def readout(given: "str | Function") -> Readout:
    """The readout of that name, or a function as one; raises ``MethodError`` naming those there are."""
    for known in _READOUTS:
        if given == known.name:
            return known
    if callable(given):
        name = getattr(given, "__qualname__", type(given).__qualname__)
        return Readout("function", "function", f"{given.__module__}.{name}", given)
    raise MethodError(
        f"there is no readout {given!r}; there are {', '.join(get_args(ReadoutName))}, and functions of logits and pairs"
    )


_READOUTS = (
    Readout("logit_diff", "logits", "answer - foil logit difference"),
    Readout("accuracy", "accuracy", "accuracy"),
    Readout("probability", "probability", "probability of the answer"),
    Readout("log_probability", "nats", "log-probability of the answer"),
    Readout("rank", "places", "minus the rank of the answer"),
    Readout("kl", "nats", "minus the KL divergence from the clean run"),
)


def _columns(lists: "list[list[int]]") -> "torch.Tensor":
    """Lists of columns, filled up with -1; shape [pair, longest]."""
    import torch

    longest = max(1, *map(len, lists))
    return torch.tensor([found + [-1] * (longest - len(found)) for found in lists])


def _over(logits: "torch.Tensor", columns: "torch.Tensor") -> "torch.Tensor":
    """Each row's logits of its own columns, minus infinity where there is none."""
    chosen = logits.gather(1, columns.clamp(min=0))
    return chosen.masked_fill(columns < 0, -float("inf"))
