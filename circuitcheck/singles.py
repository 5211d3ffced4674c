"""One token, one neuron, one head, as users name them."""

from operator import index
from typing import Any

from circuitcheck.errors import MethodError, PromptError
from circuitcheck.sites import GRANULARITY, Anatomy, Site, parse

# What a text is appended to when it is asked which token it is in the middle of a prompt.
_BEFORE = "."


def token_of(tokenizer: Any, token: object, vocabulary: int) -> int:
    """The id of a token that is given by its text, as it stands behind other text, or by its id.

        token_of(tokenizer, " an", 50257)    # 281

    Raises ``PromptError`` for a text of several tokens and for an id that the model does not have.
    """
    if isinstance(token, str):
        return _id_of(tokenizer, token)
    try:
        number = -1 if isinstance(token, bool) else index(token)  # type: ignore[arg-type]
    except TypeError:
        raise PromptError(f"a token is a text such as ' an', or a token id, not {token!r}") from None
    if not 0 <= number < vocabulary:
        raise PromptError(f"token {token!r} is outside the model's vocabulary of {vocabulary} tokens")
    return number


def one_site(address: str, kind: str, anatomy: Anatomy) -> Site:
    """The one component of that kind that an address names, at all positions; raises ``MethodError`` for other addresses."""
    sites = parse(address, anatomy)
    noun = GRANULARITY[kind]
    if len(sites) != 1 or sites[0].kind != kind or sites[0].via:
        raise MethodError(f"{address!r} is not one {noun}: write one, such as L{anatomy.n_layers - 1}.{kind}0")
    if not sites[0].position.everywhere:
        raise MethodError(f"{address!r} names a position, which means nothing here: write the {noun} alone")
    return sites[0]


def text_of(tokenizer: Any, token: int) -> str:
    """A token as reports write it."""
    return str(token) if tokenizer is None else repr(str(tokenizer.decode([token])))


def _id_of(tokenizer: Any, text: str) -> int:
    if tokenizer is None:
        raise PromptError(f"this model has no tokenizer: give the token {text!r} by its id")
    before, after, alone = (
        tokenizer.encode(words, add_special_tokens=False) for words in (_BEFORE, _BEFORE + text, text)
    )
    if len(after) == len(before) + 1 and after[:-1] == before:
        return int(after[-1])
    if len(alone) == 1:
        return int(alone[0])
    spaced = tokenizer.encode(f"{_BEFORE} {text}", add_special_tokens=False)
    advice = f"; {f' {text}'!r} is one" if text[:1].strip() and len(spaced) == len(before) + 1 else ""
    raise PromptError(f"{text!r} is not one token but {tokenizer.convert_ids_to_tokens(alone)}{advice}")
