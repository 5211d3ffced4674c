"""Claims about a dictionary: does it explain what is there, better than directions that nobody has learnt, and do its features come back?

fitted = model.on(TEXTS).dictionary("L12.RESID_POST")    # computes nothing
assert fitted.explained > 0.7
assert fitted.loss_recovered > 0.9
assert fitted.beats_random()
assert fitted.matched("runs/sae-seed1") > 0.7
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.claims.combining.comparing import Comparing
from circuitcheck.claims.combining.differences import Difference
from circuitcheck.claims.combining.several import AllOf
from circuitcheck.claims.effects import Effect
from circuitcheck.claims.exact.figures import Figure, Found
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.reading.dictionaries import alive, nearest
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments.dictionaries.fits import Fit, controls
from circuitcheck.experiments.methods import Method
from circuitcheck.models.dictionaries.attaching import Attachment, Streams, place_of
from circuitcheck.units import counted

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats

# Prompts on which it is seen which features are ever active.
_TEXTS = 256


class FittedDictionary:
    """A dictionary that is attached at a site, on the clean prompts of a population; made by ``run.dictionary``. BOS tokens do not count.

    ``explained``        the share of the variance at the site that it explains: 1 less what it leaves over all that varies
    ``loss_recovered``   the share of the loss that comes back when what it makes of the site, instead of zero, takes its place
    ``l0``               how many features are active at a token
    ``dead``             the share of features that are active at none
    """

    def __init__(self, run: Gathering, site: str):
        self.model, self._run, self._site = run.model, run, site
        place = place_of(site, run.model.anatomy)
        found = [one for one in run.model.dictionaries if (one.layer, one.kind) == place]
        if not found:
            there = ", ".join(map(str, run.model.dictionaries)) or "none"
            raise MethodError(f"no dictionary is attached at {site} (attached: {there}); see model.with_dictionary")
        self._attachment: Attachment = found[0]

    @property
    def explained(self) -> Effect:
        return Effect(Fit.of(self._run, "explained", self._attachment))

    @property
    def loss_recovered(self) -> Effect:
        return Effect(Fit.of(self._run, "loss_recovered", self._attachment))

    @property
    def l0(self) -> Effect:
        return Effect(Fit.of(self._run, "l0", self._attachment))

    @property
    def dead(self) -> Figure:
        return self._figure(
            f"dead features of the dictionary at {self._site}",
            "features that are active nowhere",
            self._share_dead,
            "dead features",
        )

    @one_question
    def beats_random(self, n: int = 4) -> Verdict:
        """Does it explain more than directions that nobody has learnt: ``n`` draws of random ones, and the axes of the stream?

            assert model.on(TEXTS).dictionary("L12.RESID_POST").beats_random()

        Each explains by as many directions at each token as the dictionary has active features there, those that explain most, and by all
        that lies in what they span. Supported where the dictionary explains more than every one of them, pair by pair.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise MethodError(f"n is how often random directions are drawn, not {n!r}")
        ours = self.explained._estimand
        rivals = {
            str(one): Comparing(Fit.of(self._run, "explained", self._attachment, one)) for one in controls(range(n))
        }
        differences = {name: Comparing(Difference.of(ours, theirs)) for name, theirs in rivals.items()}
        return AllOf(f"{ours.label} less that of others", "others", differences) > 0

    def matched(
        self, other: str | Path, feature: int | None = None, *, streams: Streams = "", transcoder: bool = False
    ) -> Figure:
        """Do features come back in another dictionary of the same site (one of another seed)?

            assert model.on(TEXTS).dictionary("L12.RESID_POST").matched("runs/sae-seed1") > 0.7
            assert model.on(TEXTS).dictionary("L12.RESID_POST").matched("runs/sae-seed1", feature=431) > 0.9

        The largest cosine of what a feature writes with what any of the other dictionary's writes; of one ``feature``, or in the mean over those
        that are active at any token here. ``streams`` and ``transcoder`` are those of ``model.with_dictionary``.
        """
        count = self._attachment.n_features
        if feature is not None and (
            isinstance(feature, bool) or not isinstance(feature, int) or not 0 <= feature < count
        ):
            raise MethodError(f"the dictionary at {self._site} has features 0-{count - 1}, and not {feature!r}")
        whose = f"{self._site}.F{feature}" if feature is not None else f"features of the dictionary at {self._site}"
        theirs = self.model.dictionary_from(self._site, other, streams, transcoder)
        words = f"largest cosine with those of {theirs.features.name} ({theirs.features.digest})"
        return self._figure(
            f"{whose} in {theirs.features.name}", words, lambda: self._cosine(theirs, feature), "cosine", (-1.0, 1.0)
        )

    def _figure(
        self, label: str, words: str, work_out: Callable[[], Found], unit: str, limits: tuple[float, float] = (0.0, 1.0)
    ) -> Figure:
        method = Method(
            verb="observe",
            granularity=f"dictionary {self._attachment}",
            component=self._site,
            value=words,
            positions="all but BOS",
            frozen="nothing",
        )
        return Figure(self.model, label, method, work_out, unit, limits)

    def _share_dead(self) -> Found:
        active, words = self._active
        return Found(float(1 - active.mean()), len(active), "features", words)

    def _cosine(self, theirs: Attachment, feature: int | None) -> Found:
        if feature is not None:
            return Found(
                float(self._nearest(theirs, feature)[0]),
                1,
                "features",
                "about these weights alone",
                1e-6,
                1e-6,
            )
        active, words = self._active
        if not active.any():
            raise MethodError(f"no feature of the dictionary at {self._site} is active on these prompts")
        cosines = self._nearest(theirs)[active]
        some = f"{float(np.mean(cosines > 0.9)):.0%} of them have one above 0.9"
        return Found(
            float(cosines.mean()), int(active.sum()), "features", f"{words}, those that are active", 1e-6, 1e-6, (some,)
        )

    def _nearest(self, theirs: Attachment, feature: int | None = None) -> "Floats":
        """The largest cosine of each feature, or of one, with the other dictionary's."""

        def make() -> "Floats":
            ours = self._attachment.dictionary.decoder
            return nearest(ours if feature is None else ours[[feature]], theirs.dictionary.decoder)

        doing = ("nearest features", self._attachment.digest, theirs.digest, feature)
        return self.model.answers.worked_out(doing, make)

    @property
    def _active(self) -> "tuple[Booleans, str]":
        """Which features are ever active, and on what, in words."""
        sample = self._run.fixed(_TEXTS)
        one = self._attachment
        found = alive(self.model.answers, sample, one.layer, f"{one.kind}.F", one.digest)
        return found, f"on the clean prompts of {counted(len(sample.pairs), 'pairs')} of {self._run.drawn.words}"
