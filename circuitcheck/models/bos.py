"""The BOS token of a model's texts: what its tokenizer puts in front by itself, else the tokenizer's own BOS token.

It is never invented. TransformerLens gives a tokenizer without a BOS token another one's (EOS, or what stands for unknown
words), and undoes what a tokenizer adds under another name, so that the tokenizer's own files are asked.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

# Some vocabularies lack the one, and to some the other is a word that they do not know.
_TEXTS = ("a", "The cat, 1.")


@dataclass(frozen=True)
class _Files:
    """What a tokenizer's files say: the tokens that it ``adds`` in front of text by itself, and whether it ``names`` a BOS token."""

    adds: tuple[int, ...]
    names: bool


_known: "WeakKeyDictionary[Any, _Files]" = WeakKeyDictionary()


def bos_of(bridge: Any) -> int | None:
    """The token that the model's convention puts in front of text, None where it puts none."""
    return token_of(bridge) if getattr(bridge.cfg, "default_prepend_bos", True) else None


def token_of(bridge: Any) -> int | None:
    """The token that means BOS to a model, wherever it stands; None where there is none."""
    tokenizer = bridge.tokenizer
    if tokenizer is None:
        return None
    files = _files_of(tokenizer)
    if files.adds:
        return files.adds[0] if len(files.adds) == 1 else None
    # TransformerLens only ever names EOS; another one was named by whoever made the bridge.
    invented = not files.names and tokenizer.bos_token_id == tokenizer.eos_token_id
    return None if invented or tokenizer.bos_token_id is None else int(tokenizer.bos_token_id)


def follow_tokenizer(bridge: Any) -> Any:
    """The bridge, which puts BOS in front where its tokenizer does so by itself: TransformerLens goes by the architecture."""
    if bridge.tokenizer is not None and _files_of(bridge.tokenizer).adds:
        bridge.cfg.default_prepend_bos = True
    return bridge


def _files_of(tokenizer: Any) -> _Files:
    if tokenizer not in _known:
        original = _original(tokenizer)
        named = original.init_kwargs.get("bos_token") if original is tokenizer else original.bos_token
        _known[tokenizer] = _Files(_added_in_front(original), named is not None)
    return _known[tokenizer]


def _original(tokenizer: Any) -> Any:
    """The tokenizer before TransformerLens set it up; itself where it was not loaded from files, or they are gone."""
    from transformers import AutoTokenizer

    name = getattr(tokenizer, "name_or_path", "")
    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except Exception:  # transformers raises anything here
        return tokenizer


def _added_in_front(tokenizer: Any) -> tuple[int, ...]:
    """The tokens that a tokenizer puts in front of text by itself."""
    for text in _TEXTS:
        with suppress(Exception):  # which is what tokenizers raises for a word, where nothing stands for unknown ones
            alone, whole = tokenizer.encode(text, add_special_tokens=False), tokenizer.encode(text)
            starts = (n for n in range(len(whole)) if alone and whole[n : n + len(alone)] == alone)
            return tuple(map(int, whole[: next(starts)]))
    return ()
