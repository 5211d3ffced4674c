"""Texts that are remembered, and those that are missing."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.checking.regimes import longest_of, stretches
from circuitcheck.engine.engine import Engine, run_with
from circuitcheck.engine.generation.continuing import Continuation, Continuing, check_room
from circuitcheck.engine.generation.speakers import Speaker
from circuitcheck.engine.hooks.hookpoints import Target, targets
from circuitcheck.engine.making import Ablating, Writing
from circuitcheck.engine.readouts.generated import Generated
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.sampling.remembered import Doing, Remembered
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# The texts of each pair, and whether anything that was written moved one of them.
Texts = tuple[tuple[str, ...], bool]


def texts_of(
    speaker: Speaker,
    remembered: Remembered,
    engine: Callable[[], Engine],
    sample: Sample,
    side: Side,
    readout: Generated,
    sets: Mapping[Doing, Sequence[Site]],
    writing: Writing | None,
) -> dict[Doing, Texts]:
    """What is written after one side's prompts for each set of sites, by what is done; an ``engine`` is taken where some are missing."""
    if writing is not None and not isinstance(writing, Ablating):
        raise AssertionError("what is put in after a prompt is an ablation's, or a vector")
    if speaker.tokenizer is None:
        raise MethodError("generated text needs a tokenizer, and this model has none")
    stops, keys = speaker.stops(), [pair.key for pair in sample.pairs]
    known: dict[Doing, list[Continuation | None]] = {}
    for doing in sets:
        arrays = remembered.recall_arrays((*doing, tuple(sorted(stops))), keys)
        known[doing] = [_recalled(one, speaker.vocabulary) for one in arrays]
    missing = {doing: targets(sites) for doing, sites in sets.items() if None in known[doing]}
    alike: dict[Hashable, dict[Doing, list[Target]]] = defaultdict(dict)
    for doing, written in missing.items():
        alike[run_with(written)][doing] = written
    for group in alike.values():
        _fill_in(engine(), sample, side, readout, stops, group, writing, known)
    return {
        doing: (
            tuple(
                text_after(speaker.tokenizer, pair.prompt_tokens(side), one.tokens)
                for pair, one in zip(sample.pairs, found, strict=True)
                if one is not None
            ),
            any(one is not None and one.moved for one in found),
        )
        for doing, found in known.items()
    }


def _recalled(array: "Floats | None", vocabulary: int) -> Continuation | None:
    """A text as it was kept; None for what is none: a store's file may hold anything."""
    if array is None or not len(array) or array[0] not in (0, 1):
        return None
    tokens = array[1:]
    if not ((tokens >= 0) & (tokens < vocabulary) & (tokens % 1 == 0)).all():
        return None
    return Continuation(tuple(map(int, tokens)), bool(array[0]))


def text_after(tokenizer: Any, prompt: Tokens, text: Tokens) -> str:
    """What tokens after a prompt say: what they add to the prompt's own text, since some tokenizers drop a space in front."""
    before, whole, alone = (
        str(tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))
        for tokens in (prompt, prompt + text, text)
    )
    return whole[len(before) :] if whole.startswith(before) else alone


def _fill_in(
    engine: Engine,
    sample: Sample,
    side: Side,
    readout: Generated,
    stops: frozenset[int],
    written: Mapping[Doing, list[Target]],
    writing: Ablating | None,
    known: Mapping[Doing, list[Continuation | None]],
) -> None:
    """Continue the prompts whose texts are missing for sets of targets at the same hook points, and keep each as soon as it is there."""
    network = engine.bridge.original_model
    longest = None if stretches(network) else longest_of(network)
    doings, end = list(written), tuple(sorted(stops))
    for chunk in engine.chunks(sample):
        check_room(longest, chunk.length_of(side), readout.max_tokens)
        engine.see_length(chunk.length_of(side) + readout.max_tokens - 1)
        continuing = Continuing(engine, readout, stops, chunk, side, list(written.values()), writing)
        pairs, done = len(chunk.pairs), 0
        unknown = [
            n * pairs + p
            for n, doing in enumerate(doings)
            for p, row in enumerate(chunk.rows)
            if known[doing][row] is None
        ]
        for rows, found in continuing.each(unknown):
            for row, one in zip(rows, found, strict=True):
                doing = doings[row // pairs]
                known[doing][chunk.rows[row % pairs]] = one
                array = np.array([one.moved, *one.tokens], dtype=np.float64)
                engine.remembered.keep_arrays((*doing, end), [(chunk.pairs[row % pairs].key, array)])
            done += len(rows)
            engine.progress(f"{side} texts", done, len(unknown))
