"""The bundled model's tokenizer: GPT-2's convention (byte-level, a word carries its leading space), our own words.

Every word of the corpus is one token. Anything else falls apart into bytes, so every text round-trips. A year such
as " 1732" is " 17" and "32", as in GPT-2.
"""

import re
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from circuitcheck.reference_models.bundled import corpus, vocabulary

END_OF_TEXT = "<|endoftext|>"


def word_pieces() -> list[str]:
    """The corpus's words, sorted, in byte-level spelling (a leading space is the letter G with a dot)."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces = {piece for text in corpus.vocabulary_texts() for piece, _ in splitter.pre_tokenize_str(text)}
    return sorted(piece for piece in pieces if len(piece) > 1 and not re.search(r"\d", piece))


def year_merges() -> list[tuple[str, str]]:
    """Merges for years, the century's before the endings', so that " 1732" cannot begin with "73"."""
    space = "\u0120"
    centuries = [(f"{space}1", century[1]) for century in vocabulary.CENTURIES]
    return [(space, "1"), *centuries, *((ending[0], ending[1]) for ending in vocabulary.ENDINGS)]


def build() -> Any:
    """The fast tokenizer, ready to be saved."""
    merges = year_merges()
    symbols = [END_OF_TEXT, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    symbols += ["".join(merge) for merge in merges]
    symbols += word_pieces()
    backend = Tokenizer(
        models.BPE(vocab={symbol: index for index, symbol in enumerate(symbols)}, merges=merges, ignore_merges=True)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=backend,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def check(tokenizer: Any) -> None:
    """Raise if a word is not one token, a year splits otherwise than GPT-2's, or a text does not round-trip."""
    _check_words(tokenizer)
    for century in vocabulary.CENTURIES:
        for ending in vocabulary.ENDINGS:
            pieces = tokenizer.tokenize(f" {century}{ending}")
            _require(pieces == [f"\u0120{century}", ending], f"year {century}{ending} splits into {pieces}")
    for task in corpus.TASKS:
        for sentence in corpus.examination(task, 200):
            _check_sentence(tokenizer, sentence)
    strange = "Unknown w\u00f6rds, tabs\tand\n\nlines; 3.14159 in 2024 \u2014 don't  stop! \U0001f600"
    _require(tokenizer.decode(tokenizer.encode(strange)) == strange, "other text does not round-trip")


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise ValueError(complaint)


def _check_words(tokenizer: Any) -> None:
    """Every word without a digit is one token, in every form the corpus has it in."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in corpus.vocabulary_texts():
        for _, (start, end) in splitter.pre_tokenize_str(text):
            word = text[start:end]
            single = len(tokenizer.encode(word)) == 1
            _require(single or bool(re.search(r"\d", word)), f"{word!r} is not a single token")


def _check_sentence(tokenizer: Any, sentence: corpus.Sentence) -> None:
    """A sentence round-trips, tokenises part by part as it does whole, and its answers and foils are single tokens."""
    tokens = tokenizer.encode(sentence.text)
    _require(tokenizer.decode(tokens) == sentence.text, f"does not round-trip: {sentence.text!r}")
    parts = (sentence.prompt, sentence.target, sentence.tail)
    joined = [token for part in parts for token in tokenizer.encode(part)]
    _require(joined == tokens, f"the parts' tokens are not the whole's: {sentence.text!r}")
    for word in (*sentence.answers, *sentence.foils):
        _require(len(tokenizer.encode(word)) == 1, f"{word!r} is not a single token")
