"""Tokens of real text, on which runs are compared: among a vocabulary's first ids are special ones, whose runs round worse."""

from typing import Any

import torch

_TEXT = (
    "The old man walked along the river and looked for the small boat that his daughter had left there in the spring. "
    "When Anna and Peter came home from the market, Peter gave a basket of apples to Anna, and she put it on the table. "
    "It was the third winter since the war, and in the year 1752 nobody in the town could say how long it would last."
)


def real_tokens(tokenizer: Any, vocabulary: int, length: int) -> torch.Tensor:
    """So many token ids of an English text, of shape [1, position], repeated where it is shorter; without a tokenizer, or where
    its ids lie outside the ``vocabulary``, seeded ids from all of that."""
    ids = [] if tokenizer is None else tokenizer.encode(_TEXT, add_special_tokens=False)
    unknown = getattr(tokenizer, "unk_token_id", None)
    usable = [token for token in ids if token < vocabulary and token != unknown]
    if 2 * len(usable) <= len(ids) or len(set(usable)) < 8:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(vocabulary, (1, length), generator=generator)
    repeated = usable * (length // len(usable) + 1)
    return torch.tensor([repeated[:length]])
