"""A network as it was before TransformerLens wrapped it, and what it says of a text, with how far rounding moves that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from circuitcheck.engine.on_demand import torch


@dataclass(frozen=True)
class Said:
    """Logits for ``tokens``, of shape [1, position, token]; and those that the same network gives when it computes otherwise: with
    attention spelled out, and of half precision in single."""

    tokens: torch.Tensor
    logits: torch.Tensor
    otherwise: tuple[torch.Tensor, ...] = ()


class Untouched:
    """A network's modules copied; its parameters and buffers are the network's own, so that weights are in memory once. ``run``: how it gives
    logits of tokens, where that is not by itself."""

    def __init__(self, network: Any, run: Callable[[Any, torch.Tensor], torch.Tensor] | None = None):
        # Linear modules of 8 bits move their weights into a state of their own when they first run.
        states = [vars(module)["state"] for module in network.modules() if "state" in vars(module)]
        shared = {id(one): one for one in (*network.parameters(), *network.buffers(), *states)}
        self.network, self._run = deepcopy(network, shared).eval(), run or logits_of
        self._config = getattr(self.network, "config", None)
        self._attention = getattr(self._config, "_attn_implementation", "eager")

    def says(self, tokens: torch.Tensor) -> Said:
        """What it says of tokens, by its own attention."""
        logits = self._run(self.network, tokens)
        otherwise = []
        if self._attention != "eager":
            self.network.set_attn_implementation("eager")
            try:
                otherwise.append(self._run(self.network, tokens))
            finally:
                self.network.set_attn_implementation(self._attention)
        if logits.dtype.itemsize < 4:
            with _in_single_precision(self.network):
                otherwise.append(self._run(self.network, tokens))
        return Said(tokens, logits, tuple(otherwise))


def logits_of(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Of a network or a bridge, of shape [1, position, token]."""
    with torch.inference_mode():
        found = network(tokens)
    logits: torch.Tensor = getattr(found, "logits", found)
    return logits


@contextmanager
def _in_single_precision(network: Any) -> Iterator[None]:
    """While the block lasts, each module's own tensors are widened for the time of its forward: no copy of all of them is made."""
    kept: dict[Any, list[tuple[dict[str, Any], str, Any]]] = {}

    def widen(module: Any, given: Any) -> None:
        tables = (module._parameters, module._buffers)
        kept[module] = [(table, *item) for table in tables for item in table.items() if _is_half(item[1])]
        for table, name, tensor in kept[module]:
            table[name] = tensor.detach().float()

    def put_back(module: Any, *_: Any) -> None:
        for table, name, tensor in kept.pop(module, ()):
            table[name] = tensor

    handles: list[Any] = []
    try:
        for module in network.modules():
            handles.append(module.register_forward_pre_hook(widen))
            handles.append(module.register_forward_hook(put_back, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_half(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and tensor.is_floating_point() and tensor.itemsize < 4
