"""What heads copy by their weights, and what they attend to in plain sequences of tokens."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.checking.real_text import ordinary_tokens
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.reading.weights import readable
from circuitcheck.errors import MethodError, NumericsError
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.texts import hashed

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# What folding in single precision may do to a weight, as a share of a matrix' size.
_ROUNDING = 1e-6
# Tokens whose vectors are in double precision at once.
_TOKENS = 4096


@dataclass(frozen=True)
class Attended:
    """Of one sequence, for each head of the layers that have any, in the order of layers; both of shape [head]: the mean attention from
    each token to the one before it, and from each token that stood there before to those that followed it then (nan where none did)."""

    previous: "Floats"
    prefix: "Floats"


def copying_scores(bridge: Any, layers: Sequence[int]) -> "Floats":
    """The sum of the eigenvalues of every head's OV circuit, from token to logit, over the sum of their sizes; and by how much rounding
    puts it in doubt. Of shape [2, head of those layers]. Raises ``MethodError`` where weights cannot be read."""
    both, scores = _unembedded(bridge), list[tuple[float, float]]()
    for layer in layers:
        values, _, output = _matrices(bridge, layer)
        scores += [_copying(output[head] @ both @ values[head]) for head in range(len(output))]
    return np.array(scores).T


def _unembedded(bridge: Any) -> torch.Tensor:
    """What the unembedding makes of what the embedding gives, of shape [d_model, d_model]: summed over tokens."""
    embedding, unembedding = (
        readable("the embedding", lambda: bridge.W_E),
        readable("the unembedding", lambda: bridge.W_U),
    )
    total = torch.zeros(unembedding.shape[0], embedding.shape[1], dtype=torch.double)
    for start in range(0, len(embedding), _TOKENS):
        some = slice(start, start + _TOKENS)
        total += unembedding[:, some].double().cpu() @ embedding[some].double().cpu()
    return total


def _copying(circuit: torch.Tensor) -> tuple[float, float]:
    """Of a matrix with the eigenvalues of an OV circuit (but those that are 0)."""
    eigenvalues, vectors = np.linalg.eig(circuit.numpy())
    size = float(np.abs(eigenvalues).sum())
    if not size:
        return 0.0, 0.0
    # Bauer & Fike: no eigenvalue moves further than the perturbation times the condition of the eigenvectors.
    moved = _ROUNDING * float(np.linalg.norm(circuit.numpy(), 2)) * float(np.linalg.cond(vectors)) * len(circuit)
    return float(np.trace(circuit.numpy())) / size, min(2.0, 2 * moved / size)


def _matrices(bridge: Any, layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What makes each head's values of the stream, with what is added to them, and what writes these: of shapes [head, d_model, d_head],
    [head, d_head] and [head, d_head, d_model]. Heads that share values have them each."""
    attention, cfg = bridge.blocks[layer].attn, bridge.cfg
    output = readable(f"the output weights of L{layer}.ATTN", lambda: attention.W_O).double().cpu()
    values = readable(f"the value weights of L{layer}.ATTN", lambda: attention.W_V).double().cpu()
    width = int(cfg.d_model)
    output = output.reshape(-1, output.shape[-2] if output.dim() == 3 else int(cfg.d_head), width)
    values = values if values.dim() == 3 else values.reshape(width, -1, output.shape[1]).transpose(0, 1)
    if values.shape[1:] != (width, output.shape[1]) or len(output) % len(values):
        raise MethodError(
            f"the value weights of L{layer}.ATTN have the shape {tuple(values.shape)}, which is not that of heads"
        )
    bias = getattr(attention, "b_V", None)
    biases = torch.zeros(values[:, 0].shape) if bias is None else bias.detach().reshape(len(values), -1)
    shared = len(output) // len(values)
    return values.repeat_interleave(shared, 0), biases.double().cpu().repeat_interleave(shared, 0), output


def ranks_of_copies(engine: Engine, head: Site, tokens: Sequence[int], front: Tokens) -> "tuple[Floats, Floats]":
    """For each token, behind ``front``, its place among all tokens by what a head writes of it, as if it attended to that token alone; and how
    many tokens stand as high as it to within rounding. The head reads the stream after the first block. Both of shape [token]."""
    bridge = engine.bridge
    block, streams = bridge.blocks[head.layer], list[torch.Tensor]()
    hook = (hook_name(0, "RESID_POST"), lambda activation, hook: streams.append(activation[:, -1:].clone()))
    texts = torch.tensor([[*front, token] for token in tokens])
    size = engine.shape.plain_batch(len(texts), texts.shape[1], engine.memory.for_batch)
    values, bias, output = (one[head.index] for one in _matrices(bridge, head.layer))
    ranks, near = [], []
    engine.see_length(texts.shape[1])
    for rows, _ in in_batches(torch.arange(len(texts)), size, lambda some: engine.plain.logits(texts[some], [hook])):
        with torch.inference_mode():
            normed = block.ln1(streams.pop()).double().cpu()
            written = (normed @ values + bias) @ output
            logits = bridge.unembed(bridge.ln_final(written.to(bridge.W_E))).double().cpu()[:, 0]
        own = logits.gather(1, texts[rows, -1:])
        above, reach = logits - own, 2 * engine.rounding * logits.abs().amax(1, keepdim=True)
        ranks.append(1 + (above > 0).sum(1))
        near.append((above.abs() <= reach).sum(1) - 1)
    return torch.cat(ranks).double().numpy(), torch.cat(near).double().numpy()


def attended(answers: Answers, sequences: Sequence[Tokens], layers: Sequence[int]) -> list[Attended]:
    """What the heads of some layers attend to in each sequence, in plain runs."""
    doing, keys = ("attended", tuple(layers)), [hashed(repr(one)) for one in sequences]
    with answers.question():
        found = answers.remembered.recall_arrays(doing, keys)
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, sequence in enumerate(sequences):
            if found[place] is None:
                by_length[len(sequence)].append(place)
        for length, places in sorted(by_length.items()):
            engine = answers.engine
            run = partial(_looked, engine, torch.tensor([sequences[place] for place in places]), layers)
            engine.see_length(length)
            size = engine.shape.plain_batch(len(places), length, engine.memory.for_batch)
            for rows, seen in in_batches(torch.arange(len(places)), size, run):
                for row, array in zip(rows.tolist(), seen, strict=True):
                    found[places[row]] = array
                    answers.remembered.keep_arrays(doing, [(keys[places[row]], array)])
    halves = (np.split(one, 2) for one in found if one is not None)
    return [Attended(previous, np.where(prefix < 0, np.nan, prefix)) for previous, prefix in halves]


def _looked(engine: Engine, sequences: torch.Tensor, layers: Sequence[int], rows: torch.Tensor) -> "list[Floats]":
    """Of each of some sequences what ``Attended`` has of it, one behind the other; -1 where no token stood there before."""
    tokens = sequences[rows]
    before = torch.zeros(len(tokens), tokens.shape[1], tokens.shape[1])
    # A token attends to those that followed its earlier places.
    followed = torch.tril(tokens[:, :, None] == tokens[:, None, :-1], -1).to(before)
    before[:, :, 1:] = followed
    again = before.sum(2) > 0
    found: dict[str, list[torch.Tensor]] = {}

    def look(pattern: torch.Tensor, hook: Any) -> None:
        pattern = pattern.double().cpu()
        previous = pattern.diagonal(-1, 2, 3).mean(2)
        paid = (pattern * before[:, None]).sum(3)
        prefix = (paid * again[:, None]).sum(2) / again.sum(1, keepdim=True)
        found[hook.name] = [previous, torch.where(again.any(1, keepdim=True), prefix, -1.0)]

    names = [hook_name(layer, "H.PATTERN") for layer in layers]
    logits = engine.plain.logits(tokens, [(name, look) for name in names])
    if silent := [name for name in names if name not in found]:
        raise MethodError(f"the hook {silent[0]} did not fire: attention patterns are not to be seen in this model")
    if not bool(logits.isfinite().all()):
        raise NumericsError("the model's logits are NaN or infinite on these sequences")
    both = [torch.cat([found[name][which] for name in names], 1) for which in (0, 1)]
    return list(torch.cat(both, 1).numpy())


def random_sequences(bridge: Any, count: int, length: int, front: Callable[[Tokens], Tokens]) -> list[Tokens]:
    """Sequences of so many ordinary tokens that differ, drawn with a fixed seed, each said twice; with what goes in front of text."""
    usable = ordinary_tokens(bridge.tokenizer, int(bridge.cfg.d_vocab))
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(count):
        once = tuple(usable[torch.randperm(len(usable), generator=draw)[:length]].tolist())
        found.append((*front(once * 2), *once * 2))
    return found
