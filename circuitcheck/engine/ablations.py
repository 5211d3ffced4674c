"""What is put where: the method of a number, as frozen records.

    >>> ablation("mean")
    Mean(of='both')

A number without its method means little: the published faithfulness of one and the same circuit swings from 87 % to
far over 100 % with granularity, value, positions and direction (Miller, Chughtai & Saunders 2024).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, ClassVar, Protocol

from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Sides
from circuitcheck.prompts.prompt_pairs import PromptPairs

if TYPE_CHECKING:
    import torch

    # For rows that are certain pairs, and the activation that is there: what is put in its place, of the same shape.
    Supply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Source(Protocol):
    """Where an ablation takes its values from: what is at one target of a chunk's pairs, from a position on."""

    def other_run(self) -> "Supply":
        """What is there in the other run of each pair."""

    def means(self, of: Sides) -> "Supply":
        """The mean over the reference prompts of the same template, at the same token role."""

    def drawn(self, of: Sides) -> "Supply":
        """What is there in one other reference prompt, drawn once per pair."""


@dataclass(frozen=True)
class Ablation(ABC):
    """What an ablation puts in place of the activation; each is a class, and ``WORDS`` has those that go by a word.

    ``needs_reference``: its values are those of reference prompts; ``spares_bos``: it leaves the BOS token alone, as what
    comes from a run does not; ``is_drawn``: its values are a draw; ``of_other_run``: where both runs are one, so is what it
    puts in; ``removes`` what is there.
    """

    needs_reference: ClassVar[bool] = False
    spares_bos: ClassVar[bool] = False
    is_drawn: ClassVar[bool] = False
    of_other_run: ClassVar[bool] = False
    removes: ClassVar[bool] = True

    @abstractmethod
    def supply(self, source: Source) -> "Supply":
        """What is put in."""

    @property
    def sides(self) -> Sides:
        """Which prompts its reference set is made of."""
        return "both"

    @property
    def population(self) -> PromptPairs | None:
        """Whose prompts these are, where not those of the pairs themselves."""
        return None

    def __str__(self) -> str:
        return type(self).__name__.lower()


@dataclass(frozen=True)
class _OfReference(Ablation):
    of: Sides = "both"
    over: PromptPairs | None = field(default=None, repr=False)

    needs_reference = True

    @property
    def sides(self) -> Sides:
        return self.of

    @property
    def population(self) -> PromptPairs | None:
        return self.over

    def __str__(self) -> str:
        word = type(self).__name__.lower()
        said = [] if self.of == "both" else [f"of={self.of!r}"]
        said += [] if self.over is None else [f"over={self.over!r}"]
        return f"{word}({', '.join(said)})" if said else word


class Mean(_OfReference):
    """The mean over reference prompts."""

    def supply(self, source: Source) -> "Supply":
        return source.means(self.of)


class Resample(_OfReference):
    """What is there in another reference prompt."""

    is_drawn = True

    def supply(self, source: Source) -> "Supply":
        return source.drawn(self.of)


class Counterfactual(Ablation):
    """What is there in the other run."""

    of_other_run = True

    def supply(self, source: Source) -> "Supply":
        return source.other_run()


class Zero(Ablation):
    """Zero."""

    spares_bos = True

    def supply(self, source: Source) -> "Supply":
        return lambda _, there: there.new_zeros(there.shape)


@dataclass(frozen=True)
class Constant(Ablation):
    """A number."""

    value: float

    spares_bos = True

    def supply(self, source: Source) -> "Supply":
        return lambda _, there: there.new_full(there.shape, self.value)

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Scaled(Ablation):
    """What is there times a factor."""

    factor: float

    spares_bos, removes = True, False

    def supply(self, source: Source) -> "Supply":
        return lambda _, there: there * self.factor

    def __str__(self) -> str:
        return f"scaled({self.factor:g})"


@dataclass(frozen=True)
class Added(Ablation):
    """What is there plus a vector."""

    vector: tuple[float, ...]

    spares_bos, removes = True, False

    def supply(self, source: Source) -> "Supply":
        return lambda _, there: there + there.new_tensor(self.vector)


WORDS: dict[str, Callable[[], Ablation]] = {
    "mean": Mean,
    "zero": Zero,
    "resample": Resample,
    "counterfactual": Counterfactual,
}


def mean(of: Sides = "both", over: PromptPairs | None = None) -> Ablation:
    """The mean over the reference prompts of the same template, at the same token role.

        model.on(IOI).ablate("L9.H6", mean(over=ABC)) > 0.2    # prompts in which no name is repeated: Wang et al. 2022

    ``of="clean"`` or ``of="corrupt"`` takes one side's prompts only; the choice can decide a verdict. ``over``: those of other
    pairs, whose templates have the same slots in the same order.
    """
    return Mean(_checked_sides(of), _checked_pairs(over))


def resample(of: Sides = "both", over: PromptPairs | None = None) -> Ablation:
    """The activation of one other reference prompt of the same template, drawn once per pair; ``of`` and ``over`` as in ``mean``.

    model.on(FRUIT).ablate("L31.N892", resample(of="clean")) > 0.3
    """
    return Resample(_checked_sides(of), _checked_pairs(over))


def zero() -> Ablation:
    """Zero, except at the BOS token, which zero ablation leaves alone; "zero" says the same.

    model.on(FRUIT).ablate("L31.N892", zero()) > 0.3
    """
    return Zero()


def scaled(factor: float) -> Ablation:
    """The activation that is there times a factor, except at the BOS token; ``scaled(-1)`` negates it.

    model.on(FRUIT).ablate("L31.N892", scaled(-1)) > 0.9    # of the gap: Miller & Neo 2023 negated their neuron
    """
    return Scaled(finite(factor, "a factor"))


def ablation(value: object) -> Ablation:
    """``"mean"``, ``"zero"``, ``"resample"``, ``"counterfactual"``, a number or an ``Ablation`` as an ``Ablation``."""
    if isinstance(value, Ablation):
        return value
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]()
    if value in (mean, zero, resample, scaled):
        call = f"{value.__name__}({'-1' if value is scaled else ''})"
        raise MethodError(f"write circuitcheck.{call} with its brackets: that is the ablation")
    if isinstance(value, Real) and not isinstance(value, bool):
        return Constant(finite(value, "an ablation's value"))
    words = ", ".join(map(repr, WORDS))
    raise MethodError(f"an ablation's value is {words}, scaled(factor) or a number, not {value!r}")


def removing(value: object) -> Ablation:
    """The same, of an ablation that takes away what is there; raises ``MethodError`` for a factor, which does not."""
    how = ablation(value)
    if not how.removes:
        raise MethodError("keep takes all else away, and what is scaled is still there: ablate by a mean, for one")
    return how


def finite(value: object, what: str) -> float:
    """A finite number; raises ``MethodError`` that names what it should be."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise MethodError(f"{what} is a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MethodError(f"{what} must be finite, not {value!r}")
    return number


@dataclass(frozen=True)
class Held:
    """What stays as it was beside what is written: of a path, ``mlps`` on its way (heads always do); ``norms``: the scales
    of the normalisations behind what is written, or at a path's end."""

    mlps: bool = True
    norms: bool = False

    @property
    def suffix(self) -> str:
        """What labels end with."""
        return f"{'' if self.mlps else ' through mlps'}{' (ln frozen)' if self.norms else ''}"


NOTHING_HELD = Held()


def held(through: str, ln: str) -> Held:
    """What ``through=`` and ``ln=`` hold; raises ``MethodError`` naming what they can be."""
    if through not in ("", "mlps"):
        raise MethodError(f"through= is 'mlps' (those on a path's way move) or nothing, not {through!r}")
    if ln not in ("", "frozen"):
        raise MethodError(f"ln= is 'frozen' (normalisations keep their scales) or nothing, not {ln!r}")
    return Held(not through, bool(ln))


def _checked_pairs(over: object) -> PromptPairs | None:
    if over is not None and not isinstance(over, PromptPairs):
        raise MethodError(f"over= is PromptPairs whose prompts are the reference, not {over!r}")
    return over


def _checked_sides(of: Sides) -> Sides:
    if of not in ("clean", "corrupt", "both"):
        raise MethodError(f"a reference set is of 'clean', 'corrupt' or 'both' prompts, not {of!r}")
    return of
