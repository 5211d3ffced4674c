"""A tokenizer as the library tokenizers reads it: what transformers' fast ones do, without transformers.

FastTokenizer(tokenizer.backend_tokenizer.to_str(), "<unk>")(["I climbed"], return_offsets_mapping=True)

It has what prompts are aligned with, by transformers' names.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

# Texts that a tokenizer must read alike: words, marks, characters of several bytes, white space.
_TEXTS = (
    "The old man, in 1752, walked along the river and looked for his daughter's boat.",
    " an",
    "a  b\n\n\tc",
    "naïve café — “quoted” 你好 🙂 x²",
    "",
)
# So many texts are read sooner one by one than by threads that have to be started.
_FEW = 256
# What no class of a tokenizer may do otherwise than transformers' own fast one.
_METHODS = ("__call__", "encode", "decode", "_encode_plus", "_decode", "convert_ids_to_tokens", "_convert_encoding")


class FastTokenizer:
    """The tokenizer that is written down in ``text``; ``unk_token`` is what its files call the unknown word."""

    is_fast = True

    def __init__(self, text: str, unk_token: str | None):
        self._text, self.unk_token = text, unk_token

    @cached_property
    def backend_tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_str(self._text)
        found.no_padding()
        found.no_truncation()
        found.encode_special_tokens = False
        return found

    @cached_property
    def added_tokens_decoder(self) -> Mapping[int, Any]:
        found: Mapping[int, Any] = self.backend_tokenizer.get_added_tokens_decoder()
        return found

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[Any]]:
        """Ids and offsets of each text, without special tokens that it does not hold."""
        backend = self.backend_tokenizer
        if len(texts) <= _FEW:
            read = [backend.encode(text, add_special_tokens=False) for text in texts]
        else:
            read = backend.encode_batch(texts, add_special_tokens=False)
        return {"input_ids": [one.ids for one in read], "offset_mapping": [one.offsets for one in read]}

    def encode(self, text: str, **_: object) -> list[int]:
        """A text's ids, without special tokens that it does not hold."""
        found: list[int] = self.backend_tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=False))

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.backend_tokenizer.id_to_token(token) for token in ids]


def reads_alike(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers does no more than what is written down of it."""
    from transformers import PreTrainedTokenizerFast

    kind = type(tokenizer)
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or getattr(tokenizer, "split_special_tokens", False):
        return False
    if any(getattr(kind, name, None) is not getattr(PreTrainedTokenizerFast, name, None) for name in _METHODS):
        return False
    ours, special = (
        FastTokenizer(tokenizer.backend_tokenizer.to_str(), tokenizer.unk_token),
        tokenizer.all_special_tokens,
    )
    texts = [*_TEXTS, *(f"a{word} b" for word in special)]
    if any(_said(tokenizer, text) != _said(ours, text) for text in texts):
        return False
    return {int(number): str(token) for number, token in tokenizer.added_tokens_decoder.items()} == {
        int(number): str(token) for number, token in ours.added_tokens_decoder.items()
    }


def _said(tokenizer: Any, text: str) -> object:
    """What a tokenizer makes of a text, and that of its tokens again; the error's words, where its vocabulary lacks it."""
    try:
        read = tokenizer([text], add_special_tokens=False, return_offsets_mapping=True)
    except Exception as error:  # which is what tokenizers raises
        return str(error)
    ids = read["input_ids"][0]
    return ids, read["offset_mapping"], tokenizer.decode(ids), [tokenizer.decode([one]) for one in ids]
