"""The calls of the linear parts of a block, as one plain run makes them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from differential.oracle import NotShown, Plain

TOKENS = torch.arange(20, 44).reshape(2, 12) * 7


@dataclass(frozen=True)
class Call:
    """A module in a run: what went in and came out, in the order in which they were done."""

    name: str
    given: torch.Tensor
    output: torch.Tensor


def blocks_of(model: Any) -> list[str]:
    """The names of the blocks."""
    layers = int(model.config.num_hidden_layers)
    lists = [name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    name = next((name for name in lists if len(model.get_submodule(name)) == layers), None)
    if name is None:
        raise NotShown("its blocks are in no list of modules as long as the model has layers")
    return [f"{name}.{layer}" for layer in range(layers)]


def calls_of(plain: Plain, block: str) -> list[Call]:
    """The calls of a block's modules that take and give one tensor per token, in the order in which they end."""
    calls: list[Call] = []
    starts: dict[str, torch.Tensor] = {}

    def before(name: str, module: Any, given: Any, named: dict[str, Any]) -> None:
        tensor = _first(given) if given else _first(tuple(named.values()))
        if tensor is not None:
            starts[name] = tensor

    def after(name: str, module: Any, given: Any, output: Any) -> None:
        tensor = _first(output)
        if tensor is not None and name in starts:
            calls.append(Call(name, starts[name], tensor))

    handles = []
    for name in [name for name in plain.modules if name == block or name.startswith(f"{block}.")]:
        handles.append(plain.modules[name].register_forward_pre_hook(partial(before, name), with_kwargs=True))
        handles.append(plain.modules[name].register_forward_hook(partial(after, name)))
    try:
        with torch.no_grad():
            plain.model(TOKENS, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _first(found: Any) -> torch.Tensor | None:
    """The first tensor among what a module takes or gives, as [prompt, position, column]; None where it is none of tokens."""
    tensors = [one for one in (found if isinstance(found, tuple | list) else [found]) if isinstance(one, torch.Tensor)]
    if not tensors or not tensors[0].is_floating_point() or tensors[0].numel() % TOKENS.numel():
        return None
    return tensors[0].detach().clone().reshape(*TOKENS.shape, -1)
