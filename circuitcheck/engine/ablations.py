"""What is put where: the method of a number, as frozen records.

    >>> ablation("mean")
    Ablation(kind='mean', of='both', value=0.0)

A number without its method means little: the published faithfulness of one and the same circuit swings from 87 % to
far over 100 % with granularity, value, positions and direction (Miller, Chughtai & Saunders 2024).
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Sides


@dataclass(frozen=True)
class Ablation:
    """What an ablation puts in place of the activation. ``of`` says which prompts the reference set is made of; ``value`` is
    the constant, or the factor; ``vector`` is what steering adds to what is there."""

    kind: Literal["mean", "zero", "resample", "counterfactual", "constant", "scaled", "added"]
    of: Sides = "both"
    value: float = 0.0
    vector: tuple[float, ...] = ()

    @property
    def needs_reference(self) -> bool:
        return self.kind in ("mean", "resample")

    @property
    def spares_bos(self) -> bool:
        """Whether it leaves the BOS token alone: what comes from a run is put in there too."""
        return self.kind in ("zero", "constant", "scaled", "added")

    def __str__(self) -> str:
        if self.kind == "constant":
            return f"{self.value:g}"
        if self.kind == "scaled":
            return f"scaled({self.value:g})"
        return self.kind if self.of == "both" or not self.needs_reference else f"{self.kind}(of={self.of!r})"


def mean(of: Sides = "both") -> Ablation:
    """The mean over the reference prompts of the same template, at the same token role.

    ``of="clean"`` or ``of="corrupt"`` takes one side's prompts only; the choice can decide a verdict.
    """
    return Ablation("mean", _checked_sides(of))


def resample(of: Sides = "both") -> Ablation:
    """The activation of one other reference prompt of the same template, drawn once per pair."""
    return Ablation("resample", _checked_sides(of))


def zero() -> Ablation:
    """Zero, except at the BOS token, which zero ablation leaves alone."""
    return Ablation("zero")


def scaled(factor: float) -> Ablation:
    """The activation that is there times a factor, except at the BOS token; ``scaled(-1)`` negates it.

    model.on(FRUIT).ablate("L31.N892", scaled(-1)) > 0.9    # of the gap: Miller & Neo 2023 negated their neuron
    """
    return Ablation("scaled", value=finite(factor, "a factor"))


def ablation(value: object) -> Ablation:
    """``"mean"``, ``"zero"``, ``"resample"``, ``"counterfactual"``, a number or an ``Ablation`` as an ``Ablation``."""
    if isinstance(value, Ablation):
        return value
    named = {"mean": mean, "zero": zero, "resample": resample}
    if isinstance(value, str) and value in named:
        return named[value]()
    if value == "counterfactual":
        return Ablation("counterfactual")
    if value in (mean, zero, resample, scaled):
        call = f"{value.__name__}({'-1' if value is scaled else ''})"
        raise MethodError(f"write circuitcheck.{call} with its brackets: that is the ablation")
    if isinstance(value, Real) and not isinstance(value, bool):
        return Ablation("constant", value=finite(value, "an ablation's value"))
    raise MethodError(
        f"an ablation's value is 'mean', 'zero', 'resample', 'counterfactual', scaled(factor) or a number, not {value!r}"
    )


def removing(value: object) -> Ablation:
    """The same, of an ablation that takes away what is there; raises ``MethodError`` for a factor, which does not."""
    how = ablation(value)
    if how.kind == "scaled":
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


def _checked_sides(of: Sides) -> Sides:
    if of not in ("clean", "corrupt", "both"):
        raise MethodError(f"a reference set is of 'clean', 'corrupt' or 'both' prompts, not {of!r}")
    return of
