"""The dictionaries that are attached to a model: what their features and errors are, in its runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.on_demand import torch
from circuitcheck.prompts.pairs import Side

# What an MLP reads.
MLP_INPUT = "blocks.{}.ln2.hook_out"


class Runner(Protocol):
    """Whatever runs a model, and has what is at its sites."""

    def activation(self, chunk: Chunk, side: Side, layer: int, kind: str, start: int) -> torch.Tensor:
        """The activation at a kind of site, of shape [pair, position, ...]."""


class Attached:
    """Dictionaries by layer and the kind of site at which they are attached."""

    def __init__(self, bridge: Any, dictionaries: Mapping[tuple[int, str], Dictionary]):
        self.bridge, self.dictionaries = bridge, dict(dictionaries)

    def of(self, layer: int, kind: str) -> Dictionary:
        """The dictionary whose features or error a kind of site is."""
        return self.dictionaries[layer, KINDS[kind].host]

    def read_at(self, layer: int, kind: str) -> str:
        """The hook point of what a dictionary reads."""
        return MLP_INPUT.format(layer) if self.of(layer, kind).is_transcoder else hook_name(layer, kind)

    def read(self, runner: Runner, chunk: Chunk, side: Side, layer: int, kind: str, start: int) -> torch.Tensor:
        """What a dictionary reads in a chunk's unchanged runs, of shape [pair, position, width]."""
        if not self.of(layer, kind).is_transcoder:
            return runner.activation(chunk, side, layer, KINDS[kind].host, start)
        with torch.inference_mode():
            stream = runner.activation(chunk, side, layer, "RESID_MID", start)
            found: torch.Tensor = self.bridge.blocks[layer].ln2(stream)
            return found

    def activation(
        self,
        runner: Runner,
        chunk: Chunk,
        side: Side,
        layer: int,
        kind: str,
        start: int,
        chosen: Sequence[int] | None,
    ) -> torch.Tensor:
        """Features (the ``chosen`` ones) or the error in a chunk's unchanged runs, of shape [pair, position, feature or width]."""
        read = self.read(runner, chunk, side, layer, kind, start)
        whole = read
        if chosen is None and self.of(layer, kind).is_transcoder:
            whole = runner.activation(chunk, side, layer, KINDS[kind].host, start)
        return self.made(layer, kind, whole, read, chosen)

    def made(
        self, layer: int, kind: str, whole: torch.Tensor, read: torch.Tensor, chosen: Sequence[int] | None
    ) -> torch.Tensor:
        """The same where the dictionary reads ``read``, and ``whole`` is at its site."""
        dictionary = self.of(layer, kind)
        with torch.inference_mode():
            if KINDS[kind].numbered:
                return dictionary.encode(read, chosen)
            return whole.to(dictionary.decoder) - dictionary.decode(dictionary.encode(read), read)
