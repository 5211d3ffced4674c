"""Clean prompts that agree with others on variables: the donors of causal scrubbing."""

import random
from collections.abc import Sequence
from dataclasses import replace

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.slots import Choice

# Prompts that are drawn to be one pair's donor, at most; then it is its own, which agrees with itself.
_TRIED = 2_000


class Agreeing:
    """Draws of one population's clean prompts, given values of variables; the same under one ``seed``."""

    def __init__(self, description: Description, aligner: Aligner, seed: int):
        self.description, self._aligner, self._seed = description, aligner, seed
        self._known: dict[tuple[bytes, tuple[str, ...], str], AlignedPair] = {}

    def donors(self, pairs: Sequence[AlignedPair], names: tuple[str, ...], place: str) -> tuple[AlignedPair, ...]:
        """For each pair a clean prompt of its template that has the same values, and as many tokens in each slot. ``place``: what the
        draw is for; draws for different places are independent. An answer that is run after a pair is run after its donor, too."""
        found = []
        for pair in pairs:
            key = pair.key, names, place
            if key not in self._known:
                self._known[key] = self._drawn(pair, names, random.Random(f"{self._seed}/{place}/{pair.key.hex()}"))
            found.append(self._known[key])
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
            if isinstance(aligned, AlignedPair):
                followed = aligned.followed_by(pair.clean[len(pair.clean) - pair.forced :]) if pair.forced else aligned
                if followed.pattern("clean") == pair.pattern("clean"):
                    return followed
        return replace(pair, corrupt=pair.clean, corrupt_segments=None, pair=_clean(pair.pair))


def _clean(pair: Pair) -> Pair:
    """The clean prompt of a pair by itself."""
    fillers = tuple((name, clean, clean) for name, clean, _ in pair.fillers)
    return replace(pair, corrupt=pair.clean, fillers=fillers, is_contrast=False)
