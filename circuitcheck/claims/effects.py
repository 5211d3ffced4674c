"""Effects: numbers that are gathered when they are compared, and comparisons that give verdicts.

effect = model.on(FRUIT).patch("L1.N8")    # computes nothing
effect > 0.4                               # gathers the evidence, gives a Verdict
effect.measure()                           # gathers the evidence, gives a Measurement
"""

from collections.abc import Callable, Sequence
from typing import NoReturn

from circuitcheck.claims.combining.across import by_other_methods
from circuitcheck.claims.combining.additivity import OverParts
from circuitcheck.claims.combining.comparing import Comparing
from circuitcheck.claims.combining.new_ones import NewAbove
from circuitcheck.claims.combining.pairs_above import PairsAbove
from circuitcheck.claims.combining.several import AllOf
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.every_pair import Each
from circuitcheck.claims.measuring.measurement import Controls, Measurement
from circuitcheck.claims.presence import refuse_counts
from circuitcheck.claims.ranking.rank import Rank
from circuitcheck.claims.thresholds import NoArithmetic, number
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.ablations import Ablation
from circuitcheck.errors import ComparisonError, OldNames
from circuitcheck.experiments.experiment import Experiment
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.evidence import Operator
from circuitcheck.units import UNITS


class Effect(NoArithmetic, OldNames):
    """A number about a run, not yet gathered; made by the verbs of ``model.on(pairs)``.

    assert effect > 0.4
    assert 0.3 < effect < 0.6
    assert effect == pytest.approx(0, abs=0.05)     # equivalence: the interval lies inside the margin

    ``.of_gap``, ``.of_behaviour``, ``.of_clean`` and ``.raw`` (in the readout's own unit) are the same effect in another unit. Comparing
    raises ``BehaviourAbsent`` for a share of a behaviour that is not there, ``MethodError`` for a threshold that is
    not a finite number, and ``ComparisonError`` (a ``TypeError``) for a comparison that would mean nothing.
    """

    # A numpy number on the left leaves the comparison to us.
    __array_ufunc__ = None

    # What its numbers are gathered by.
    _kind: type[Comparing] = Comparing

    def __init__(
        self,
        experiment: Experiment,
        behind: tuple[Estimand, ...] = (),
        describe_controls: "Callable[[Sequence[Stage]], Controls | None] | None" = None,
    ):
        self._estimand = self._kind(experiment, behind, describe_controls)

    @property
    def label(self) -> str:
        """The verb with its site, as reports name the effect; with the readout, where it is not the usual one.

        model.on(FRUIT).patch("L1.N8").label    # "patch L1.N8"
        """
        return self._estimand.label

    @property
    def unit(self) -> str:
        """What its numbers are in: "gap", "behaviour", "logits" ...

        model.on(FRUIT).patch("L1.N8").raw.unit    # "logits"
        """
        return self._estimand.unit

    def measure(self, precision: float | None = None) -> Measurement:
        """Gather the evidence: estimate, interval or "exact", n, unit, method, numbers per pair.

            model.on(FRUIT).patch("L1.N8").measure(precision=0.02)

        Of a population that is not taken whole, on its first 256 pairs (or the budget, where that is less); or on as many as
        it takes for half of the interval to be at most ``precision`` (``--circuit-precision`` where that is not given), in the
        effect's unit. Where the budget is spent before, a note says so. Raises ``MethodError`` for what is no precision.
        """
        return self._estimand.measure(precision)

    def pairs_above(self, threshold: float) -> "Effect":
        """The share of pairs whose own effect (over the mean base) is above a threshold.

            assert effect.pairs_above(0.1) > 0.95

        The mean base is the population's own where that is taken in whole, otherwise that of a few reference pairs.
        """
        effect = self._estimand
        limit = effect.share(number(threshold))
        refuse_counts(effect)
        return Effect(PairsAbove(setup=effect.run, unit="pairs", effect=effect, limit=limit), behind=(effect,))

    def new_above(self, threshold: float) -> "Effect":
        """The share of new templates or fillers whose own effect is above a threshold, and which have what it is a share of.

            assert model.on(FRUIT, generalise="template").patch("L1.N8").new_above(0.4) > 0.7

        Decided by how many of those given are so, with exact limits (Clopper & Pearson), however their effects scatter. Raises
        ``MethodError`` for a run that is not about new ones.
        """
        effect = self._estimand
        limit = effect.share(number(threshold))
        refuse_counts(effect)
        return Effect(NewAbove.of(effect, limit))

    def beats(self, address: str, n: int | None = None) -> Verdict:
        """That this component has a larger effect than every other of an address, at the same position.

            assert model.on(FRUIT).patch("L31.N892").beats("L31.N*")
            assert model.on(FRUIT).patch("L31.N892").beats("L31.N*", n=100)

        Decided by the paired difference from each of them; the claimed component and dead ones are left out. ``n`` draws as
        many where there are more: the claim is then that at most so many of all are ahead as there may be where none of those
        drawn is, at a joint level that the verdict states. ``rank_within(address).runs`` is what it costs at most.
        """
        return self.rank_within(address, n) == 1

    def rank_within(self, address: str, n: int | None = None) -> Rank:
        """This component's place among those of an address, 1 for the largest effect.

        assert model.on(FRUIT).patch("L9.H6").rank_within("L9.H*") <= 3
        """
        return Rank.of_matched(self._estimand, address, n)

    def beats_random(self, n: int = 100) -> Verdict:
        """That this circuit has a larger effect than ``n`` random ones of as many components of each kind.

        assert model.on(FRUIT).keep("L1.N8 | L0.H2").beats_random(n=50)
        """
        return Rank.of_random(self._estimand, n) == 1

    @property
    def over_parts(self) -> "Effect":
        """Of an effect of several sites: how many times the sum of what each does by itself.

            assert model.on(NAMES).ablate("L9.H9 | L9.H6 | L10.H0").over_parts > 1.5

        The ratio of the means; raises ``BehaviourAbsent`` where the sum is not established to be there.
        """
        return Effect(OverParts.of(self._estimand))

    @property
    def each(self) -> Each:
        """Every pair that the prompts can generate: searched for one that breaks a claim, which is then shrunk.

            assert effect.each > 0.1

        A pair's number is its shift over the mean base. ``--circuit-examples`` pairs are tried at most.
        """
        return Each(self._estimand)

    def across(self, values: "Sequence[str | float | Ablation]" = (), positions: Sequence[str] = ()) -> AllOf:
        """This effect under several ablation values and positions ("all" for all): supported only where all support it.

        assert model.on(FRUIT).ablate("L31.N892").across(values=["mean", "resample", "zero"]) > 0.3
        """
        effect = self._estimand
        ways = [Comparing(way.in_unit(effect.unit)) for way in by_other_methods(effect, values, positions)]
        named = {way.label.removeprefix(f"{effect.method.verb} "): way for way in ways}
        return AllOf(f"{effect.label} under several methods", "methods", named)

    @property
    def of_gap(self) -> "Effect":
        """As a share of the gap: mean clean minus mean corrupted readout.

            model.on(FRUIT).direct("L31.MLP").of_gap > 0.2

        Raises ``BehaviourAbsent``, when it is compared, where the gap is not above its floor.
        """
        return self._in("gap")

    @property
    def of_clean(self) -> "Effect":
        """As a share of the mean clean readout.

            model.on(FRUIT).lens("L30.RESID_POST").of_clean > 0.5

        Raises ``MethodError`` for readouts that have no shares, such as a rank.
        """
        return self._in("clean")

    @property
    def of_behaviour(self) -> "Effect":
        """As a share of the behaviour: what the run loses when all that an ablation is within is ablated.

            model.on(FRUIT).ablate("L31.N892").of_behaviour > 0.3    # as it is, where nothing is said

        Raises ``MethodError`` for what is no share of it, such as patching.
        """
        return self._in("behaviour")

    @property
    def raw(self) -> "Effect":
        """In the readout's own unit, as a share of nothing: logits, nats, accuracy or probability (0 to 1), places, or a
        function's own numbers.

        model.on(FRUIT).patch("L1.N8").raw > 2    # logits
        """
        return self._in(self._estimand.run.unit)

    def __gt__(self, other: "float | Effect") -> Verdict:
        return self._compared(">", other)

    def __ge__(self, other: "float | Effect") -> Verdict:
        return self._compared(">=", other)

    def __lt__(self, other: "float | Effect") -> Verdict:
        return self._compared("<", other)

    def __le__(self, other: "float | Effect") -> Verdict:
        return self._compared("<=", other)

    def __eq__(self, other: object) -> Verdict:  # type: ignore[override]
        return self._estimand.compared_within(other)

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about an effect: claim how far it is from a value, with '<' or '>'")

    def __bool__(self) -> NoReturn:
        raise ComparisonError(
            f"an effect is a number, not a claim: compare it, as in `assert {self.label.split()[0]}(...) > 0.4`"
        )

    def __repr__(self) -> str:
        return (
            f"<effect: {self._estimand.experiment.label}, {UNITS[self.unit].phrase}, on {self._estimand.run.pairs!r}>"
        )

    def _compared(self, operator: Operator, other: "float | Effect") -> Verdict:
        return self._estimand.compared(operator, other._estimand if isinstance(other, Effect) else other)

    def _in(self, unit: str) -> "Effect":
        return Effect(self._estimand.experiment.in_unit(unit))
