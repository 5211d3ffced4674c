"""Directions: subspaces of an activation that were found on some pairs, to be patched on others.

TRAIN, TEST = FOUND.split("discover"), FOUND.split("confirm")
direction = model.on(TRAIN).mean_difference("L1.RESID_POST@end")
assert model.on(TEST).patch("L1.RESID_POST@end", along=direction) > 0.5

A subspace that was found by looking at pairs says nothing about the same pairs: these are refused. And one that moves the
output need not be what the model uses (Makelov et al. 2023): the report has the whole component beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.kinds import is_part
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import EVERYWHERE, Site
from circuitcheck.engine.subspaces import Subspace
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Draw, Gathered
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.statistics.weights import mean_over
from circuitcheck.texts import digest, plural

if TYPE_CHECKING:
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.types import Floats

_SEEN = "some of the prompts were seen, in other pairs, when the direction was found: it may be theirs more than the concept's"


@dataclass(frozen=True, eq=False, repr=False)
class Direction:
    """Unit vectors in the activation of one component; made by ``setup.mean_difference`` and ``setup.probe(...).direction``.

        direction = model.on(TRAIN).mean_difference("L1.RESID_POST@end")
        direction.basis                      # of shape [width, rank], orthonormal
        model.on(TEST).patch("L1.RESID_POST@end", along=direction) > 0.5

    ``width`` is d_model, a head's d_head, or the number of neurons. ``found`` says how it was found, ``pairs`` on what;
    ``recipe`` all else that it depends on. ``drawn``: the pairs were drawn from more, so that no number along it is exact; ``trained``
    as which try of a search, 0 for what no search found.
    """

    sites: tuple[Site, ...]
    basis: "Floats"
    found: str
    fingerprint: str
    pairs: tuple[AlignedPair, ...]
    recipe: str
    drawn: bool = False
    trained: int = 0

    def __str__(self) -> str:
        rank = self.basis.shape[1]
        return f"{self.found}, from {plural(len(self.pairs), 'pair')} ({f'rank {rank}, ' if rank > 1 else ''}{self.identity})"

    def __repr__(self) -> str:
        return f"<direction at {_written(self.sites)}: {self}>"

    @property
    def vector(self) -> "Floats":
        """The unit vector, of shape [width]; raises ``MethodError`` for a direction of several."""
        if self.basis.shape[1] != 1:
            raise MethodError(f"there is no one vector: {self} is a subspace")
        vector: Floats = self.basis[:, 0]
        return vector

    @property
    def identity(self) -> str:
        """A hash that says which it is: how it was found and on what, so that it does not hang on rounding."""
        content = repr((self.fingerprint, self.sites, self.found, [pair.key for pair in self.pairs], self.recipe))
        return digest(content)

    def subspace(self, model: "LoadedModel", sites: Sequence[Site]) -> Subspace:
        """What a patch at these sites changes; raises ``MethodError`` for another model or other components."""
        if model.fingerprint != self.fingerprint:
            raise MethodError(f"the direction was found in another model than {model.name}, or in other weights of it")
        if sorted(map(_component, sites)) != list(map(_component, self.sites)):
            raise MethodError(
                f"the direction lies in {_written(self.sites)}, not in {_written(sites)}: find one there, or patch where "
                "it lies (the position may be another)"
            )
        neurons = [site.index for site in self.sites if site.kind == "N"]
        entries = neurons or list(range(len(self.basis)))
        basis = np.zeros(
            (model.anatomy.layers[sites[0].layer].count("N") if neurons else len(self.basis), self.basis.shape[1])
        )
        basis[entries] = self.basis
        return Subspace(str(self), basis, tuple(entries))

    def noted(self, found: Gathered, pairs: Sequence[AlignedPair]) -> Gathered:
        """Numbers along this direction on ``pairs``: drawn where its own pairs were, and with its notes. Gradient descent ends elsewhere on
        a machine that rounds otherwise, so that numbers along a trained one say which it is."""
        drawn = Draw.ONCE if self.drawn else Draw.NOTHING
        chosen = f"trained basis {digest(self.basis.round(7).tobytes())}" if self.trained else found.chosen
        return replace(found, drawn=drawn, notes=(*found.notes, *self._notes_on(pairs)), chosen=chosen)

    def _notes_on(self, pairs: Sequence[AlignedPair]) -> tuple[str, ...]:
        """What is to be told beside an effect on these pairs; raises ``MethodError`` for pairs that it was found on."""
        seen = {(pair.clean, pair.corrupt) for pair in self.pairs}
        again = sum((pair.clean, pair.corrupt) in seen for pair in pairs)
        if again:
            raise MethodError(
                f"the direction was found on {again} of these {plural(len(pairs), 'pair')}, of which it can say nothing then: find "
                "it on pairs.split('discover') and claim it of pairs.split('confirm'), or describe other pairs"
            )
        prompts = {tokens for couple in seen for tokens in couple}
        return (_SEEN,) if any(pair.clean in prompts or pair.corrupt in prompts for pair in pairs) else ()


def mean_difference(setup: Setup, site: str) -> Direction:
    """The direction from the corrupted to the clean prompts' mean activation at a site, over the reference pairs.

        direction = model.on(FRUIT.split("discover")).mean_difference("L1.RESID_POST@end")
        assert model.on(FRUIT.split("confirm")).patch("L1.RESID_POST@end", along=direction) > 0.5

    One component, or neurons of one layer, at one token (of several, the last). The pairs are all of a small population,
    drawn ones of a larger one (``--circuit-reference``).
    """
    sites = readable(parse(site, setup.model.anatomy))
    reference, answers = setup.reference, setup.model.answers
    sample = reference.sample
    setup.need_contrast("mean_difference")
    moved = answers.activations(sample, "clean", sites) - answers.activations(sample, "corrupt", sites)
    difference = mean_over(sample.pairs, moved.T)
    length = float(np.linalg.norm(difference))
    if not length:
        raise MethodError(f"clean and corrupted prompts are alike at {_written(sites)}: there is no difference")
    basis = (difference / length)[:, None]
    return Direction(
        sites, basis, "clean minus corrupted mean", setup.model.fingerprint, sample.pairs, "", drawn=reference.drawn
    )


def readable(sites: Sequence[Site]) -> tuple[Site, ...]:
    """The sites of one component, or of neurons of one layer, at one position; raises ``MethodError`` for others."""
    kinds = {(site.layer, site.kind, site.position) for site in sites}
    if len(kinds) > 1 or (sites[0].letter not in ("N", "F") and len(sites) > 1):
        raise MethodError(
            f"{_written(sites)} is not one component, nor neurons or features of one layer, at one position"
        )
    if sites[0].via or is_part(sites[0].kind):
        raise MethodError(f"{_written(sites)} is a path or a part of a head: what is read is a component's output")
    if sites[0].position == EVERYWHERE or sites[0].position.outside or sites[0].position.answer:
        raise MethodError(
            f"one token of each prompt is read: write at which, such as {_written([sites[0]])}@end or @{{slot}} "
            "(of several tokens, the last)"
        )
    return tuple(sorted(sites))


def _component(site: Site) -> tuple[int, str, int, tuple[Site, ...]]:
    return site.layer, site.kind, site.index, site.via


def _written(sites: Sequence[Site]) -> str:
    return f"{sites[0]} and {len(sites) - 1} more" if len(sites) > 1 else str(sites[0])
