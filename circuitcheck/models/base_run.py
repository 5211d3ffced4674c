"""Whether the wrapped model says what the untouched one says: TransformerLens computes attention of many architectures itself.

base_run = BaseRun("llama", bridge, untouched, remembered, boot_again)
base_run.see()              # raises ModelError, with both logits, where they differ
base_run.fold()             # and with both log-probabilities, where folding weights makes a difference
base_run.see_length(5000)   # as the first, where a run is the first one beyond a limit of the configuration
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from circuitcheck.engine.checking.real_text import tokens_for
from circuitcheck.engine.checking.regimes import limits_of, longest_of, regime_of, stretches
from circuitcheck.engine.memory import out_of_memory
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError, PromptError
from circuitcheck.models.untouched import Said, Untouched, logits_of
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.texts import plural

COMPARED = "the untouched model's"
NOT_COMPARED = "not compared with an untouched model's: this bridge was made elsewhere"
# Lengths at which all models are compared, in tokens. Those beyond a limit are, at loading, as long as one run takes no more
# multiplications than this and no more attention scores: half a second on two slow cores.
_LENGTHS = (6, 40)
_WORK, _SCORES = 1e10, 2**26
# By how much more than it differs from itself (computed otherwise) the wrapped model may differ; and, as a share of the largest
# logit, by how much it may in any case: half precision cannot show less than a few steps of its own.
_MORE = 4
_FLOOR = {"torch.float64": 1e-8, "torch.float32": 1e-4, "torch.bfloat16": 2**-6, "torch.float16": 2**-9}
_FOLDED = 10  # folding sums weights otherwise
_FOLDING = "folding"
_STEPS = ("fold_layer_norm", "center_writing_weights", "center_unembed", "fold_value_biases")
# The same for all log-probabilities together, whose root mean square scatters less than the largest.
_MORE_ON_AVERAGE = 2


class BaseRun:
    """The comparisons of one ``bridge``; ``untouched`` is None where nothing is known of what it was before it was wrapped.

    ``boot_again`` gives the same bridge once more, unfolded, and what that was: a folded one is compared at greater lengths by it.
    """

    def __init__(
        self,
        name: str,
        bridge: Any,
        untouched: Untouched | None,
        remembered: Remembered,
        boot_again: Callable[[], tuple[Any, Untouched]],
    ):
        self.name, self.words = name, NOT_COMPARED if untouched is None else COMPARED
        self._bridge, self._untouched, self._remembered, self._boot_again = bridge, untouched, remembered, boot_again
        self._limits = () if untouched is None else limits_of(untouched.network)
        self._longest = int(bridge.cfg.n_ctx) if untouched is None else longest_of(untouched.network)
        self._regimes: set[int] = set()
        self._before: Said | None = None  # what folding is compared with

    def see(self) -> None:
        """Compare where runs are short, and beyond each limit where that takes no longer than a moment."""
        if self._untouched is not None:
            for length in sorted({*self._lengths(self._untouched.network)}):
                self._see(length, self._bridge, self._untouched)

    def fold(self) -> None:
        """Fold and centre the weights, and compare what is said before and after. What the network was is let go."""
        tokens, said = self._text(self._folded_at), self._before
        if self._remembered.fact(_FOLDING) is not None:
            said = None
        elif said is None:
            there = self._untouched
            said = Said(tokens, logits_of(self._bridge, tokens)) if there is None else there.says(tokens)
        self._untouched = self._before = None
        try:
            with _uncopied():
                self._bridge.enable_compatibility_mode(disable_warnings=True)
        except (RuntimeError, NotImplementedError, ValueError) as error:
            advice = 'load it with weights="raw" (--circuit-weights=raw)'
            raise ModelError(f"the weights of {self.name} cannot be folded and centred ({error}); {advice}") from error
        if said is not None:
            _compare_folded(self.name, said, logits_of(self._bridge, tokens))
            self._remembered.note(_FOLDING, COMPARED)

    def see_length(self, length: int) -> None:
        """Compare beyond the limit that runs of so many tokens are the first to cross. Raises ``PromptError`` where the model
        itself cannot run so many."""
        if self.words == NOT_COMPARED or (regime := regime_of(self._limits, length)) in self._regimes:
            return
        bridge, untouched = self._bridge, self._untouched
        if untouched is None:
            bridge, untouched = self._boot_again()
        self._see(min(self._limits[regime - 1] + 2, length), bridge, untouched)

    def _see(self, length: int, bridge: Any, untouched: Untouched) -> None:
        """Compare at a length, unless its regime was compared before."""
        regime = regime_of(self._limits, length)
        fact = f"base run of {length} tokens"
        if self._remembered.fact(fact) is None:
            try:
                said = untouched.says(self._text(length))
                self._before = said if length == self._folded_at else self._before
            except (RuntimeError, IndexError, ValueError) as error:
                if out_of_memory(error):
                    raise
                said_so = f"{self.name} cannot run {plural(length, 'token')} ({type(error).__name__}: {error})"
                if length <= (self._longest or length):
                    raise ModelError(f"{said_so}: config.json says what transformers' own model cannot do") from error
                raise PromptError(f"{said_so}, and is made for {self._longest}: give shorter prompts") from error
            _compare(self.name, said, logits_of(bridge, said.tokens))
            self._remembered.note(fact, COMPARED)
        self._regimes.add(regime)

    @property
    def _folded_at(self) -> int:
        """The tokens on which folding is compared: as many as all models are compared at, at most."""
        return min(_LENGTHS[-1], self._longest or _LENGTHS[-1])

    def _lengths(self, network: Any) -> Iterator[int]:
        if getattr(self._bridge, "sight", None) is not None:  # pictures are all of one length
            yield int(self._bridge.cfg.n_ctx)
            return
        most = self._longest if self._longest and not stretches(network) else None
        shortest = min([_LENGTHS[0], *self._limits])
        for length in (shortest, *_LENGTHS):
            yield min(length, most or length)
        heads, width = int(self._bridge.cfg.n_heads), int(self._bridge.cfg.d_model)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        for length in (limit + 2 for limit in self._limits):
            scores = heads * length**2
            work = length * parameters + 2 * length**2 * int(self._bridge.cfg.n_layers) * (width + 8 * heads)
            if length <= (most or length) and work <= _WORK and scores <= _SCORES:
                yield length

    def _text(self, length: int) -> torch.Tensor:
        return tokens_for(self._bridge, length).to(self._bridge.cfg.device)


@cache
def _lent() -> type[torch.Tensor]:
    """The kind of a tensor whose copy it is itself."""

    class Lent(torch.Tensor):
        def clone(self, **_: Any) -> torch.Tensor:
            return self.as_subclass(torch.Tensor)

    return Lent


class _Weights(dict[str, Any]):
    """Weights that are not copied by whoever copies all of a dictionary."""

    def items(self) -> Any:
        return [
            (name, one.detach().as_subclass(_lent()) if isinstance(one, torch.Tensor) else one)
            for name, one in super().items()
        ]


@contextmanager
def _uncopied() -> Iterator[None]:
    """TransformerLens copies all weights at the beginning of each step of folding and centring, and then puts new ones in the place of
    some: the copies are most of what loading takes. While the block lasts, none are made."""

    from transformer_lens.weight_processing import ProcessWeights

    def without_copy(step: Callable[..., Any]) -> Any:
        return staticmethod(lambda weights, *given, **named: step(_Weights(weights), *given, **named))

    steps = {name: getattr(ProcessWeights, name) for name in _STEPS}
    try:
        for name, step in steps.items():
            setattr(ProcessWeights, name, without_copy(step))
        yield
    finally:
        for name, step in steps.items():
            setattr(ProcessWeights, name, staticmethod(step))


def _compare(name: str, said: Said, found: torch.Tensor) -> None:
    """Raises ``ModelError`` where logits differ by more than the model's own do."""
    wanted = said.logits
    if found.shape != wanted.shape:
        raise ModelError(
            f"{name} gives logits of shape {tuple(wanted.shape)}, and TransformerLens' model of it {tuple(found.shape)}"
        )
    own = max((_largest(one - wanted) for one in said.otherwise), default=0.0)
    reach = max(_MORE * own, _FLOOR[str(wanted.dtype)] * _size(wanted))
    if not torch.allclose(found.double(), wanted.double(), rtol=0, atol=reach, equal_nan=True):
        raise ModelError(
            f"{name} cannot be measured: TransformerLens' model of it gives other logits than transformers' own: "
            f"{_differ(said.tokens, wanted, found, reach)}. TransformerLens computes something of this configuration otherwise; "
            "numbers of it would be another model's"
        )


def _compare_folded(name: str, said: Said, found: torch.Tensor) -> None:
    """Raises ``ModelError`` where folded weights move log-probabilities by more than rounding does: in half precision, than that
    differs from single."""
    wanted, found = said.logits.double().log_softmax(-1), found.double().log_softmax(-1)
    rounding = [one.double().log_softmax(-1) - wanted for one in said.otherwise]
    floor = _FLOOR[str(said.logits.dtype)] * _size(wanted)
    floor = floor * _FOLDED if said.logits.dtype.itemsize > 2 or not rounding else floor
    reach = max([floor, *(_MORE * _largest(one) for one in rounding)])
    average = max([floor, *(_MORE_ON_AVERAGE * _mean(one) for one in rounding)])
    same = torch.allclose(found, wanted, rtol=0, atol=reach, equal_nan=True)
    if not same or _mean(found - wanted) > average:
        raise ModelError(
            f"folding and centring the weights of {name} changed its log-probabilities: "
            f'{_differ(said.tokens, wanted, found, reach)}; load it with weights="raw" (--circuit-weights=raw)'
        )


def _size(logits: torch.Tensor) -> float:
    return max(1.0, float(logits.nan_to_num().abs().max()))


def _largest(difference: torch.Tensor) -> float:
    return float(difference.nan_to_num().abs().max())


def _mean(difference: torch.Tensor) -> float:
    """Root mean square."""
    return float(difference.nan_to_num().double().square().mean().sqrt())


def _differ(tokens: torch.Tensor, wanted: torch.Tensor, found: torch.Tensor, reach: float) -> str:
    """By how much, and both numbers where that is most."""
    difference = (found.double() - wanted.double()).abs().nan_to_num(float("inf"))
    worst = int(difference.argmax())
    both = f"{float(wanted.flatten()[worst]):.4g} and {float(found.flatten()[worst]):.4g}"
    return (
        f"on {plural(tokens.shape[1], 'token')} of text they differ by up to {float(difference.max()):.2g} ({both}; rounding allows "
        f"{reach:.1g})"
    )
