"""One write of an intervention: the values for the addressed entries of a hook point, checked to have arrived there."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from circuitcheck.engine.hooks.hookpoints import arranged
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import InterventionError, NumericsError

Hook = tuple[str, Callable[..., Any]]


def keeping(name: str, into: dict[Any, torch.Tensor], key: Any) -> Hook:
    """A hook that only looks: a copy of the activation goes ``into`` a dictionary under ``key``."""

    def keep(activation: torch.Tensor, hook: Any) -> None:
        into[key] = arranged(name, activation).detach().clone()

    return name, keep


def adding(name: str, change: torch.Tensor) -> Hook:
    """A hook that adds a change of the activation's shape to it."""

    def add(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        here = arranged(name, activation)
        here.copy_(here + change.to(here))
        return activation

    return name, add


def last_of(logits: torch.Tensor, read: int) -> torch.Tensor:
    """The logits [row, position, token] at the last position, of shape [row, token]; where more positions are read, at all of
    these."""
    return logits[:, -1] if read == 1 else logits[:, -read:]


@contextmanager
def quietly() -> Iterator[None]:
    """TransformerLens warns where a hook changes a normalisation's scale that its own words may round differently."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
        yield


@contextmanager
def hooked(points: Mapping[str, Any], hooks: Sequence[Hook]) -> Iterator[None]:
    """The hooks on their hook points while a block lasts."""
    added: list[Any] = []
    try:
        for name, function in hooks:
            point = points[name]
            before = len(point.fwd_hooks)
            point.add_hook(function)
            added += [(point, handle) for handle in point.fwd_hooks[before:]]
        yield
    finally:
        for point, handle in added:
            handle.hook.remove()
            point.fwd_hooks.remove(handle)


class Hold:
    """Keeps what is at a hook point at ``values`` (in any shape with as many entries), and sees that it stays there."""

    def __init__(self, hook: str, values: torch.Tensor):
        self.hook, self.values, self.fired = hook, values, False

    def hooks(self) -> list[Hook]:
        """The hook, and behind it at the same hook point the check."""
        return [(self.hook, self._hold), (self.hook, self._check)]

    def _hold(self, activation: torch.Tensor, hook: Any) -> torch.Tensor:
        return self.values.to(activation).reshape(activation.shape)

    def _check(self, activation: torch.Tensor, hook: Any) -> None:
        self.fired = True
        if bool((activation != self.values.to(activation).reshape(activation.shape)).any()):
            raise InterventionError(f"what was to be held at {self.hook} is not what is there")


class Write:
    """Puts ``values`` into the addressed entries of one hook point, then checks that just these were written.

    ``mask`` says at which positions, of shape [row, position]; ``components`` which heads or neurons, of shape
    [row, component] (None: all). ``values`` gives, when the hook point is reached, what is to be in the place of its
    activation [row, position, component..., width]; it must run nothing itself. ``moved`` says of each row whether that was a change.
    """

    def __init__(
        self,
        hook: str,
        mask: torch.Tensor,
        components: torch.Tensor | None,
        values: Callable[[torch.Tensor], torch.Tensor],
    ):
        self.hook, self.mask, self.components, self.values = hook, mask, components, values
        self.fired = False
        self.moved = torch.zeros(len(mask), dtype=torch.bool)
        self._written: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def hooks(self) -> list[Hook]:
        """The write, and behind it at the same hook point the check, which sees what the model sees."""
        return [(self.hook, self._write), (self.hook, self._check)]

    @property
    def bytes_per_row(self) -> int:
        """What one row takes beside what blocks need."""
        return 0

    def differentiable(self) -> Hook:
        """The write alone, in a form that a backward pass goes through."""

        def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            here = arranged(self.hook, activation)
            wanted = self.values(here).to(activation)
            found = arranged(self.hook, torch.where(self._entries(here), wanted, here))
            # Only there must it be in place (see below), and only there has nothing kept the activation for its backward.
            return activation.copy_(found) if self.hook.endswith("hook_resid_mid") else found

        return self.hook, write

    def _entries(self, activation: torch.Tensor) -> torch.Tensor:
        """True at every addressed entry, broadcastable to the activation."""
        beyond = activation.dim() - 2
        mask = self.mask.to(activation.device).reshape(*self.mask.shape, *[1] * beyond)
        if self.components is None:
            return mask
        chosen = self.components.to(activation.device)
        return mask & chosen.reshape(chosen.shape[0], 1, chosen.shape[1], *[1] * (beyond - 1))

    def _write(self, given: torch.Tensor, hook: Any) -> torch.Tensor:
        activation = arranged(self.hook, given)
        wanted = self.values(activation).to(activation)
        if activation.shape != wanted.shape:
            shapes = f"{tuple(activation.shape)}, not {tuple(wanted.shape)}"
            raise InterventionError(f"{self.hook} has an activation of shape {shapes}")
        original, entries = activation.clone(), self._entries(activation)
        self._written = original, entries, wanted
        # In place as well as returned: what a hook returns at the middle of the residual stream reaches the MLP but not
        # the skip connection (TransformerLens 4.3), which reads the very tensor.
        activation.copy_(torch.where(entries, wanted, activation))
        return given

    def _check(self, given: torch.Tensor, hook: Any) -> None:
        activation = arranged(self.hook, given)
        if self._written is None:
            raise InterventionError(f"the write at {self.hook} did not come before its check")
        original, entries, wanted = self._written
        if not bool(activation.isfinite().all()):
            raise NumericsError(f"the model's activations at {self.hook} are NaN or infinite")
        moved = activation != original
        if bool((moved & ~entries).any()):
            raise InterventionError(f"the write at {self.hook} touched entries that were not addressed")
        if bool(((activation != wanted) & entries).any()):
            raise InterventionError(f"the write at {self.hook} did not arrive")
        self.fired, self.moved, self._written = True, moved.flatten(1).any(1).cpu(), None
