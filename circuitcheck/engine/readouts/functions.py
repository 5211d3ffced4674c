"""A readout that is a function of logits and pairs, and the readout that somebody asks for."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from circuitcheck.engine.readouts.generated import Generated
from circuitcheck.engine.readouts.named import READOUTS, Reading, Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.records.code_identity import identity_of

if TYPE_CHECKING:
    import torch

    from circuitcheck.engine.readouts.named import Function

# By how much a function's number may change with the rows beside it: what sums in another order make of it.
_ALIKE = 1e-6
NO_GRADIENT = "lets no gradient through: write it in torch, or take what needs none (a sweep, against('coordinate'))"


@dataclass(frozen=True)
class OfFunction(Readout):
    """What a function makes of logits and pairs."""

    function: "Function"
    words: str

    name = unit = "function"
    needs_answer = has_scale = False

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


def readout(given: "str | Function | Generated") -> Readout:
    """The readout of that name, or a function as one, or one of generated text as it is; raises ``MethodError`` naming those there are."""
    if isinstance(given, str) and given in READOUTS:
        return READOUTS[given]
    if isinstance(given, Generated):
        return given
    if callable(given):
        return OfFunction.called(given)
    raise MethodError(
        f"there is no readout {given!r}; there are {', '.join(READOUTS)}, functions of logits and pairs, and generated(predicate)"
    )
