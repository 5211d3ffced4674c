"""How well dictionaries fit: what they explain at each pair's tokens, with how many features, and what the model loses by what they do not.

The BOS token is left out: what is there is the same in every prompt, and often larger than all else.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.hooks.attached import Attached
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.hooks.writes import Hook
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats

# Directions that are drawn at once.
_BLOCK = 4096


@dataclass(frozen=True)
class Directions:
    """What a dictionary is compared with: at each token as many directions as it has active features there, those that explain most one by
    one, and all that lies in what they span. Random ones, as many as there are features (``seed``); or the axes of the stream."""

    seed: int | None = None

    def __str__(self) -> str:
        return "the stream's axes" if self.seed is None else f"random directions {self.seed}"

    def explained(self, vectors: torch.Tensor, counts: torch.Tensor, n: int) -> torch.Tensor:
        """Of each vector [token, width] the square of what the first ``counts`` [token] of its best directions, of ``n``, explain."""
        width, most = vectors.shape[1], int(counts.max())
        if self.seed is None:
            squares = vectors.square().sort(dim=1, descending=True).values
            return _up_to(squares, counts)
        chosen = self._best(vectors, n, min(most, width, n))
        basis = torch.linalg.qr(
            chosen.transpose(1, 2)
        ).Q  # of shape [token, width, direction]: the first k span what the first k do
        return _up_to(torch.einsum("tw,twk->tk", vectors, basis).square(), counts)

    def _best(self, vectors: torch.Tensor, n: int, most: int) -> torch.Tensor:
        """The ``most`` best of ``n`` random directions for each vector, best first; of shape [token, direction, width]."""
        chance = torch.Generator().manual_seed(self.seed or 0)
        sizes, best = vectors.new_zeros(len(vectors), 0), vectors.new_zeros(len(vectors), 0, vectors.shape[1])
        for start in range(0, n, _BLOCK):
            drawn = torch.randn(min(_BLOCK, n - start), vectors.shape[1], generator=chance).to(vectors)
            drawn /= drawn.norm(dim=1, keepdim=True)
            found = (vectors @ drawn.T).abs().topk(min(most, len(drawn)), dim=1)
            sizes = torch.cat([sizes, found.values], 1)
            order = sizes.topk(min(most, sizes.shape[1]), dim=1)
            sizes = order.values
            best = torch.cat([best, drawn[found.indices]], 1).gather(
                1, order.indices[..., None].expand(-1, -1, drawn.shape[1])
            )
        return best


def fit(
    answers: Answers, sample: Sample, ruler: Sample, layer: int, kind: str, digest: str, against: Directions | None
) -> "Floats":
    """Of each pair's clean prompt, of shape [pair, 4]: tokens; the squares of what is there, less its mean over the ``ruler``'s prompts; of
    what is not explained (``against`` None: by the dictionary); active features."""
    center = _mean(answers, ruler, layer, kind)

    def look(chunk: Chunk) -> "Floats":
        engine = answers.engine
        attached, kept = engine.attached, _counted(engine, chunk)
        dictionary = attached.of(layer, kind)
        read = attached.read(engine.runner, chunk, "clean", layer, kind, 0)
        there = engine.runner.activation(chunk, "clean", layer, KINDS[kind].host, 0).to(dictionary.decoder)
        with torch.inference_mode():
            features = dictionary.encode(read)
            counts = (features > 0).sum(-1)
            vectors = there - torch.tensor(center).to(there)
            whole = vectors.square().sum(-1)
            if against is None:
                left = (there - dictionary.decode(features, read)).square().sum(-1)
            else:
                best = against.explained(vectors.flatten(0, 1), counts.flatten(), dictionary.n_features)
                left = whole - best.reshape(whole.shape)
        columns = [torch.ones_like(whole), whole, left, counts.to(whole)]
        found: Floats = torch.stack([(one * kept).double().sum(1) for one in columns], 1).cpu().numpy()
        return found

    return answers.looked_at(sample, ("dictionary", layer, kind, digest, str(against or ""), ruler.identity), look)


def losses(answers: Answers, sample: Sample, layer: int, kind: str, digest: str) -> "Floats":
    """The mean loss of each pair's clean prompt in nats, of shape [pair, 3]: as it is; with what the dictionary makes of a site in its place;
    with zero there."""

    def look(chunk: Chunk) -> "Floats":
        engine = answers.engine
        tokens, kept = chunk.tokens("clean"), _counted(engine, chunk)
        size = engine.shape.plain_batch(
            len(tokens), chunk.length_of("clean"), engine.memory.for_batch, chunk.length_of("clean")
        )

        def run(rows: torch.Tensor) -> torch.Tensor:
            ways = (
                (),
                _replaced(engine.attached, layer, kind, kept[rows], False),
                _replaced(engine.attached, layer, kind, kept[rows], True),
            )
            return torch.stack([_loss(engine.plain.logits(tokens[rows], hooks), tokens[rows]) for hooks in ways], 1)

        found: Floats = torch.cat([one for _, one in in_batches(torch.arange(len(tokens)), size, run)]).cpu().numpy()
        return found

    return answers.looked_at(sample, ("dictionary losses", layer, kind, digest), look)


def alive(answers: Answers, sample: Sample, layer: int, kind: str, digest: str) -> "Booleans":
    """Which features are active at any token of the clean prompts, of shape [feature]."""
    doing = ("active features", layer, kind, digest)
    found = answers.worked_out(doing, lambda: _alive(answers, sample, layer, kind), bytes.fromhex(sample.identity))
    return found > 0


def _alive(answers: Answers, sample: Sample, layer: int, kind: str) -> "Floats":
    found: Booleans | None = None
    with answers.question():
        engine = answers.engine
        for chunk in engine.chunks(sample):
            features = engine.attached.activation(
                engine.runner, chunk, "clean", layer, f"{KINDS[kind].host}.F", 0, None
            )
            here = ((features > 0) & _counted(engine, chunk).bool()[..., None]).flatten(0, 1).any(0).cpu().numpy()
            found = here if found is None else found | here
    if found is None:
        raise AssertionError("a sample has pairs")
    return found.astype(float)


def nearest(ours: torch.Tensor, theirs: torch.Tensor) -> "Floats":
    """The largest cosine of each direction [direction, width] with another dictionary's, of shape [direction]."""
    with torch.inference_mode():
        others = theirs / theirs.norm(dim=1, keepdim=True).clamp(min=1e-12)
        found = [
            (one.to(others) @ others.T).max(1).values / one.to(others).norm(dim=1).clamp(min=1e-12)
            for one in torch.split(ours, _BLOCK)
        ]
    cosines: Floats = torch.cat(found).double().cpu().numpy()
    return cosines


def _mean(answers: Answers, sample: Sample, layer: int, kind: str) -> "Floats":
    """The mean of what is there over the tokens of a sample's prompts, of shape [width]."""

    def look(chunk: Chunk) -> "Floats":
        engine = answers.engine
        kept = _counted(engine, chunk)[..., None]
        there = engine.runner.activation(chunk, "clean", layer, KINDS[kind].host, 0).double() * kept
        found: Floats = torch.cat([there.sum(1), kept.sum(1).double()], 1).cpu().numpy()
        return found

    sums = answers.looked_at(sample, ("sum", layer, KINDS[kind].host), look).sum(0)
    mean: Floats = sums[:-1] / max(sums[-1], 1.0)
    return mean


def _counted(engine: Engine, chunk: Chunk) -> torch.Tensor:
    """1 at tokens that count, of shape [pair, position]."""
    tokens = chunk.tokens("clean")
    kept = torch.ones(tokens.shape, dtype=torch.float32)
    if engine.bos is not None and tokens.shape[1] > 1:
        kept[:, 0] = (tokens[:, 0] != engine.bos).float()
    return kept.to(engine.bridge.cfg.device)


def _replaced(attached: Attached, layer: int, kind: str, kept: torch.Tensor, by_zero: bool) -> list[Hook]:
    dictionary, seen = attached.of(layer, kind), dict[str, torch.Tensor]()
    read_at, site = attached.read_at(layer, kind), hook_name(layer, kind)

    def keep(activation: torch.Tensor, hook: Any) -> None:
        seen["read"] = activation

    def put(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        read = seen.get("read", activation)
        made = (
            torch.zeros_like(activation) if by_zero else dictionary.decode(dictionary.encode(read), read).to(activation)
        )
        return activation.copy_(torch.where(kept.bool()[..., None], made, activation))

    return [(read_at, keep)] * (read_at != site) + [(site, put)]


def _loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The mean of what each next token is unexpected by, of shape [row]."""
    said = logits[:, :-1].double().log_softmax(-1)
    return -said.gather(-1, tokens[:, 1:, None].to(said.device)).squeeze(-1).mean(1)


def _up_to(squares: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The sum of the first ``counts`` [token] of squares [token, direction]."""
    places = torch.arange(squares.shape[1], device=squares.device)
    return (squares * (places < counts[:, None])).sum(1)
