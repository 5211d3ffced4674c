"""What an effect may be compared with: a finite number, or one with a margin around it."""

import math
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from circuitcheck.errors import ComparisonError, MethodError
from circuitcheck.units import UNITS

# A share of so much or more was surely meant as a percentage.
_PERCENT = 10


class NoArithmetic:
    """A number that can be compared, and not be reckoned with."""

    def _no_arithmetic(self, *_: object) -> NoReturn:
        raise ComparisonError(
            "effects have no arithmetic: instead of `abs(a) > t` claim `a > t` or `a < -t`, instead of `a - b > 0` claim "
            "`a > b`; a measured number is effect.measure().estimate"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic
    __neg__ = __abs__ = __float__ = _no_arithmetic

    __hash__ = None  # type: ignore[assignment]


def is_approx(value: object) -> bool:
    """Whether a value is a ``pytest.approx`` of one number."""
    known = vars(value) if hasattr(value, "__dict__") else {}
    return {"expected", "abs", "rel", "nan_ok"} <= known.keys() and not hasattr(known["expected"], "__len__")


def checked_approx(value: Any) -> Any:
    """A ``pytest.approx`` with a margin that somebody wrote."""
    if not is_approx(value):
        raise ComparisonError(
            "an effect equals nothing exactly: write effect == pytest.approx(value, abs=margin), on the right"
        )
    if value.abs is None and value.rel is None:
        raise ComparisonError(
            "pytest.approx needs an explicit margin here: approx(value, abs=0.05) or approx(value, rel=0.1)"
        )
    return value


def margin_of(approx: Any) -> float:
    """The reach of a ``pytest.approx``, which must be a positive finite number."""
    for part in (getattr(approx, name, None) for name in ("abs", "rel")):
        if part is not None and not isinstance(part, Real):
            raise MethodError(f"the margin of {approx!r} is no margin: a margin is a real number, not {part!r}")
    try:
        margin = float(approx.tolerance)
    except ValueError as error:
        raise MethodError(f"the margin of {approx!r} is no margin: {error}") from None
    if getattr(approx, "abs", None) is None and float(approx.expected) == 0:
        raise MethodError(f"{approx!r} has a margin relative to 0, which is none: write approx(0, abs=0.05)")
    if not 0 < margin < math.inf:
        raise MethodError(f"a margin is a positive finite number, not {margin}")
    return margin


def number(value: object) -> float:
    """A finite real number, numpy's included."""
    # numpy's durations are integers to Python, and its complex numbers lose a part where a float is made of them.
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Real):
        raise ComparisonError(f"an effect is compared with a real number or another effect, not with {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MethodError(f"an effect cannot be compared with {number}: a threshold is a finite number")
    return number


def checked_share(threshold: float, unit: str, label: str) -> float:
    """The threshold of an effect in a unit, checked: raises ``MethodError`` when 40 was written for 0.4."""
    if UNITS[unit].is_partial and abs(threshold) >= _PERCENT:
        raise MethodError(f"{label} is a share, of which {threshold:g} is no sensible threshold: 40 % is written 0.4")
    return threshold


def checked_precision(value: object) -> float:
    """Half of an interval, as wide as it may be: raises ``MethodError`` for what is no positive number."""
    precision = number(value)
    if precision <= 0:
        raise MethodError(f"a precision is a positive number, half of the interval that is wanted, not {precision:g}")
    return precision
