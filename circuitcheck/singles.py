"""One token, one neuron, one head, as users name them."""

from typing import Any

from circuitcheck.errors import MethodError, PromptError
from circuitcheck.ids import id_of
from circuitcheck.sites import GRANULARITY, Anatomy, Site, parse
from circuitcheck.tokens import Reader

# What a text is appended to when it is asked which token it is in the middle of a prompt.
_BEFORE = "."


def token_of(tokenizer: Any, token: object, vocabulary: int) -> int:
    """The id of a token that is given by its text, as it stands behind other text, or by its id.

        token_of(tokenizer, " an", 50257)    # 281

    Raises ``PromptError`` for a text of several tokens, one that is not in the vocabulary, and an id that the model does not
    have.
    """
    if isinstance(token, str):
        return _id_of(tokenizer, token, vocabulary)
    try:
        number = -1 if isinstance(token, bool) else id_of(token)
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


def _id_of(tokenizer: Any, text: str, vocabulary: int) -> int:
    if tokenizer is None:
        raise PromptError(f"this model has no tokenizer: give the token {text!r} by its id")
    written = [_BEFORE, _BEFORE + text, text, f"{_BEFORE} {text}"]
    before, after, alone, spaced = Reader(tokenizer, None, vocabulary).read(written)
    if alone.unread:
        raise PromptError(f"{alone.unread[0].inside(text)} {alone.unread[0].why}")
    if len(after.ids) == len(before.ids) + 1 and after.ids[:-1] == before.ids and not after.unread_behind(_BEFORE):
        return after.ids[-1]
    if len(alone.ids) == 1:
        return alone.ids[0]
    one_more = text[:1].strip() and len(spaced.ids) == len(before.ids) + 1 and not spaced.unread_behind(_BEFORE)
    advice = f"; {f' {text}'!r} is one" if one_more else ""
    raise PromptError(f"{text!r} is not one token but {tokenizer.convert_ids_to_tokens(list(alone.ids))}{advice}")
