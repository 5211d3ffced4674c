"""Where a run is taken up: at which block, with which stream, after which tokens' keys and values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from circuitcheck.engine.on_demand import torch


@dataclass(frozen=True)
class Part:
    """Keys and values of ``length`` tokens, by layer of shape [prompt, head, position, width]; ``index`` says which
    prompt each row has."""

    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]
    index: torch.Tensor
    length: int


@dataclass(frozen=True)
class Past:
    """The keys and values of all tokens before those that are run."""

    parts: tuple[Part, ...] = ()

    @property
    def length(self) -> int:
        return sum(part.length for part in self.parts)


@dataclass
class Fork:
    """Where a run is taken up: at block ``first`` with ``stream`` (None: from the embedding), behind ``past``.

    ``replaced`` puts a function in the place of a module of the bridge; blocks from ``stop`` on are passed over.
    ``kept`` receives the new keys and values of each layer that is run; ``growing``, instead of ``past``, is a cache to go on from, which
    they are added to; ``has_gradient``: what is computed may be gone back through.
    """

    past: Past = field(default_factory=Past)
    first: int = 0
    stop: int | None = None
    stream: torch.Tensor | None = None
    replaced: "Mapping[Any, Callable[..., Any]]" = field(default_factory=dict)
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = None
    growing: Any = None
    has_gradient: bool = False
