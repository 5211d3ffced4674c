"""Clean prompts that agree with others on variables: the donors of causal scrubbing."""

import random
from collections.abc import Hashable, Sequence
from dataclasses import replace

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.slots import Choice
from circuitcheck.sampling.references import prompts_of

# Prompts that are drawn to be one pair's donor, at most; then it is its own, which agrees with itself.
_TRIED = 2_000


class Agreeing:
    """Draws of one population's clean prompts, given values of variables; the same under one ``seed``."""

    def __init__(self, description: Description, aligner: Aligner, seed: int):
        self.description, self._aligner, self._seed = description, aligner, seed
        self._known: dict[Hashable, AlignedPair] = {}

    def donors(self, pairs: Sequence[AlignedPair], names: tuple[str, ...], place: str) -> tuple[AlignedPair, ...]:
        """For each pair a clean prompt of its template that has the same values, and as many tokens in each slot. ``place``: what the
        draw is for; draws for different places are independent. An answer that is run after a pair is run after its donor, too."""
        found = []
        for pair in pairs:
            key = prompts_of(pair), names, place
            if key not in self._known:
                self._known[key] = self._drawn(
                    _alone(pair), names, random.Random(f"{self._seed}/{place}/{prompts_of(pair)}")
                )
            donor, answer = self._known[key], pair.clean[len(pair.clean) - pair.forced :]
            found.append(donor.followed_by(answer) if pair.forced else donor)
        return tuple(found)

    def _drawn(self, pair: AlignedPair, names: tuple[str, ...], draw: random.Random) -> AlignedPair:
        of, template = self.description, pair.pair.template
        fillers = {name: clean for name, clean, _ in pair.pair.fillers if name in of.slots}
        values = of.algorithm.values(fillers)
        wanted = {name: values[name] for name in names}
        choices, weights = of.choices(template), of.weights(template)
        fixed = {name for name in names if isinstance(of.slots.get(name), Choice)}
        options = {
            name: [n for n, (clean, _) in enumerate(some) if name not in fixed or clean == fillers[name]]
            for name, some in choices.items()
        }
        for _ in range(_TRIED):
            chosen = {}
            for name, places in options.items():
                often = [weights[name][n] for n in places] if name in weights else None
                chosen[name] = choices[name][draw.choices(places, often)[0]]
            if not of.keeps(template, chosen):
                continue
            other = of.render(template, chosen)
            theirs = of.algorithm.values({name: clean for name, clean, _ in other.fillers if name in of.slots})
            if any(theirs[name] != value for name, value in wanted.items()):
                continue
            [aligned] = self._aligner.align([_clean(other)])
            if isinstance(aligned, AlignedPair) and aligned.pattern("clean") == pair.pattern("clean"):
                return aligned
        return pair


def _alone(pair: AlignedPair) -> AlignedPair:
    """The clean prompt of a pair by itself, without an answer that is run after it."""
    tokens = pair.prompt_tokens("clean")
    return replace(
        pair,
        pair=_clean(pair.pair),
        clean=tokens,
        corrupt=tokens,
        segments=pair.segments[: len(tokens)],
        corrupt_segments=None,
        forced=0,
    )


def _clean(pair: Pair) -> Pair:
    """The clean prompt of a pair by itself."""
    fillers = tuple((name, clean, clean) for name, clean, _ in pair.fillers)
    return replace(pair, corrupt=pair.clean, fillers=fillers, is_contrast=False)
