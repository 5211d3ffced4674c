"""What is read from a run: one number per pair, from the logits behind the last token that is run.

"logit_diff"       log-sum-exp over the answer's tokens minus that over the foil's: for single tokens, the logit difference
"accuracy"         1 where the answer is right: above the foil where there is one (of sets: log-sum-exp over the members of
                   each), otherwise the top of the vocabulary (of a set: one of its tokens is)
"probability"      of the answer; of a set of tokens, summed
"log_probability"  its logarithm, in nats
"rank"             minus the answer's place in the vocabulary, 1 for the top; of a set, its best token's place
"kl"               minus the Kullback-Leibler divergence from the clean run's distribution to this one's, in nats
a function         numbers [row] of logits [row, token] and the rows' pairs

Both runs of a pair are read with the clean prompt's answer and foil. More is better in all of them: a rank and a
divergence are read with their sign turned, so that a gap is clean minus corrupted and a share means what it does elsewhere.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from circuitcheck.errors import MethodError, NumericsError
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.records.code_identity import identity_of
from circuitcheck.sampling.remembered import Identified
from circuitcheck.units import UNITS

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
_SUMMED = "log-sum-exp over the members"
NO_GRADIENT = "lets no gradient through: write it in torch, or search against('coordinate')"


class Readout(Identified):
    """A readout: what is read from logits. ``name`` is its name in claims, ``unit`` a key of ``units.UNITS``; ``words`` are
    for reports.

    ``needs_foil``: whether it means nothing without a foil; ``of_answer_and_foil``: whether no other tokens' logits are
    needed, where there is one; ``looks_at_clean``: whether the clean run's are needed to read any run; ``is_amount``: whether
    its numbers are amounts that there can be shares of, rather than distances from the best there is; ``has_scale``: whether
    it is known how large a behaviour is in them.
    """

    name: str
    unit: str
    words: str
    members = ""  # how a set of tokens is read
    needs_foil, of_answer_and_foil, looks_at_clean, is_amount, has_scale = False, False, False, True, True

    @abstractmethod
    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """The numbers, of shape [row], of logits [row, token] of the pairs ``which``."""

    def slope(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """What a gradient climbs, of shape [row]: the numbers, or what stands for them where these are steps."""
        return self.value(reading, logits, which)

    def noise(
        self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor", reach: "torch.Tensor", values: "Floats"
    ) -> "Floats":
        """What rounding, which moves logits by ``reach`` [row, 1], can make of these ``values`` [row]."""
        signs = _signs(logits)
        moved = [self.value(reading, logits + way * reach * signs, which).detach().numpy() for way in (1, -1)]
        return np.maximum(*(np.abs(other - values) for other in moved))

    def __str__(self) -> str:
        return self.words

    @property
    def short(self) -> str:
        """Its name in a claim."""
        return self.name.replace("_", " ")

    def short_of(self, pairs: Sequence[AlignedPair]) -> str:
        """The same of certain pairs."""
        return self.short

    def words_of(self, pairs: Sequence[AlignedPair]) -> str:
        """Its words, with how sets of tokens are read where these pairs have any."""
        sets = any(len(tokens) > 1 for pair in pairs for tokens in (pair.answer, pair.foil))
        return f"{self} (of sets: {self.members})" if sets and self.members else str(self)

    @property
    def given(self) -> "str | Function":
        """What it is asked by."""
        return self.name

    @property
    def identity(self) -> str | None:
        """What tells it from all others."""
        return self.name

    @property
    def limits(self) -> tuple[float, float] | None:
        """What differences of its numbers lie between by their nature."""
        return (-1.0, 1.0) if UNITS[self.unit].is_bounded else None

    def check(self, pairs: Sequence[AlignedPair]) -> None:
        """Raise ``MethodError`` for pairs of which it means nothing."""
        if self.needs_foil and not all(pair.foil for pair in pairs):
            raise MethodError(
                "the logit difference needs a foil beside the answer: give foil=..., or read model.on(pairs, readout='accuracy')"
            )


class _Smooth(Readout):
    """One that moves no further than logits do."""

    def noise(
        self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor", reach: "torch.Tensor", values: "Floats"
    ) -> "Floats":
        return reach[:, 0].numpy()


class LogitDiff(_Smooth):
    """Answer minus foil."""

    name, unit, words = "logit_diff", "logits", "answer - foil logit difference"
    members = _SUMMED
    needs_foil = of_answer_and_foil = True

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return reading.margin(logits, which)


class Accuracy(Readout):
    """Whether the answer is right."""

    name = unit = words = "accuracy"
    members = f"{_SUMMED}; without a foil the best member"
    of_answer_and_foil = True

    @property
    def identity(self) -> str:
        """Not its name alone: under that, sets were once read by their best members."""
        return "accuracy, sets by log-sum-exp"

    def short_of(self, pairs: Sequence[AlignedPair]) -> str:
        """Whether an answer is right where it is above its foil, or above all tokens."""
        if not pairs:
            return self.short
        foils = {bool(pair.foil) for pair in pairs}
        if len(foils) > 1:
            return "accuracy, above the foil or top-1"
        return "accuracy above the foil" if True in foils else "top-1 accuracy"

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        answers, foils = reading.answers(logits, which), reading.foils(logits, which)
        no_foil = (~foils.isfinite()).all(1)
        best = answers.max(1).values
        above = answers.logsumexp(1) > foils.logsumexp(1)
        right = (above & ~no_foil) | ((best == logits.max(1).values) & no_foil)
        return right.double()

    def slope(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return reading.margin(logits, which)

    def noise(
        self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor", reach: "torch.Tensor", values: "Floats"
    ) -> "Floats":
        return np.zeros(len(logits))


class LogProbability(_Smooth):
    """The logarithm of the answer's probability."""

    name, unit, words = "log_probability", "nats", "log-probability of the answer"
    members = _SUMMED
    is_amount = False

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return reading.answers(logits, which).logsumexp(1) - logits.logsumexp(1)


class Probability(LogProbability):
    """The answer's probability."""

    name, unit, words = "probability", "probability", "probability of the answer"
    is_amount = True

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return super().value(reading, logits, which).exp()


class Rank(Readout):
    """Minus the answer's place in the vocabulary."""

    name, unit, words = "rank", "places", "minus the rank of the answer"
    members = "the best member"
    is_amount = False

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        best = reading.answers(logits, which).max(1, keepdim=True).values
        return -1.0 - (logits > best).sum(1).double()

    def slope(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return reading.margin(logits, which)

    def noise(
        self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor", reach: "torch.Tensor", values: "Floats"
    ) -> "Floats":
        """Tokens that stand as high as the answer to within rounding."""
        answers = reading.answers(logits, which)
        best = answers.max(1, keepdim=True).values
        near = [((some - best).abs() <= 2 * reach).sum(1) for some in (logits, answers)]
        return (near[0] - near[1]).double().numpy()


class Divergence(_Smooth):
    """Minus the divergence from the clean run, whose distribution is held where a gradient is climbed."""

    name, unit, words = "kl", "nats", "minus the KL divergence from the clean run"
    looks_at_clean, is_amount = True, False

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        clean, here = reading.clean(which).log_softmax(1), logits.log_softmax(1)
        return -(clean.exp() * (clean - here)).sum(1).clamp(min=0.0)  # rounding may bring it below


READOUTS: dict[str, Readout] = {
    one.name: one for one in (LogitDiff(), Accuracy(), Probability(), LogProbability(), Rank(), Divergence())
}


@dataclass(frozen=True)
class OfFunction(Readout):
    """What a function makes of logits and pairs."""

    function: "Function"
    words: str

    name = unit = "function"
    has_scale = False

    @staticmethod
    def called(function: "Function") -> "OfFunction":
        """By its module and name."""
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return OfFunction(function, f"{function.__module__}.{name}")

    @property
    def short(self) -> str:
        return self.words.rpartition(".")[2]

    @property
    def given(self) -> "str | Function":
        return self.function

    @cached_property
    def identity(self) -> str | None:
        """None for a function whose code does not say what it computes."""
        return identity_of(self.function)

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        pairs = [reading.pairs[row] for row in which.tolist()]
        values = self._called(logits, pairs)
        if len(pairs) > 1 and not reading.seen_alone:
            alone, beside = float(self._called(logits[-1:], pairs[-1:])[0]), float(values[-1])
            if abs(alone - beside) > _ALIKE * max(1.0, abs(beside)):
                raise MethodError(
                    f"{self} gives a pair {beside:.6g} beside others and {alone:.6g} by itself: a row's number must be "
                    "of that row alone, or a pair's effect would depend on its batch"
                )
            reading.seen_alone = True
        return values

    def _called(self, logits: "torch.Tensor", pairs: "list[AlignedPair]") -> "torch.Tensor":
        import torch

        try:
            given = self.function(logits, pairs)
        except RuntimeError as error:
            if not logits.requires_grad:
                raise
            raise MethodError(f"{self} {NO_GRADIENT} ({error})") from error
        takes = f"it takes logits {tuple(logits.shape)} of [row, token] and the {len(pairs)} rows' pairs, and gives a number a row"
        try:
            values = torch.as_tensor(given).double()
        except (TypeError, ValueError, RuntimeError):
            raise MethodError(f"{self} gave a {type(given).__name__} that is no array of numbers: {takes}") from None
        if values.shape != (len(pairs),):
            raise MethodError(f"{self} gave numbers of shape {tuple(values.shape)}: {takes}")
        return values


class Reading:
    """A readout of certain pairs. ``vocabulary`` are the tokens whose logits it needs, None for all of them; ``rounding`` is
    how far rounding moves logits, as a share of the largest."""

    def __init__(
        self, readout: Readout, pairs: "Sequence[AlignedPair]", rounding: float = 0.0, clean: "Clean | None" = None
    ):
        import torch

        self.readout, self.pairs, self.seen_alone = readout, tuple(pairs), False
        self._rounding, self._clean = rounding, clean
        needed = sorted({token for pair in pairs for token in (*pair.answer, *pair.foil)})
        of_these = readout.of_answer_and_foil and all(pair.foil for pair in pairs)
        self.vocabulary = torch.tensor(needed) if of_these else None
        column = {token: token if self.vocabulary is None else place for place, token in enumerate(needed)}
        self._answers = _columns([[column[token] for token in pair.answer] for pair in pairs])
        self._foils = _columns([[column[token] for token in pair.foil] for pair in pairs])

    def read(self, logits: "torch.Tensor", which: "torch.Tensor") -> "Floats":
        """Numbers of shape [row] from last-position logits [row, token of the vocabulary] of the pairs ``which``."""
        logits = logits.detach().cpu().double()
        self._check(logits, which, "the model's logits are")
        values = self.readout.value(self, logits, which)
        self._check(values.unsqueeze(1), which, f"what {self.readout} gave is")
        return values.detach().numpy()

    def noise(self, logits: "torch.Tensor", which: "torch.Tensor", values: "Floats") -> "Floats":
        """What rounding can make of the numbers that were read from these logits, of shape [row]."""
        logits = logits.detach().cpu().double()
        reach = self._rounding * logits.abs().max(1, keepdim=True).values
        return self.readout.noise(self, logits, which, reach, values)

    def slope(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """What a gradient climbs, of shape [row]."""
        return self.readout.slope(self, logits, which)

    def answers(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """Each row's logits of its answers, minus infinity where it has fewer."""
        return _over(logits, self._answers[which])

    def foils(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """The same of its foils."""
        return _over(logits, self._foils[which])

    def margin(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """By how much the answer stands above the foil (above all there is, without one), of shape [row]."""
        foils = self.foils(logits, which)
        against = logits if not bool(foils.isfinite().any()) else foils
        return self.answers(logits, which).logsumexp(1) - against.logsumexp(1)

    def clean(self, which: "torch.Tensor") -> "torch.Tensor":
        """The clean run's logits of the pairs ``which``, of shape [row, token]."""
        if self._clean is None:
            raise AssertionError("a divergence is from the clean run's logits")
        return self._clean(which).cpu().double()

    def _check(self, numbers: "torch.Tensor", which: "torch.Tensor", what: str) -> None:
        """Raises ``NumericsError`` where numbers [row, ...] are not finite."""
        finite = numbers.isfinite().all(-1)
        if not bool(finite.all()):
            text = self.pairs[int(which[int((~finite).nonzero()[0])])].pair.clean.text
            raise NumericsError(f"{what} NaN or infinite for the pair of {text!r}")


def readout(given: "str | Function") -> Readout:
    """The readout of that name, or a function as one; raises ``MethodError`` naming those there are."""
    if isinstance(given, str) and given in READOUTS:
        return READOUTS[given]
    if callable(given):
        return OfFunction.called(given)
    raise MethodError(
        f"there is no readout {given!r}; there are {', '.join(READOUTS)}, and functions of logits and pairs"
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


def _signs(logits: "torch.Tensor") -> "torch.Tensor":
    """A sign for each token: the same at every call."""
    import torch

    return torch.randint(0, 2, logits.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
