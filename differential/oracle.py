"""The oracle: a model as transformers loads it, intervened on with PyTorch's own hooks alone.

    plain = Plain(folder, torch.float32)
    plain.patched(Part(1, "H", 2), into=corrupt, source=clean)    # logits [prompt, token] at the last position

Nothing of circuitcheck or TransformerLens is used. Where things are is found by ``differential.places``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers.models.auto import AutoModelForCausalLM

LOGITS = "LOGITS"


@dataclass(frozen=True)
class Part:
    """A part of a model: of a ``layer``, its stream (RESID_PRE, RESID_MID, RESID_POST), a sublayer (ATTN, MLP), a head (H), a
    head's query, key, value or pattern (Q, K, V, PATTERN), a neuron (N); ``position`` counts from the end (None: all)."""

    layer: int
    kind: str
    index: int = -1
    position: int | None = None


@dataclass(frozen=True)
class Place:
    """What goes into a module ("input"), or comes out of it ("output"), times a ``factor``. ``in_place``: written into the very
    tensor, which others read too."""

    module: str
    end: str
    factor: float = 1.0
    in_place: bool = False


@dataclass(frozen=True)
class Entries:
    """Some columns of what is at a place; None for all."""

    place: Place
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Put:
    """Values [prompt, position, column] that are put at entries, at one position or all."""

    entries: Entries
    values: torch.Tensor
    position: int | None = None


@dataclass
class Seen:
    """A run: logits [prompt, token] at the last position, and what was at places before anything was put there."""

    logits: torch.Tensor
    values: dict[Place, torch.Tensor] = field(default_factory=dict)

    def at(self, entries: Entries) -> torch.Tensor:
        found = self.values[entries.place]
        return found if entries.columns is None else found[..., list(entries.columns)]


# What is done with what is at a place [prompt, position, column]: it gives what is put there, None where nothing is.
Change = Callable[[torch.Tensor], torch.Tensor | None]


class NotShown(Exception):
    """What the modules of an architecture do not show."""


class Plain:
    """A model as transformers loads it, and where its parts are (``where``; see ``differential.places``)."""

    def __init__(self, folder: Path, dtype: torch.dtype, where: "Mapping[Part, Entries] | None" = None):
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
        self.modules: dict[str, Any] = dict(self.model.named_modules())
        self.where = where or {}
        self._base: dict[tuple[int, ...], Seen] = {}

    def entries(self, part: Part) -> Entries:
        """Where a part is; raises ``NotShown``."""
        try:
            return self.where[Part(part.layer, part.kind, part.index)]
        except KeyError:
            raise NotShown(f"no module of layer {part.layer} shows {part.kind}") from None

    def base(self, tokens: torch.Tensor) -> Seen:
        """The unchanged run of prompts [prompt, position]."""
        key = tuple(tokens.flatten().tolist())
        if key not in self._base:
            self._base[key] = self.run(tokens)
        return self._base[key]

    def forget(self) -> None:
        """Forget what was run: the weights have changed."""
        self._base.clear()

    def run(self, tokens: torch.Tensor, puts: Sequence[Put] = ()) -> Seen:
        """A run with values put at some places."""
        seen = Seen(torch.empty(0))
        places = {one.place for one in self.where.values()} | {put.entries.place for put in puts}
        with hooked(self.modules, {place: _look(place, seen, puts) for place in places}, tokens.shape), torch.no_grad():
            seen.logits = self.model(tokens, use_cache=False).logits[:, -1]
        return seen

    def patched(self, part: Part, into: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Logits where a part has, in a run of the prompts ``into``, what it has in that of ``source``."""
        return self.run(into, self.putting(part, self.value(part, into, source))).logits

    def replaced(self, part: Part, tokens: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Logits where a part has a value (of a shape that can be broadcast to its own)."""
        here = self.base(tokens).at(self.entries(part))
        return self.run(tokens, self.putting(part, value.to(here).expand_as(here))).logits

    def mean(self, part: Part, prompts: torch.Tensor) -> torch.Tensor:
        """The mean over prompts [prompt, position] of what is at each position, of shape [position, column]."""
        return self.base(prompts).at(self.entries(part)).double().mean(0)

    def value(self, part: Part, into: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """What is put at a part, where the runs are of the prompts ``into`` and ``source``."""
        entries = self.entries(part)
        if part.kind != "PATTERN":
            return self.base(source).at(entries)
        # A pattern is written as what it makes of the values: the head's output.
        return self.pattern(source, part.layer)[:, part.index] @ self.base(into).at(self.entries(_value_of(part)))

    def putting(self, part: Part, value: torch.Tensor) -> list[Put]:
        part = Part(part.layer, "H", part.index, part.position) if part.kind == "PATTERN" else part
        return [Put(self.entries(part), value, part.position)]

    def along(self, path: Sequence[Part], into: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Logits where the end of a path has what arrives there: all other parts are put back to the run of ``into``, step
        by step along the path."""
        value = self.value(path[0], into, source)
        for part, reader in pairwise(path):
            seen = self.run(into, [*self._frozen(part, into), *self.putting(part, value)])
            if reader.kind == LOGITS:
                return seen.logits
            value = seen.at(self.entries(reader))
        return self.run(into, self.putting(path[-1], value)).logits

    def _frozen(self, moving: Part, tokens: torch.Tensor) -> list[Put]:
        """All sublayers put back to the unchanged run; in that of the part which moves, its other heads or neurons."""
        base, free = self.base(tokens), self._free(moving)
        inside = "N" if moving.kind == "N" else "H"
        frozen = [
            entries
            for part, entries in self.where.items()
            if part not in free
            and (part.kind in ("ATTN", "MLP", "MIXER") or (part.layer, part.kind) == (moving.layer, inside))
        ]
        return [Put(entries, base.at(entries)) for entries in frozen]

    def _free(self, moving: Part) -> set[Part]:
        """What moves with a part: the sublayer that it is in, and of a head's parts the heads that read it."""
        layer, index = moving.layer, moving.index
        n_heads = len([part for part in self.where if part.layer == layer and part.kind == "H"])
        if moving.kind == "N":
            return {Part(layer, "MLP"), Part(layer, "N", index)}
        if index < 0:
            return {Part(layer, moving.kind), *(Part(layer, "H", head) for head in range(n_heads))}
        count = len(
            [part for part in self.where if part.layer == layer and part.kind == moving.kind and part.index >= 0]
        )
        heads = [head for head in range(n_heads) if head * count // n_heads == index]
        return {Part(layer, "ATTN"), *(Part(layer, "H", head) for head in heads)}

    def pattern(self, tokens: torch.Tensor, layer: int) -> torch.Tensor:
        """The attention pattern of a layer, of shape [prompt, head, position, attended position]."""
        attention = self.where[Part(layer, "PATTERN")].place.module
        found: list[torch.Tensor] = []

        def look(module: Any, given: Any, output: Any) -> None:
            found.extend(one for one in output if isinstance(one, torch.Tensor) and one.dim() == 4)

        handle = self.modules[attention].register_forward_hook(look)
        with torch.no_grad():
            self.model(tokens, use_cache=False)
        handle.remove()
        return found[0]


def _value_of(pattern: Part) -> Part:
    return Part(pattern.layer, "V of head", pattern.index)


def _look(place: Place, seen: Seen, puts: Sequence[Put]) -> Change:
    """What is at a place is seen, and then written."""
    here = [put for put in puts if put.entries.place == place]

    def look(value: torch.Tensor) -> torch.Tensor | None:
        seen.values[place] = value.clone()
        value = value.clone()
        for put in here:
            columns = slice(None) if put.entries.columns is None else list(put.entries.columns)
            positions = slice(None) if put.position is None else [put.position]
            there = value[:, positions]
            there[..., columns] = put.values[:, positions].to(value)
            value[:, positions] = there
        return value if here else None

    return look


@contextmanager
def hooked(modules: Mapping[str, Any], changes: Mapping[Place, Change], shape: Sequence[int]) -> Iterator[None]:
    """PyTorch's hooks on modules, for prompts of some shape [prompt, position, ...]."""
    handles = []
    for place, change in changes.items():
        hook = _Hook(place, change, (shape[0], shape[1], -1))
        module = modules[place.module]
        if place.end == "input":
            handles.append(module.register_forward_pre_hook(hook.before, with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(hook.after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class _Hook:
    place: Place
    change: Change
    shape: tuple[int, int, int]

    def before(self, module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        if given:
            return (self._changed(given[0]), *given[1:]), named
        name = next(name for name in named if isinstance(named[name], torch.Tensor))
        return given, {**named, name: self._changed(named[name])}

    def after(self, module: Any, given: Any, output: Any) -> Any:
        if isinstance(output, tuple | list):
            return type(output)([self._changed(output[0]), *output[1:]])
        return self._changed(output)

    def _changed(self, tensor: torch.Tensor) -> torch.Tensor:
        value = tensor.reshape(self.shape)
        changed = self.change(value * self.place.factor)
        if changed is None:
            return tensor
        changed = (changed / self.place.factor).reshape(tensor.shape)
        return tensor.copy_(changed) if self.place.in_place else changed
