"""What is read from a run: one number per pair, from the logits behind the last token that is run.

"logit_diff"       log-sum-exp over the answer's tokens minus that over the foil's: for single tokens, the logit difference
"accuracy"         1 where the answer is right: above the foil where there is one (of sets: log-sum-exp over the members of
                   each), otherwise the top of the vocabulary (of a set: one of its tokens is)
"probability"      of the answer; of a set of tokens, summed
"log_probability"  its logarithm, in nats
"rank"             minus the answer's place in the vocabulary, 1 for the top; of a set, its best token's place
"kl"               minus the Kullback-Leibler divergence from the clean run's distribution to this one's, in nats
a function         numbers [row] of logits [row, token] and the rows' pairs (see ``engine.readouts.functions``)

Both runs of a pair are read with the clean prompt's answer and foil. More is better in all of them: a rank and a
divergence are read with their sign turned, so that a gap is clean minus corrupted and a share means what it does elsewhere.
An answer of several tokens has the summed log-probability of all of them, each after those before it; its logit difference, in
nats, is that minus the foil's, which of single tokens is the difference of their logits.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from circuitcheck.errors import MethodError, NumericsError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.continuations import Members
from circuitcheck.sampling.forced import Branches
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
_SUMMED = "log-sum-exp over the members"


class Readout(Identified):
    """What is read from logits. ``name``: its name in claims; ``unit``: a key of ``units.UNITS``; ``words``: for reports.

    ``needs_answer``, ``needs_foil``: whether it means nothing without them; ``of_answer_and_foil``: whether no other tokens' logits are
    needed, where there is one; ``looks_at_clean``: whether the clean run's are needed to read any run; ``is_amount``: whether
    its numbers are amounts that there can be shares of, rather than distances from the best there is; ``has_scale``: whether
    it is known how large a behaviour is in them; ``takes_several``: whether answers may have several tokens;
    ``is_step``: whether they move in steps, so that another number's slope stands for theirs; ``is_text``: whether texts are
    read that the model writes, and no logits.
    """

    name: str
    unit: str
    words: str
    members = ""  # how a set of tokens is read
    needs_answer = True
    needs_foil, of_answer_and_foil, looks_at_clean, is_amount, has_scale = False, False, False, True, True
    takes_several, is_step, is_text = False, False, False

    @abstractmethod
    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """The numbers, of shape [row], of logits [row, token] of the pairs ``which``."""

    def needed(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """What ``value`` takes of the logits of a run: all of them, in double precision on the CPU."""
        return logits.cpu().double()

    def slope(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """What a gradient climbs, of shape [row]: the numbers, or what stands for them where these are steps."""
        return self.value(reading, logits, which)

    def of_several(self, branches: "Branches", forced: "Floats", greedy: "Floats | None") -> "Floats":
        """The numbers, of shape [pair], of pairs with answers of several tokens, from the log-probability of each of their branches;
        ``greedy``: whether each token was on top, of those that ``reads_greedily``."""
        raise AssertionError(f"{self} takes answers of one token")

    def noise_of_several(self, branches: "Branches", noise: "Floats") -> "Floats":
        """What rounding can make of these numbers, from what it can make of each branch's."""
        return branches.largest(noise, True)

    def reads_greedily(self, pairs: Sequence[AlignedPair]) -> bool:
        """Whether it must be known of answers of several tokens that each of them was on top."""
        return False

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
        words = self.words_of_several if any(pair.has_several for pair in pairs) else str(self)
        return f"{words} (of sets: {self.members})" if sets and self.members else words

    @property
    def words_of_several(self) -> str:
        """Its words, where answers or foils have several tokens."""
        return f"{self}, of all its tokens, each after those before it"

    def unit_of(self, pairs: Sequence[AlignedPair]) -> str:
        """Its unit, of certain pairs."""
        return self.unit

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
        if self.needs_answer and not all(pair.answer for pair in pairs):
            raise MethodError(f"{self} needs an answer, and these rows have none: give answer=...")
        if self.needs_foil and not all(pair.foil for pair in pairs):
            raise MethodError(
                "the logit difference needs a foil beside the answer: give foil=..., or read model.on(pairs, readout='accuracy')"
            )
        if not self.takes_several and (several := next((pair for pair in pairs if pair.has_several), None)):
            texts = " or ".join(repr(one) for one in (*several.pair.answer, *several.pair.foil))
            raise MethodError(
                f"{self.short} is read off the prediction of one token, and after {several.pair.clean.text!r} there are several in "
                f"{texts}: give answers of one token, or read {', '.join(one for one in READOUTS if READOUTS[one].takes_several)}"
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
    needs_foil = of_answer_and_foil = takes_several = True

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return reading.margin(logits, which)

    def of_several(self, branches: "Branches", forced: "Floats", greedy: "Floats | None") -> "Floats":
        found: Floats = branches.summed(forced, True) - branches.summed(forced, False)
        return found

    def noise_of_several(self, branches: "Branches", noise: "Floats") -> "Floats":
        found: Floats = branches.largest(noise, True) + branches.largest(noise, False)
        return found

    @property
    def words_of_several(self) -> str:
        return "log-probability of the answer's tokens, each after those before it, minus that of the foil's"

    def unit_of(self, pairs: Sequence[AlignedPair]) -> str:
        return "nats" if any(pair.has_several for pair in pairs) else self.unit


class Accuracy(Readout):
    """Whether the answer is right."""

    name = unit = words = "accuracy"
    members = f"{_SUMMED}; without a foil the best member"
    of_answer_and_foil = takes_several = is_step = True

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

    def of_several(self, branches: "Branches", forced: "Floats", greedy: "Floats | None") -> "Floats":
        """Without a foil: whether greedy decoding would write the answer."""
        foil = branches.summed(forced, False)
        found: Floats = (branches.summed(forced, True) > foil).astype(float)
        return found if greedy is None else np.where(np.isfinite(foil), found, branches.largest(greedy, True))

    def noise_of_several(self, branches: "Branches", noise: "Floats") -> "Floats":
        found: Floats = np.zeros(len(branches.places))
        return found

    def reads_greedily(self, pairs: Sequence[AlignedPair]) -> bool:
        return not all(pair.foil for pair in pairs)

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
    is_amount, takes_several = False, True

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return reading.answers(logits, which).logsumexp(1) - logits.logsumexp(1)

    def of_several(self, branches: "Branches", forced: "Floats", greedy: "Floats | None") -> "Floats":
        return branches.summed(forced, True)


class Probability(LogProbability):
    """The answer's probability."""

    name, unit, words = "probability", "probability", "probability of the answer"
    is_amount = True

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        return super().value(reading, logits, which).exp()

    def of_several(self, branches: "Branches", forced: "Floats", greedy: "Floats | None") -> "Floats":
        found: Floats = np.exp(super().of_several(branches, forced, greedy))
        return found


class Rank(Readout):
    """Minus the answer's place in the vocabulary."""

    name, unit, words = "rank", "places", "minus the rank of the answer"
    members = "the best member"
    is_amount, is_step = False, True

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
    needs_answer, looks_at_clean, is_amount = False, True, False

    def value(self, reading: "Reading", logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        clean, here = reading.clean(which).log_softmax(1), logits.log_softmax(1)
        return -(clean.exp() * (clean - here)).sum(1).clamp(min=0.0)  # rounding may bring it below


READOUTS: dict[str, Readout] = {
    one.name: one for one in (LogitDiff(), Accuracy(), Probability(), LogProbability(), Rank(), Divergence())
}


class Reading:
    """A readout of certain pairs. ``vocabulary`` are the tokens whose logits it needs, None for all of them; ``rounding`` is
    how far rounding moves logits, as a share of the largest."""

    def __init__(
        self, readout: Readout, pairs: "Sequence[AlignedPair]", rounding: float = 0.0, clean: "Clean | None" = None
    ):
        import torch

        self.readout, self.pairs, self.seen_alone = readout, tuple(pairs), False
        self._rounding, self._clean = rounding, clean
        of_these = readout.of_answer_and_foil and all(pair.foil for pair in pairs)
        needed = sorted({token for pair in pairs for token in (*pair.answer, *pair.foil)}) if of_these else []
        self.vocabulary = torch.tensor(needed) if of_these else None
        self._column = {token: place for place, token in enumerate(needed)}

    @cached_property
    def _answers(self) -> "torch.Tensor":
        return self._columns([pair.answer for pair in self.pairs])

    @cached_property
    def _foils(self) -> "torch.Tensor":
        return self._columns([pair.foil for pair in self.pairs])

    def _columns(self, sets: "Sequence[Members]") -> "torch.Tensor":
        """Where the logits of each pair's tokens are, filled up with -1; shape [pair, longest]."""
        import torch

        longest = max(1, *map(len, sets))
        return torch.tensor(
            [[*(self._column.get(one, one) for one in some), *[-1] * (longest - len(some))] for some in sets]
        )

    def read(self, logits: "torch.Tensor", which: "torch.Tensor") -> "Floats":
        """Numbers of shape [row] from last-position logits [row, token of the vocabulary] of the pairs ``which``; of branches
        from logits [row, position, token]."""
        logits = self.readout.needed(self, logits.detach(), which)
        self._check(logits, which, "the model's logits are")
        values = self.readout.value(self, logits, which)
        self._check(values.unsqueeze(1), which, f"what {self.readout} gave is")
        return values.detach().numpy()

    def noise(self, logits: "torch.Tensor", which: "torch.Tensor", values: "Floats") -> "Floats":
        """What rounding can make of the numbers that were read from these logits, of shape [row]."""
        largest = logits.detach().abs().flatten(1).max(1, keepdim=True).values.cpu().double()
        logits = self.readout.needed(self, logits.detach(), which)
        return self.readout.noise(self, logits, which, self._rounding * largest, values)

    def slope(self, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        """What a gradient climbs, of shape [row], from logits as ``read`` takes them."""
        return self.readout.slope(self, self.readout.needed(self, logits, which), which)

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
        finite = numbers.isfinite().flatten(1).all(1)
        if not bool(finite.all()):
            text = self.pairs[int(which[int((~finite).nonzero()[0])])].pair.clean.text
            raise NumericsError(f"{what} NaN or infinite for the pair of {text!r}")


def _over(logits: "torch.Tensor", columns: "torch.Tensor") -> "torch.Tensor":
    """Each row's logits of its own columns, minus infinity where there is none."""
    chosen = logits.gather(1, columns.clamp(min=0))
    return chosen.masked_fill(columns < 0, -float("inf"))


def _signs(logits: "torch.Tensor") -> "torch.Tensor":
    """A sign for each token: the same at every call."""
    import torch

    return torch.randint(0, 2, logits.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
