"""Tokens of real text, on which runs are compared: special tokens round worse, and are often a vocabulary's first."""

from typing import Any

from circuitcheck.engine.on_demand import torch

_TEXT = (
    "The old man walked along the river and looked for the small boat that his daughter had left there in the spring. "
    "When Anna and Peter came home from the market, Peter gave a basket of apples to Anna, and she put it on the table. "
    "It was the third winter since the war, and in the year 1752 nobody in the town could say how long it would last."
)


def real_tokens(tokenizer: Any, vocabulary: int, length: int) -> torch.Tensor:
    """So many token ids of an English text, of shape [1, position], repeated where it is shorter; without a tokenizer, or where
    its ids lie outside the ``vocabulary``, seeded ids from all of that. None of them is special, unless all are."""
    ids = [] if tokenizer is None else tokenizer.encode(_TEXT, add_special_tokens=False)
    special = _special(tokenizer)
    usable = [token for token in ids if token < vocabulary and token not in special]
    if 2 * len(usable) <= len(ids) or len(set(usable)) < 8:
        ordinary = ordinary_tokens(tokenizer, vocabulary)
        chosen = torch.randint(len(ordinary), (1, length), generator=torch.Generator().manual_seed(0))
        return ordinary[chosen]
    repeated = usable * (length // len(usable) + 1)
    return torch.tensor([repeated[:length]])


def ordinary_tokens(tokenizer: Any, vocabulary: int) -> torch.Tensor:
    """All token ids that are not special (all, where all are), of shape [token]."""
    special = _special(tokenizer)
    return torch.tensor([token for token in range(vocabulary) if token not in special] or range(vocabulary))


def tokens_for(bridge: Any, length: int) -> torch.Tensor:
    """So many tokens for a bridge, of shape [1, position]; for one that reads pictures, which are all of one length, one of these."""
    sight = getattr(bridge, "sight", None)
    found: torch.Tensor = (
        real_tokens(bridge.tokenizer, int(bridge.cfg.d_vocab), length) if sight is None else sight.some()
    )
    return found


def few_tokens(bridge: Any) -> torch.Tensor:
    """Four of them for a bridge, fewer where its context holds fewer."""
    return tokens_for(bridge, min(4, int(bridge.cfg.n_ctx)))


def _special(tokenizer: Any) -> set[int]:
    """The tokens that a tokenizer marks as special, the one for unknown words among them."""
    if tokenizer is None:
        return set()
    added = getattr(tokenizer, "added_tokens_decoder", {})
    marked = {number for number, token in added.items() if getattr(token, "special", False)}
    return marked | set(tokenizer.all_special_ids)
