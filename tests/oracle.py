"""The oracle: one pair at a time, plain TransformerLens hooks, nothing of the engine."""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import entropy

from circuitcheck import Model
from circuitcheck.prompts.aligned_pairs import AlignedPair

Edit = Callable[[torch.Tensor, torch.Tensor], None]


def logit_difference(model: Model, pair: AlignedPair, logits: torch.Tensor) -> float:
    last = logits[0, -1].double()
    answer, foil = (torch.logsumexp(last[list(tokens)], 0) for tokens in (pair.answer, pair.foil))
    return float(answer - foil)


Unhooked = tuple[torch.Tensor, dict[str, torch.Tensor]]
# Of models that several tests share and none changes, unhooked runs are done once: logits and activations by tokens.
_SHARED: WeakKeyDictionary[Any, dict[tuple[int, ...], Unhooked]] = WeakKeyDictionary()


def share(model: Model) -> Model:
    _SHARED[model.bridge] = {}
    return model


def run(model: Model, tokens: tuple[int, ...], hooks: list[tuple[str, Any]] | None = None) -> torch.Tensor:
    if not hooks and model.bridge in _SHARED:
        return _unhooked(model, tokens)[0].clone()
    with torch.no_grad():
        found: torch.Tensor = model.bridge.run_with_hooks(torch.tensor([tokens]), fwd_hooks=hooks or [])
    return found


def activations(model: Model, tokens: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {name: there.clone() for name, there in _unhooked(model, tokens)[1].items()}


def _unhooked(model: Model, tokens: tuple[int, ...]) -> Unhooked:
    known = _SHARED.get(model.bridge, {})
    if tokens not in known:
        with torch.no_grad():
            logits, cache = model.bridge.run_with_cache(torch.tensor([tokens]))
        known[tokens] = logits, {name: cache[name].clone() for name in cache}
    return known[tokens]


def patched_share(model: Model, pairs: tuple[AlignedPair, ...], hook: str, edit: Edit, into: str = "corrupt") -> float:
    """The ratio of means of patching ``hook``: ``edit(destination, source)`` changes the destination in place."""
    shifts, gaps = [], []
    for pair in pairs:
        clean = logit_difference(model, pair, run(model, pair.clean))
        corrupt = logit_difference(model, pair, run(model, pair.corrupt))
        source = activations(model, pair.clean if into == "corrupt" else pair.corrupt)[hook]

        def write(activation: torch.Tensor, hook: Any, source: torch.Tensor = source) -> torch.Tensor:
            edit(activation, source)
            return activation

        patched = logit_difference(model, pair, run(model, pair.tokens(into), [(hook, write)]))
        shifts.append(patched - corrupt if into == "corrupt" else clean - patched)
        gaps.append(clean - corrupt)
    return sum(shifts) / sum(gaps)


def _summed(logits: torch.Tensor, tokens: tuple[int, ...]) -> float:
    return float(torch.logsumexp(logits[list(tokens)].double(), 0))


def read(name: str, pair: AlignedPair, logits: torch.Tensor, clean: torch.Tensor) -> float:
    """A readout by its definition, of logits [token] (and of the clean run's) as numpy has them."""
    here, there = (np.exp(log_softmax(one.double().numpy())) for one in (logits, clean))
    chance = here[list(pair.answer)].sum()
    best = float(logits[list(pair.answer)].max())
    if name == "logit_diff":
        return float(np.log(chance) - np.log(here[list(pair.foil)].sum()))
    return {
        "accuracy": float(_summed(logits, pair.answer) > _summed(logits, pair.foil))
        if pair.foil
        else float(best == logits.max()),
        "probability": float(chance),
        "log_probability": float(np.log(chance)),
        "rank": -(1.0 + sum(float(one) > best for one in logits)),
        "kl": -float(entropy(there, here)),
    }[name]
