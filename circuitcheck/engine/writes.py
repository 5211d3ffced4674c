"""One write of an intervention: the values for the addressed entries of a hook point, checked to have arrived there."""

from collections.abc import Callable
from typing import Any

import torch

from circuitcheck.errors import InterventionError, NumericsError

Hook = tuple[str, Callable[..., Any]]


def keeping(hook: str, into: dict[Any, torch.Tensor], key: Any) -> Hook:
    """A hook that only looks: a copy of the activation goes ``into`` a dictionary under ``key``."""

    def keep(activation: torch.Tensor, hook: Any) -> None:
        into[key] = activation.detach().clone()

    return hook, keep


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

    def differentiable(self) -> Hook:
        """The write alone, in a form that a backward pass goes through."""

        def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            wanted = self.values(activation).to(activation)
            found = torch.where(self._entries(activation), wanted, activation)
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

    def _write(self, activation: torch.Tensor, hook: Any) -> torch.Tensor:
        wanted = self.values(activation).to(activation)
        if activation.shape != wanted.shape:
            shapes = f"{tuple(activation.shape)}, not {tuple(wanted.shape)}"
            raise InterventionError(f"{self.hook} has an activation of shape {shapes}")
        original, entries = activation.clone(), self._entries(activation)
        self._written = original, entries, wanted
        # In place as well as returned: what a hook returns at the middle of the residual stream reaches the MLP but not
        # the skip connection (TransformerLens 4.3), which reads the very tensor.
        return activation.copy_(torch.where(entries, wanted, activation))

    def _check(self, activation: torch.Tensor, hook: Any) -> None:
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
