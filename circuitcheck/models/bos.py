"""The BOS token of a model's texts.

"auto": what its tokenizer puts in front by itself, else the tokenizer's own BOS token where that is EOS, too (GPT-2's
convention), else none; "always" and "never" say so. It is never invented. TransformerLens gives a tokenizer without a BOS token
another one's (EOS, or what stands for unknown words), and undoes what a tokenizer adds under another name, so that the
tokenizer's own files are asked.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from circuitcheck.errors import ModelError

Bos = Literal["auto", "always", "never"]
# Some vocabularies lack the one, and to some the other is a word that they do not know.
_TEXTS = ("a", "The cat, 1.")


@dataclass(frozen=True)
class _Files:
    """What a tokenizer's files say: the tokens that it ``adds`` in front of text by itself, whether it ``names`` a BOS token,
    whether that ``is_eos``, too, and the texts of its ``special`` tokens by their names."""

    adds: tuple[int, ...]
    names: bool
    is_eos: bool
    special: Mapping[str, Any]


_known: "WeakKeyDictionary[Any, _Files]" = WeakKeyDictionary()


def bos_of(bridge: Any, convention: Bos = "auto") -> int | None:
    """The token that goes in front of a model's texts, None where none does; raises ``ModelError`` where it is to be there always,
    and there is none."""
    if convention not in ("auto", "always", "never"):
        raise ModelError(f"bos is 'auto', 'always' or 'never', not {convention!r}")
    token = token_of(bridge)
    if convention == "always" and token is None:
        raise ModelError("the model has no BOS token that could always be put in front: its tokenizer names none")
    by_itself = (
        token is not None and getattr(bridge.cfg, "default_prepend_bos", True) and _is_put_in_front(bridge.tokenizer)
    )
    return token if convention == "always" or (convention == "auto" and by_itself) else None


def _is_put_in_front(tokenizer: Any) -> bool:
    files = _files_of(tokenizer)
    return bool(files.adds) or files.is_eos


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


def special_tokens_of(tokenizer: Any) -> Mapping[str, Any]:
    """The texts of a tokenizer's special tokens by their names, as its files have them."""
    return _files_of(tokenizer).special


def follow_tokenizer(bridge: Any) -> None:
    """Let the tokenizer say whether BOS goes in front: TransformerLens goes by the architecture."""
    bridge.cfg.default_prepend_bos = True


def _files_of(tokenizer: Any) -> _Files:
    if tokenizer not in _known:
        original = _original(tokenizer)
        named, eos = (
            original.init_kwargs.get(name) if original is tokenizer else getattr(original, name)
            for name in ("bos_token", "eos_token")
        )
        is_eos = named is not None and str(named) == str(eos)
        _known[tokenizer] = _Files(_added_in_front(original), named is not None, is_eos, original.special_tokens_map)
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
