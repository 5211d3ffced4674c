"""The lengths at which a model begins to compute otherwise: windows and chunks of attention, contexts that rotary frequencies
are stretched over.

    limits_of(mistral)               # (4096,): tokens no longer attend to all before them
    regime_of((8, 4096), 9)          # 1: of the runs that are longer than 8 tokens and not than 4096
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from circuitcheck.engine.watching.snapshots import BY_LENGTH

# Numbers of a configuration beyond which a token's run is computed otherwise, as transformers names them.
_LIMIT = re.compile(
    r"(original_max_position_embeddings|window|window_size|window_len|chunk_size|chunk_length|local_attention|floor_scale"
    r"|(?<!_)block_size|index_topk)$"
)
_OTHERS = re.compile(r"audio|vision|image|feed_forward|lm_head|mask_")
_LONGEST = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


def limits_of(network: Any) -> tuple[int, ...]:
    """The limits of a network of transformers or TransformerLens, in tokens, in order: runs that are longer are computed
    otherwise."""
    config = _text_config(network)
    found = set(_limits(vars(config)))
    if longest := longest_of(network):
        found.add(longest)
    return tuple(sorted(found))


def longest_of(network: Any) -> int | None:
    """The tokens that a network is made for, None where its configuration does not say."""
    config = _text_config(network)
    return next((n for name in _LONGEST if isinstance(n := getattr(config, name, None), int) and n > 0), None)


def stretches(network: Any) -> bool:
    """Whether its rotary frequencies follow the length of a run, as those of runs that are longer than it is made for."""
    return any(name in str(kind) for kind in _rotary_kinds(vars(_text_config(network))) for name in BY_LENGTH)


def regime_of(limits: Sequence[int], length: int) -> int:
    """How many limits a run of so many tokens is beyond."""
    return bisect_left(limits, length)


def _text_config(network: Any) -> Any:
    config = getattr(network, "config", None) or network.cfg
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def _limits(fields: dict[str, Any]) -> Iterator[int]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _limits(value)
        elif _LIMIT.search(str(name)) and not _OTHERS.search(str(name)):
            several = value if isinstance(value, list | tuple) else [value]
            yield from (one for one in several if isinstance(one, int) and not isinstance(one, bool) and one > 0)


def _rotary_kinds(fields: dict[str, Any]) -> Iterator[Any]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _rotary_kinds(value)
        elif name in ("rope_type", "type"):
            yield value
