"""A neuron on texts: its activation at each token, beside what the model predicts there."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.hooks.writes import Hook, Write
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import NumericsError
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.texts import hashed

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats


@dataclass(frozen=True)
class Watched:
    """A neuron and a token that are looked at. ``value``: what is written in the neuron's place at every token but BOS; None
    where it is as it is."""

    neuron: Site
    token: int
    value: float | None = None

    @property
    def doing(self) -> tuple[object, ...]:
        written = () if self.value is None else (self.value,)
        return ("text", self.neuron, self.token, *written)


@dataclass(frozen=True)
class Seen:
    """At each position of some texts, of shape [position]: the neuron's activation, and by how much the token's logit stands
    above the best of the others. ``size`` is the largest logit, without its sign."""

    activations: "Floats"
    margins: "Floats"
    size: float


def on_texts(answers: Answers, texts: Sequence[Tokens], watched: Watched) -> Seen:
    """A neuron and a token at every position of the texts; those that texts which begin alike have in common are one."""
    [seen] = in_texts(answers, texts, [watched])
    return joined(seen)


def joined(seen: Mapping[Tokens, Seen]) -> Seen:
    """What is seen in texts, at their distinct positions one after the other."""
    new = new_positions(seen)
    activations = np.concatenate([seen[text].activations[fresh] for text, fresh in new.items()])
    margins = np.concatenate([seen[text].margins[fresh] for text, fresh in new.items()])
    return Seen(activations, margins, max(part.size for part in seen.values()))


def new_positions(texts: Iterable[Tokens]) -> "dict[Tokens, Booleans]":
    """Of each text, the shortest first, the positions that no text before it has after the same beginning."""
    known: dict[tuple[int, int], int] = {}
    return {text: np.array(_new_positions(text, known)) for text in sorted(texts, key=len)}


def in_texts(answers: Answers, texts: Sequence[Tokens], watched: Sequence[Watched]) -> list[dict[Tokens, Seen]]:
    """What is seen in each of the texts, of each that is watched; what nothing is written for is read from the same runs."""
    distinct = list(dict.fromkeys(texts))
    with answers.question():
        found = [_recalled(answers, distinct, one) for one in watched]
        written: dict[Watched | None, list[int]] = defaultdict(list)
        for number, one in enumerate(watched):
            if len(found[number]) < len(distinct):
                written[None if one.value is None else one].append(number)
        for numbers in written.values():
            lacking = [text for text in distinct if any(text not in found[number] for number in numbers)]
            for some, seen in _runs(answers.engine, lacking, [watched[number] for number in numbers]):
                for number, parts in zip(numbers, seen, strict=True):
                    new = dict(zip(some, parts, strict=True))
                    answers.remembered.keep_arrays(
                        watched[number].doing,
                        [
                            (_key(text), np.concatenate([[one.size], one.activations, one.margins]))
                            for text, one in new.items()
                        ],
                    )
                    found[number] |= new
    return [{text: seen[text] for text in distinct} for seen in found]


def _recalled(answers: Answers, texts: Sequence[Tokens], watched: Watched) -> dict[Tokens, Seen]:
    arrays = answers.remembered.recall_arrays(watched.doing, [_key(text) for text in texts])
    return {
        text: Seen(array[1 : len(text) + 1], array[len(text) + 1 :], float(array[0]))
        for text, array in zip(texts, arrays, strict=True)
        if array is not None
    }


def _key(text: Tokens) -> bytes:
    return hashed(repr(text))


def _runs(
    engine: Engine, texts: Sequence[Tokens], watched: Sequence[Watched]
) -> Iterator[tuple[list[Tokens], list[list[Seen]]]]:
    """Some texts of one length at a time, with what is seen in each, by what is watched."""
    by_length: dict[int, list[Tokens]] = defaultdict(list)
    for text in texts:
        by_length[len(text)].append(text)
    for length, alike in sorted(by_length.items()):
        engine.see_length(length)
        size = engine.shape.plain_batch(len(alike), length, engine.memory.for_batch)
        run = partial(_run, engine, torch.tensor(alike), watched)
        for rows, seen in in_batches(torch.arange(len(alike)), size, run):
            yield [alike[row] for row in rows.tolist()], seen


def _run(engine: Engine, tokens: torch.Tensor, watched: Sequence[Watched], rows: torch.Tensor) -> list[list[Seen]]:
    """What is seen in each of some rows of texts of one length, by what is watched."""
    here, found = tokens[rows], dict[Watched, torch.Tensor]()
    hooks = [_keeping(engine, one, found) for one in watched]
    writes = [_write(engine, one, here) for one in watched if one.value is not None]
    with torch.inference_mode():
        hooks += [hook for write in writes for hook in write.hooks()]
        logits = engine.bridge.run_with_hooks(here.to(engine.bridge.cfg.device), fwd_hooks=hooks)
        top, which = logits.topk(2)
        sizes = logits.abs().flatten(1).max(1).values.tolist()
        margins = [
            (logits[..., one.token] - torch.where(which[..., 0] == one.token, top[..., 1], top[..., 0])).double().cpu()
            for one in watched
        ]
    if len(found) < len(set(watched)) or not all(map(math.isfinite, sizes)):
        raise NumericsError(f"the model's logits are NaN or infinite on these texts, or {hooks[0][0]} did not fire")
    return [
        [Seen(*seen) for seen in zip(found[one].numpy(), margin.numpy(), sizes, strict=True)]
        for one, margin in zip(watched, margins, strict=True)
    ]


def _keeping(engine: Engine, watched: Watched, found: dict[Watched, torch.Tensor]) -> Hook:
    """A hook that keeps a neuron's activation, or a feature's, as it is before anything is written."""
    neuron = watched.neuron
    name, activation_of = hook_name(neuron.layer, neuron.kind), _component(neuron)
    if neuron.traits.host:
        name = engine.attached.read_at(neuron.layer, neuron.kind)
        activation_of = partial(_feature, engine.attached.of(neuron.layer, neuron.kind), neuron.index)

    def keep(activation: torch.Tensor, hook: Any) -> None:
        found[watched] = activation_of(activation).double().cpu()

    return name, keep


def _write(engine: Engine, watched: Watched, tokens: torch.Tensor) -> Write:
    """The neuron at its value, at every token but BOS."""
    neuron = watched.neuron
    components = torch.zeros(len(tokens), engine.anatomy.layers[neuron.layer].count(neuron.kind), dtype=torch.bool)
    components[:, neuron.index] = True
    mask = torch.ones_like(tokens, dtype=torch.bool) if engine.bos is None else tokens != engine.bos
    value = watched.value
    return Write(
        hook_name(neuron.layer, neuron.kind), mask, components, lambda there: torch.full_like(there, value or 0.0)
    )


def _component(neuron: Site) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda activation: activation[..., neuron.index]


def _feature(dictionary: Dictionary, number: int, read: torch.Tensor) -> torch.Tensor:
    return dictionary.encode(read, [number])[..., 0]


def _new_positions(text: Tokens, known: dict[tuple[int, int], int]) -> list[bool]:
    """Which positions of a text no text before it has had behind the same beginning. ``known`` numbers beginnings by the one
    that is a token shorter, and the token."""
    new, beginning = [], -1
    for token in text:
        new.append((beginning, token) not in known)
        beginning = known.setdefault((beginning, token), len(known))
    return new
