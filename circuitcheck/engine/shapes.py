"""The sizes of a model, and what they cost: arithmetic and memory of a run, by which batches are cut."""

from dataclasses import dataclass
from typing import Any

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.engine.memory import batch_size
from circuitcheck.engine.on_demand import torch

# Intermediate results that are alive at once while a block runs, in widths of the stream and of the MLP's hidden layer.
_STREAMS, _HIDDENS = 16, 8
# Those that are alive while a backward pass goes through all blocks, of each of them, with what is there in both runs.
_SLOPED_STREAMS, _SLOPED_HIDDENS = 32, 12
# Tokens that are enough in a batch with a backward pass, which is large by itself.
_SLOPED_TOKENS = 512
# Bytes of a logit that is read: as it comes, and in double precision with what a readout makes of it.
_READ = 8 * 6


@dataclass(frozen=True)
class Shape:
    """``past_width``: numbers that one token leaves as keys and values in one block; ``itemsize``: bytes of a number."""

    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    past_width: int
    itemsize: int
    device: str

    @property
    def kept_per_token(self) -> int:
        """Bytes that a base run keeps of one token."""
        return self.itemsize * ((self.n_layers + 1) * self.d_model + self.n_layers * self.past_width)

    def recorded_per_token(self, depth: int) -> int:
        """Bytes of what happens inside the blocks at one token, down to a depth: behind attention, before and behind the
        output projection of the feed-forward module."""
        streams, hiddens = {1: (3, 0), 2: (4, 1), 3: (6, 1)}[depth]
        return self.itemsize * self.n_layers * (streams * self.d_model + hiddens * self.d_mlp)

    def block_work(self) -> float:
        """Multiplications and additions of one block for one token."""
        return 2.0 * (2 * self.d_model**2 + self.d_model * self.past_width + 3 * self.d_model * self.d_mlp)

    def plain_batch(self, rows: int, tokens: int, budget: int, read: int = 1) -> int:
        """Rows of whole prompts in one batch, with the logits of every position, of which so many are read."""
        logits = (self.itemsize * tokens + _READ * read) * self.d_vocab
        fit = max(1, budget // max(1, logits))
        return min(fit, self.batch(rows, tokens, 0, 0, budget))

    def gradient_batch(self, tokens: int, read: int, budget: int) -> int:
        """Rows of whole prompts in one batch that a backward pass goes through, of whose last tokens ``read`` logits are read."""
        each = self.n_layers * (_SLOPED_STREAMS * self.d_model + _SLOPED_HIDDENS * self.d_mlp)
        fit = budget // (self.itemsize * tokens * each + 2 * _READ * read * self.d_vocab)
        return max(1, min(int(fit), _SLOPED_TOKENS // tokens))

    def batch(self, rows: int, tokens: int, past: int, first: int, budget: int, read: int = 0) -> int:
        """Rows of so many tokens in one batch, run from the block ``first`` on behind ``past`` tokens, of whose last one
        ``read`` logits are read."""
        work = tokens * max(1, self.n_layers - first) * self.block_work()
        alive = tokens * (_STREAMS * self.d_model + _HIDDENS * self.d_mlp)
        memory = self.itemsize * (alive + 2 * (past + tokens) * self.past_width) + _READ * read
        return batch_size(rows, tokens, work, memory, budget, self.device)

    def text_batch(self, rows: int, tokens: int, most: int, budget: int) -> int:
        """Rows of prompts of so many tokens in one batch that is continued by at most so many, token by token."""
        alive = tokens * (_STREAMS * self.d_model + _HIDDENS * self.d_mlp)
        # Each step copies what is cached.
        cached = 2 * (tokens + most) * self.past_width * self.n_layers
        memory = self.itemsize * (alive + cached) + _READ * self.d_vocab
        return batch_size(rows, 1, self.n_layers * self.block_work(), memory, budget, self.device)


def shape_of(bridge: Any, anatomy: Anatomy) -> Shape:
    """A bridge's sizes."""
    cfg = bridge.cfg
    heads = int(getattr(cfg, "n_key_value_heads", None) or cfg.n_heads)
    return Shape(
        n_layers=int(cfg.n_layers),
        d_model=int(cfg.d_model),
        d_mlp=max([layer.d_mlp or 0 for layer in anatomy.layers] + [int(getattr(cfg, "d_mlp", None) or 0)]),
        d_vocab=int(cfg.d_vocab),
        past_width=2 * heads * int(cfg.d_head),
        itemsize=cfg.dtype.itemsize,
        device=str(cfg.device),
    )


def rounding_of(bridge: Any) -> float:
    """How far rounding moves a model's logits, as a share of the largest: it adds up over the layers, and in half precision,
    where products are summed in single, mostly at the end."""
    dtype = bridge.cfg.dtype
    return (32 if dtype.itemsize > 2 else 4) * float(torch.finfo(dtype).eps)
