"""What texts are written and read with: a tokenizer, and the tokens that end a text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Speaker:
    """A model as far as its texts go: ``tokenizer`` (None: it has none), the size of its ``vocabulary``, and the tokens that end a text, as
    it is when they are asked for."""

    tokenizer: Any
    vocabulary: int
    stops: Callable[[], frozenset[int]]
