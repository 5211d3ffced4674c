"""Interchange interventions (Geiger et al. 2021): a site's activation in a source prompt, put into a base prompt.

    model.on(IOI).interchange("L17.H4@end", "order") > 0.5

A site that carries a variable of the algorithm, and nothing else of it, makes the model answer what the algorithm says where that
variable alone takes the source's value. The base prompt is a pair's corrupted prompt here, and the source its clean one, so that an
interchange is a patch whose readout is about the counterfactual answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.readouts.named import READOUTS
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered, Sets, Shift
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.mutants import NotApplicable, current
from circuitcheck.experiments.patching import FromOtherRun
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.experiments.probing.trained import trained
from circuitcheck.experiments.setups import Setup
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.interchange.interchanges import InterchangePair, interchanges, notes_of
from circuitcheck.prompts.pairs import Pair, Prompt, Side
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_RIGHT, _MARGIN = "right pairs", "margin"


class _Margins(NamedTuple):
    """By how much the counterfactual answer stands above the higher of base's and source's own, of shape [pair]."""

    values: "Floats"
    inert: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Interchange(FromOtherRun):
    """The ``variables`` of base prompts by the source's activation; ``along`` a direction, its ``part`` in a subspace alone. Its numbers
    are whether the counterfactual answer is given, among the pairs whose base and source are answered right; in the share of the gap, by
    how much of the way from the base's answer to it the run has moved."""

    origin: Setup
    among: PromptPairs
    variables: tuple[str, ...]
    runs_in: LoadedModel | None = None
    _read_against: "dict[Sample, tuple[Sample, list[int]]]" = field(default_factory=dict, init=False, repr=False)
    _read_alone: "dict[Sample, dict[Prompt, AlignedPair]]" = field(default_factory=dict, init=False, repr=False)

    verb, takes = "interchange", "an interchange puts in what was there in the source prompt"
    is_sum = False

    @classmethod
    def at(
        cls,
        address: str | Circuit,
        setup: Setup,
        variables: str | Sequence[str],
        along: "Direction | Literal['trained'] | None" = None,
        held: Held = NOTHING_HELD,
    ) -> Self:
        """At an address; see ``Run.interchange``."""
        if isinstance(along, str) and along != "trained":
            raise MethodError(f"along= is a direction, or 'trained', not {along!r}")
        if setup.generalise not in ("", "template"):
            raise MethodError(
                f"generalise={setup.generalise!r}: base and source have fillers of their own, so that an interchange is no statement "
                "about new ones of a slot; claim it of pairs.split('confirm', by=...), or of new templates, generalise='template'"
            )
        names = (variables,) if isinstance(variables, str) else tuple(variables)
        among, pairs = setup.pairs, interchanges(setup.pairs, names)
        if (mutant := current()) is not None and mutant.swapped:
            names = _others(setup.pairs, names)
            pairs = interchanges(setup.pairs, names)
        if isinstance(along, str):
            along, among = trained(setup, str(address), names), setup.pairs.split("confirm")
            pairs = interchanges(among, names)
        part = None if along is None else along.subspace(setup.model, sites_of(address, setup.model.anatomy))
        place = cls.placed(setup.again(pairs=pairs).of_answers(), address)
        place = place._replace(setup=place.setup.put_in_from_other_run(place.sites))
        setup.check_held(place.sites, held)
        return cls(
            **place._asdict(),
            unit=_RIGHT,
            origin=setup,
            among=among,
            variables=names,
            held=held,
            along=along,
            part=part,
        )

    @property
    def label(self) -> str:
        way = "" if self.along is None else f" along a {'trained subspace' if self.along.trained else 'direction'}"
        return f"interchange {' and '.join(self.variables)} at {self.address}{way}{self.held.suffix}"

    @property
    def limits(self) -> tuple[float, float] | None:
        return (0.0, 1.0) if self.unit == _RIGHT else None

    @property
    def method(self) -> Method:
        where = self.setup.where
        above = "above the base's own" if self._copies else "above the base's and the source's own"
        return replace(super().method, readout=f"counterfactual answer {above}{where}")

    def fields(self) -> dict[str, Any]:
        return {
            "value": f"source prompt's activation{self._along_in_words}",
            "direction": f"{' and '.join(self.variables)} from the source",
            "held": self.held,
        }

    def in_unit(self, unit: str) -> Experiment:
        """``.of_gap`` is the margin: 0 where nothing has moved, 1 where the counterfactual answer stands as far above the base's own as
        that stood above it."""
        if unit not in (_RIGHT, _MARGIN, "gap"):
            raise MethodError(f"{self.label} is a share of {_RIGHT}, or, .of_gap, the margin of their answers")
        return replace(self, unit=_RIGHT if unit == _RIGHT else _MARGIN)

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> Self:
        self.refuse(value)
        place = self.placed(self.setup, address)
        place = place._replace(setup=self.setup.put_in_from_other_run(place.sites))
        self.origin.check_held(place.sites, self.held)
        return replace(self, **place._asdict(), unit=_RIGHT)

    def of_variables(self, names: tuple[str, ...], agreeing: bool = False) -> Self:
        """The same of other variables, or of sources that agree with their bases on them; raises ``MethodError`` where there are none."""
        pairs = interchanges(self.among, names, agreeing)
        setup = self.origin.again(pairs=pairs).of_answers().put_in_from_other_run(self.sites)
        return replace(self, setup=setup, variables=names, unit=_RIGHT)

    def counts(self, sample: Sample) -> tuple[int, int]:
        """In how many of the pairs whose base and source are answered right the counterfactual answer is given; and how many these are."""
        [shift] = replace(self, unit=_RIGHT).shifts(sample, [self.sites])
        return int(shift.values.sum()), int(self._right(sample).sum())

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        among, before = self._right(sample), self._before(sample)
        [margins] = self._margins(sample, [self.sites])
        bases = {_RIGHT: among, _MARGIN: -2 * before * among, "moved": (margins.values - before) * among}
        notes = (*shift.notes, *notes_of(self.setup.pairs))
        found = Gathered(shift.values, bases, notes=notes)
        return found if self.along is None else self.along.noted(found, sample.pairs)

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """Whether the counterfactual answer is given; in the share of the gap, how far the margin has moved."""
        among = self._right(sample)
        found = self._margins(sample, sets)
        if self.unit == _RIGHT:
            reach = self._reach(sample)
            return [Shift(among * (one.values > reach), one.inert) for one in found]
        before = self._before(sample)
        return [Shift(among * (one.values - before), one.inert) for one in found]

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        raise MethodError("an adversary with gradients does not know interchanges: search against('coordinate')")

    @property
    def _copies(self) -> bool:
        return any("copies" in note for note in notes_of(self.setup.pairs))

    def _margins(self, sample: Sample, sets: Sets) -> list[_Margins]:
        """Of the base runs in which each set of sites is as it is in the source."""
        each, rows = self._against(sample)
        answers = (self.runs_in or self.setup.model).answers
        found = answers.each(each, sets, self._writing("corrupt", each), READOUTS["logit_diff"])
        return [_Margins(_least(one.values, rows, len(sample.pairs)), one.unchanged) for one in found]

    def _before(self, sample: Sample) -> "Floats":
        """The margins of the base runs as they are."""
        each, rows = self._against(sample)
        found = self.setup.model.answers.base(each, "corrupt", READOUTS["logit_diff"])
        return _least(found.values, rows, len(sample.pairs))

    def _reach(self, sample: Sample) -> "Floats":
        """What rounding can make of each margin: answers that stand as high as each other are not above each other."""
        each, rows = self._against(sample)
        model, found = self.runs_in or self.setup.model, np.zeros(len(sample.pairs))
        if (noise := model.answers.base(each, "corrupt", READOUTS["logit_diff"]).noise) is not None:
            np.maximum.at(found, rows, noise)
        return found

    def _against(self, sample: Sample) -> "tuple[Sample, list[int]]":
        """The pairs with the base's answers for a foil, and with the source's, where these are others; with the place of each in the
        sample. Those of one pair are read in one run."""
        if sample not in self._read_against:
            alone = self._alone(sample)
            pairs, rows = [], []
            for row, pair in enumerate(sample.pairs):
                foils = [alone[prompt.clean].answer for prompt in _prompts(pair) if prompt.clean in alone]
                against = dict.fromkeys(foil for foil in foils if not set(foil) & set(pair.answer))
                for foil in against or [pair.foil]:
                    pairs.append(replace(pair, foil=foil))
                    rows.append(row)
            self._read_against[sample] = Sample(tuple(pairs), whole=False, population=sample.population), rows
        return self._read_against[sample]

    def _alone(self, sample: Sample) -> dict[Prompt, AlignedPair]:
        """Base and source prompts by themselves, as far as they can be read."""
        if sample not in self._read_alone:
            prompts = {prompt.clean: prompt for pair in sample.pairs for prompt in _prompts(pair)}
            outcomes = zip(prompts, self.setup.sampler.aligner.align(prompts.values()), strict=True)
            self._read_alone[sample] = {prompt: one for prompt, one in outcomes if isinstance(one, AlignedPair)}
        return self._read_alone[sample]

    def _right(self, sample: Sample) -> "Floats":
        """1 for the pairs whose base and source are both answered right, of shape [pair]."""
        alone, answers = self._alone(sample), self.setup.model.answers
        own = [[alone.get(prompt.clean) for prompt in _prompts(pair)] for pair in sample.pairs]
        rows = [row for row, both in enumerate(own) if all(both)]
        right = np.zeros(len(sample.pairs))
        right[rows] = 1
        sides: tuple[Side, ...] = ("corrupt", "clean")
        # In the runs that the margins are read in, each with its own answers.
        for which, side in enumerate(sides if rows else ()):
            asked = [(sample.pairs[row], own[row][which]) for row in rows]
            pairs = tuple(replace(pair, answer=one.answer, foil=one.foil) for pair, one in asked if one)
            there = Sample(pairs, whole=False, population=sample.population)
            right[rows] *= answers.base(there, side, self.setup.readout).values > 0
        return right


def _prompts(pair: AlignedPair) -> tuple[Pair, Pair]:
    if not isinstance(pair.pair, InterchangePair):
        raise AssertionError("interchanges are made of interchange pairs")
    return pair.pair.prompts


def _least(values: "Floats", rows: Sequence[int], n: int) -> "Floats":
    """The least of the values of each row."""
    found: Floats = np.full(n, np.inf)
    np.minimum.at(found, rows, values)
    return found


def _others(pairs: PromptPairs, names: tuple[str, ...]) -> tuple[str, ...]:
    """Another variable, or slot, that has interchanges of its own; raises ``NotApplicable`` where there is none."""
    for name in [*pairs.description.variables, *pairs.description.slots]:
        if name in names:
            continue
        try:
            interchanges(pairs, [name])
        except MethodError:
            continue
        return (name,)
    raise NotApplicable("there is no other variable to interchange")
