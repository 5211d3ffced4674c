"""A neuron on texts: its activation at each token, beside what the model predicts there."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.memory import in_batches
from circuitcheck.errors import NumericsError
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.texts import hashed

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Seen:
    """At each position of some texts, of shape [position]: the neuron's activation, and by how much the token's logit stands
    above the best of the others. ``size`` is the largest logit, without its sign."""

    activations: "Floats"
    margins: "Floats"
    size: float


def on_texts(answers: Answers, texts: Sequence[Tokens], neuron: Site, token: int) -> Seen:
    """A neuron and a token at every position of the texts; those that texts which begin alike have in common are one."""
    distinct = list(dict.fromkeys(texts))
    doing, keys = ("text", neuron, token), [_key(text) for text in distinct]
    with answers.question():
        seen = {
            text: Seen(array[1 : len(text) + 1], array[len(text) + 1 :], float(array[0]))
            for text, array in zip(distinct, answers.remembered.recall_arrays(doing, keys), strict=True)
            if array is not None
        }
        by_length: dict[int, list[Tokens]] = defaultdict(list)
        for text in distinct:
            if text not in seen:
                by_length[len(text)].append(text)
        for length, alike in sorted(by_length.items()):
            engine = answers.engine
            engine.see_length(length)
            size = engine.shape.plain_batch(len(alike), length, engine.memory.for_batch)
            run = partial(_run, engine, torch.tensor(alike), neuron, token)
            for rows, found in in_batches(torch.arange(len(alike)), size, run):
                new = {alike[row]: one for row, one in zip(rows.tolist(), found, strict=True)}
                answers.remembered.keep_arrays(
                    doing,
                    [
                        (_key(text), np.concatenate([[one.size], one.activations, one.margins]))
                        for text, one in new.items()
                    ],
                )
                seen |= new
    known: dict[tuple[int, int], int] = {}
    parts: list[Seen] = []
    for text in sorted(distinct, key=len):
        fresh = np.array(_new_positions(text, known))
        parts.append(Seen(seen[text].activations[fresh], seen[text].margins[fresh], seen[text].size))
    activations, margins = (
        np.concatenate([getattr(part, what) for part in parts]) for what in ("activations", "margins")
    )
    return Seen(activations, margins, max(part.size for part in parts))


def _key(text: Tokens) -> bytes:
    return hashed(repr(text))


def _run(engine: Engine, tokens: torch.Tensor, neuron: Site, token: int, rows: torch.Tensor) -> list[Seen]:
    """What is seen in each of some rows of texts of one length."""
    found: list[torch.Tensor] = []
    name = hook_name(neuron.layer, neuron.kind)
    hooks = [(name, lambda activation, hook: found.append(activation[..., neuron.index].double().cpu()))]
    with torch.inference_mode():
        logits = engine.bridge.run_with_hooks(tokens[rows].to(engine.bridge.cfg.device), fwd_hooks=hooks)
        top, which = logits.topk(2)
        others = torch.where(which[..., 0] == token, top[..., 1], top[..., 0])
        margins = (logits[..., token] - others).double().cpu()
        sizes = logits.abs().flatten(1).max(1).values.tolist()
    if not (found and all(map(math.isfinite, sizes))):
        raise NumericsError(f"the model's logits are NaN or infinite on these texts, or {name} did not fire")
    return [Seen(*one) for one in zip(found[0].numpy(), margins.numpy(), sizes, strict=True)]


def _new_positions(text: Tokens, known: dict[tuple[int, int], int]) -> list[bool]:
    """Which positions of a text no text before it has had behind the same beginning. ``known`` numbers beginnings by the one
    that is a token shorter, and the token."""
    new, beginning = [], -1
    for token in text:
        new.append((beginning, token) not in known)
        beginning = known.setdefault((beginning, token), len(known))
    return new
