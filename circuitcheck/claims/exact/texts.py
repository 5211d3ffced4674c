"""The texts that a statement about activations is about, as token ids."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from circuitcheck.claims.gathering import Gathering
from circuitcheck.errors import PromptError
from circuitcheck.prompts.alignment import Rejections
from circuitcheck.prompts.ids import members
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.prompts.tokens import Reader, Tokens
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.models.loaded import LoadedModel

Texts = PromptPairs | str | Path | Iterable[str]
# Where nothing is said, a text is read in windows of so many tokens at most.
_WINDOW = 1024


def see_file(on: Texts) -> None:
    """Raise ``PromptError`` for a path at which there is no file."""
    if isinstance(on, str | Path) and not Path(on).is_file():
        raise PromptError(f"{str(on)!r} is no text file; texts themselves are given as a list")


def texts_of(model: "LoadedModel", on: Texts) -> tuple[list[Tokens], str]:
    """The texts as token ids, and what they are in words: the prompts of pairs, a file's paragraphs, or a list of texts."""
    if isinstance(on, PromptPairs):
        run = Gathering(model, on, "logit_diff")
        described = [pair for stage in run.described for pair in stage.sample.pairs]
        # The texts are part of what is claimed: the same under every seed.
        pairs = described if run.described[-1].exhausted else run.fixed(len(described)).pairs
        prompts = list(dict.fromkeys(prompt for pair in pairs for prompt in (pair.clean, pair.corrupt)))
        return prompts, f"{plural(len(prompts), 'prompt')}, of {len(pairs)} of {run.drawn.words}"
    if isinstance(on, str | Path):
        paragraphs = [text for text in re.split(r"\n\s*\n", Path(on).read_text(encoding="utf-8")) if text.strip()]
        return _read(model, paragraphs, "paragraph", f" of {Path(on).name}")
    texts = members(on)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong or not any(text.strip() for text in texts):
        raise PromptError(
            f"on= is PromptPairs, a text file's path or a list of texts, not {wrong[0] if wrong else texts!r}"
        )
    return _read(model, texts, "text")


def _read(model: "LoadedModel", texts: list[str], noun: str, of: str = "") -> tuple[list[Tokens], str]:
    """The texts that the tokenizer reads as they are written, as token ids; and in words how many, and what was left out."""
    reader, left_out = model.sampler.aligner.reader, Rejections(noun="text")
    many = f"{plural(len(texts), noun)}{of}"
    windows: list[Tokens] = []
    for text, read in zip(texts, reader.read(texts), strict=True):
        if read.unread:
            left_out.add(f"with something that {read.unread[0].why}", read.unread[0].inside(text))
        elif text.strip():
            windows += _windows(read.ids, reader, min(model.profile.n_ctx, _WINDOW))
    if not windows or 2 * left_out.total > len(texts):
        raise PromptError(f"most of {many} cannot be used:\n  {str(left_out) or 'they hold no token'}")
    if not left_out.total:
        return windows, many
    return windows, f"{len(texts) - left_out.total:,} of {many} (left out: {left_out})"


def _windows(ids: Tokens, reader: Reader, size: int) -> Iterator[Tokens]:
    """A text cut to what the model reads at once, each piece behind one BOS where that is convention."""
    bos = reader.front(())
    text, size = ids[len(bos) :] if ids[: len(bos)] == bos else ids, size - len(bos)
    for start in range(0, max(len(text), bool(ids)), size):
        piece = text[start : start + size]
        yield (*reader.front(piece), *piece)
