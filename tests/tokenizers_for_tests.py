"""Small real fast tokenizers, built in a moment."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BOS, UNKNOWN = "<bos>", "<unk>"


def byte_level(*words: str, split: bool = True) -> PreTrainedTokenizerFast:
    """GPT-2's kind: these words are one token each (write their leading space), all else a token a byte.

    Words are first told apart as in GPT-2, unless ``split`` is False.

    >>> byte_level(" an").tokenize("t an")
    ['t', 'Ġan']
    """
    visible = str.maketrans({" ": "Ġ", "\t": "ĉ"})  # as GPT-2 writes these bytes
    written = sorted((word.translate(visible) for word in words), key=lambda word: not word.startswith("Ġ"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = dict.fromkeys((word[:end], word[end]) for word in written for end in range(1, len(word)))
    pieces = dict.fromkeys([BOS, *alphabet, *(left + right for left, right in merges)])
    tokenizer = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS)


def word_level(*words: str) -> PreTrainedTokenizerFast:
    """Words and marks between spaces are tokens; the spaces belong to none."""
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([BOS, UNKNOWN, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, unk_token=UNKNOWN)


def metaspace(*words: str, split: bool = False, normalized: bool = False) -> PreTrainedTokenizerFast:
    """SentencePiece's kind: a word has its space in front of it, as has the first of all; letters where it is not known. Words that
    hold a space are found where texts are not ``split`` before; nor are they split where spaces were ``normalized``, as Gemma's are."""
    letters = sorted(
        {letter for word in words for letter in word} | set("▁abcdefghijklmnopqrstuvwxyz0123456789 ".replace(" ", ""))
    )
    pieces = dict.fromkeys([BOS, UNKNOWN, *letters, *("▁" + word.replace(" ", "▁") for word in words)])
    scores = [(piece, -0.1 if number < 2 else -2.0 - 0.01 * number) for number, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=1, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=split)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=split)
    if normalized:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, unk_token=UNKNOWN)


def word_pieces(*words: str) -> PreTrainedTokenizerFast:
    """BERT's kind: a word is its longest known beginning, and then what goes on with it ("##s")."""
    vocabulary = dict.fromkeys(
        [BOS, UNKNOWN, *words, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789")]
    )
    numbered = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(vocab=numbered, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, unk_token=UNKNOWN)


def with_mark(tokenizer: PreTrainedTokenizerFast, mark: str) -> PreTrainedTokenizerFast:
    """The same with a token that takes the space after it."""
    tokenizer.add_tokens([AddedToken(mark, rstrip=True)])
    return tokenizer


def letters(n: int) -> PreTrainedTokenizerFast:
    """The first letters of the alphabet, between spaces: one token each, and no other tokens."""
    vocabulary = {chr(ord("a") + number): number for number in range(n)}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=min(vocabulary)))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)
