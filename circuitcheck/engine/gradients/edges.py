"""Edge attribution patching: what patching one edge alone would shift, to first order, for all edges at once.

scores = edge_attributions(answers, sample, senders, receivers, "corrupt", readout)
scores.shape    # (sender, receiver); nan where the receiver reads before the sender writes

The change in what a sender writes into the stream, times the slope of the readout by what its receiver reads there alone (Syed et
al. 2023); with several steps, the mean of that slope over runs between the two prompts (Hanna et al. 2024).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import LOGITS, is_part
from circuitcheck.addresses.sites import Site, read, written
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.gradients.attribution import check_slope
from circuitcheck.engine.gradients.runs import EMBEDDING, MIDDLE, Gradients, logits_of, slope_of
from circuitcheck.engine.graphs.streams import reading_point
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.hooks.outputs import written_by
from circuitcheck.engine.hooks.writes import Hook
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.functions import NO_GRADIENT
from circuitcheck.engine.readouts.named import Reading, Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.forced import branches_of
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import weights_of

if TYPE_CHECKING:
    from circuitcheck.types import Floats


def edge_attributions(
    answers: Answers,
    sample: Sample,
    senders: Sequence[Site],
    receivers: Sequence[Site],
    into: Side,
    readout: Readout,
    steps: int = 1,
) -> "Floats":
    """What each edge brings back (or, into the clean run, takes away) to first order, in the mean over the pairs; of shape
    [sender, receiver]. Senders are heads and sublayers, receivers parts of heads, MLPs and LOGITS. Raises ``MethodError`` for pairs
    that differ in their number of tokens, and where what components write is normalised before it comes into the stream."""
    check_slope(readout, into, steps)
    doing = ("edge attributions", tuple(senders), tuple(receivers), into, readout, steps)

    def make() -> "Floats":
        return _edge_attributions(answers, sample, senders, receivers, into, readout, steps)

    return answers.worked_out(doing, make, bytes.fromhex(sample.identity))


def _edge_attributions(
    answers: Answers,
    sample: Sample,
    senders: Sequence[Site],
    receivers: Sequence[Site],
    into: Side,
    readout: Readout,
    steps: int,
) -> "Floats":
    with answers.question():
        engine = answers.engine
        if number := next((n for n, layer in enumerate(engine.anatomy.layers) if layer.post_norm), None):
            raise MethodError(
                f"edges cannot be attributed in this model: L{number} normalises what its sublayers write before it comes into the stream"
            )
        if branches_of(sample) is not None:
            raise MethodError("edges are attributed where answers have one token each")
        given = weights_of(sample.pairs)
        weights = np.ones(len(sample.pairs)) if given is None else given
        weights = weights / weights.sum()
        scores = torch.zeros(len(senders), len(receivers), dtype=torch.float64)
        for chunk in engine.chunks(sample):
            if not chunk.is_aligned:
                raise MethodError(
                    "edges are attributed token by token, and these pairs differ in their number of tokens"
                )
            here = torch.tensor(weights[list(chunk.rows)])
            run = _Run(
                engine, chunk, engine.reading(readout, chunk), here, tuple(senders), tuple(receivers), into, steps
            )
            size = engine.shape.gradient_batch(chunk.length, chunk.read, engine.memory.for_batch)
            sent = engine.shape.itemsize * len(senders) * chunk.length * engine.shape.d_model
            size = max(1, min(size, engine.memory.for_batch // sent))
            for which, found in in_batches(torch.arange(len(chunk.pairs)), size, run.scores):
                scores += found
                engine.progress("edges", int(which[-1]) + 1, len(chunk.pairs))
    heard = [[written(sender) < _reads(receiver, engine.anatomy) for receiver in receivers] for sender in senders]
    return np.where(np.array(heard), scores.numpy() * (1 if into == "corrupt" else -1), np.nan)


def _reads(receiver: Site, anatomy: Anatomy) -> tuple[int, int]:
    """When a receiver reads the stream, as ``written`` says when a sender writes into it."""
    layer, after = read(receiver, anatomy.n_layers)
    return layer, 0 if receiver.kind == "MLP" and anatomy.layers[layer].parallel else after


@dataclass(frozen=True)
class _Run:
    """The runs of some pairs of a chunk, with each pair's weight."""

    engine: Engine
    chunk: Chunk
    reading: Reading
    weights: torch.Tensor
    senders: tuple[Site, ...]
    receivers: tuple[Site, ...]
    into: Side
    steps: int

    def scores(self, which: torch.Tensor) -> torch.Tensor:
        """The sum over the pairs ``which``, of shape [sender, receiver]."""
        found = torch.zeros(len(self.senders), len(self.receivers), dtype=torch.float64)
        with torch.inference_mode(False):
            hooks = [hook_name(sender.layer, sender.kind) for sender in self.senders]
            gradients = Gradients(self.engine, self.reading.readout, self.into, self.steps)
            changes, embeddings = gradients.between(self.chunk, list(dict.fromkeys(hooks)), which)
            sent = torch.stack(
                [
                    written_by(self.engine.bridge.blocks[sender.layer], sender, changes[hook])
                    for sender, hook in zip(self.senders, hooks, strict=True)
                ]
            ).flatten(2)
            weights = self.weights[which].to(sent)[:, None, None] / len(embeddings)
            for embedding in embeddings:
                for numbers, slopes in self._slopes(which, embedding):
                    weighted = (slopes * weights).flatten(2)  # of shape [receiver, row, position and width]
                    found[:, numbers] += torch.einsum("srx,vrx->sv", sent, weighted).double().cpu()
        return found

    def _slopes(self, which: torch.Tensor, embedding: torch.Tensor | None) -> Iterator[tuple[list[int], torch.Tensor]]:
        """How the readout changes with what receivers read, each by itself: some receivers' numbers, and the slopes
        [receiver, row, position, d_model]."""
        by_layer: dict[int, list[int]] = defaultdict(list)
        for number, receiver in enumerate(self.receivers):
            by_layer[receiver.layer if receiver.kind != LOGITS else self.engine.anatomy.n_layers].append(number)
        watch = _Watch(embedding)
        outputs = {receiver: self._output(receiver) for receiver in self.receivers}
        points = {receiver: self._point(receiver) for receiver in self.receivers}
        hooks = [watch.at(name) for name in dict.fromkeys([*points.values(), *outputs.values()])]
        with torch.enable_grad():
            tokens = self.chunk.tokens(self.into)[which]
            logits = logits_of(self.engine.bridge, tokens, [watch.embedding, *hooks], self.chunk.read)
            value = slope_of(logits, self.reading, which)
            if not value.requires_grad:
                raise MethodError(f"{self.reading.readout} {NO_GRADIENT}")
            names = list(dict.fromkeys(outputs.values()))
            slopes = torch.autograd.grad(value.sum(), [watch.added[name] for name in names], retain_graph=True)
            by_output = dict(zip(names, slopes, strict=True))
            for numbers in by_layer.values():
                found = []
                for receiver in (self.receivers[number] for number in numbers):
                    slope, point = by_output[outputs[receiver]], points[receiver]
                    if receiver.kind != LOGITS:
                        own = slope
                        if is_part(receiver.kind):
                            own = torch.zeros_like(slope)
                            own[:, :, receiver.index] = slope[:, :, receiver.index]
                        [slope] = torch.autograd.grad(
                            watch.there[outputs[receiver]], [watch.added[point]], own, retain_graph=True
                        )
                    found.append(slope.detach())
                yield numbers, torch.stack(found)

    def _output(self, receiver: Site) -> str:
        """The hook point of what a receiver makes of what it reads."""
        return self._point(receiver) if receiver.kind == LOGITS else hook_name(receiver.layer, receiver.kind)

    def _point(self, receiver: Site) -> str:
        """The hook point of the stream that a receiver reads."""
        if receiver.kind == LOGITS:
            return hook_name(self.engine.anatomy.n_layers - 1, "RESID_POST")
        return reading_point(receiver.layer, is_part(receiver.kind), self.engine.anatomy)


class _Watch:
    """Hooks that keep what is there, with its graph, and zeros that were added to it."""

    def __init__(self, embedding: torch.Tensor | None):
        self.there: dict[str, torch.Tensor] = {}
        self.added: dict[str, torch.Tensor] = {}
        self._embedding = embedding

    @property
    def embedding(self) -> Hook:
        def embed(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            start = activation if self._embedding is None else self._embedding
            return start.detach().clone().requires_grad_()

        return EMBEDDING, embed

    def at(self, name: str) -> Hook:
        def watch(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            self.added[name] = torch.zeros_like(activation).requires_grad_()
            in_place = name.endswith(MIDDLE)
            self.there[name] = activation.add_(self.added[name]) if in_place else activation + self.added[name]
            return self.there[name]

        return name, watch
