"""A model on a population of pairs: the verbs.

run = model.on(FRUIT)
run.accuracy > 0.9
run.patch("L1.N8") > 0.4                  # denoising: the clean activation into the corrupted run
run.patch("L1.N8", into="clean") > 0.3    # noising: the corrupted one into the clean run
run.ablate("L1.N8", "mean") > 0.3
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck import directions, observations, probes, steering
from circuitcheck.agreement import agreement
from circuitcheck.alignment import token_positions
from circuitcheck.circuits import divided, sites_of
from circuitcheck.completeness import completeness
from circuitcheck.directions import Direction
from circuitcheck.effects import Effect
from circuitcheck.engine import Sample
from circuitcheck.errors import MethodError
from circuitcheck.gathered import Gathered
from circuitcheck.grounds import Grounds
from circuitcheck.independence import independence
from circuitcheck.ledger import note_sweep
from circuitcheck.methods import NOTHING_HELD, Ablation, Held, Method, Side, ablation, held, removing
from circuitcheck.minimality import minimality
from circuitcheck.mutants import Mutant, NotApplicable, current, mutated, shuffled_weights
from circuitcheck.one_question import one_question
from circuitcheck.shrunk import shrink
from circuitcheck.sites import EVERYWHERE, SUBLAYERS, Site, parse
from circuitcheck.sweeps import Sweep, ordered
from circuitcheck.verbs import Ablating, Act, Keeping, Patching, frozen

if TYPE_CHECKING:
    from circuitcheck.circuits import Circuit
    from circuitcheck.prompts import PromptPairs
    from circuitcheck.types import Floats

_ONE_ANSWER = "every prompt has the same answer, so that a model that always gives it would do as well"


class Run(Grounds):
    """A model on a population; made by ``model.on(pairs)``. Its verbs compute nothing: see ``Effect``."""

    @property
    def accuracy(self) -> Effect:
        """The share of clean prompts that are answered right: above the foil, or top of all where there is none."""
        right = self.again(readout="accuracy")
        right.tag = right.where

        def gather(sample: Sample) -> Gathered:
            values = right._base(sample, "clean").values
            notes = (_ONE_ANSWER,) if len(values) > len({pair.answer for pair in sample.pairs}) == 1 else ()
            return Gathered(values, {"accuracy": np.ones(len(values))}, notes=notes)

        return Effect(right, "accuracy", right._method("observe", "", ()), "accuracy", gather, limits=(0.0, 1.0))

    @property
    def gap(self) -> Effect:
        """Clean minus corrupted readout."""
        unit = self.readout.unit
        method = self._method("observe", "", ())

        def gather(sample: Sample) -> Gathered:
            gaps = self._gaps(sample)
            return Gathered(gaps, {unit: np.ones(len(gaps))})

        return Effect(self, "gap", method, unit, gather)

    def patch(
        self,
        site: "str | Circuit",
        into: Side = "corrupt",
        along: Direction | None = None,
        *,
        through: str = "",
        ln: str = "",
    ) -> Effect:
        """Activation patching at the sites of an address, in the share of the gap.

            model.on(FRUIT).patch("L31.N892 | L26.H1@end") > 0.4
            model.on(FRUIT).patch("L26.H1 -> L31.N892") > 0.3
            model.on(TEST).patch("L1.RESID_POST@end", along=direction) > 0.4

        ``into="corrupt"`` puts the clean activation into the corrupted run (denoising): how much comes back?
        ``into="clean"`` puts the corrupted one into the clean run (noising): how much is lost? ``along`` a direction, its
        component in it alone; raises ``MethodError`` for pairs that the direction was found on.

        A path ("A -> B.Q") changes what B reads by the change in what A writes, and nothing else that B reads: every head
        and MLP on the way is held at the base run (``through="mlps"`` lets the MLPs move, as in Wang et al. 2022). What
        follows B is free. ``ln="frozen"`` holds the scales of the normalisations behind the sites, of a path that of its
        end, so that what a component says is told from what rescaling makes of it. Raises ``MethodError`` for a path
        through blocks with a normalisation behind each sublayer, unless their scales are held.
        """
        if into not in ("clean", "corrupt"):
            raise MethodError(f"patch goes into='corrupt' (denoising) or into='clean' (noising), not {into!r}")
        sites = sites_of(site, self.model.anatomy)
        subspace = None if along is None else along.subspace(self.model, sites)
        site, sites = mutated(str(site), sites, self.model.anatomy)
        mutant = current()
        kept = self._held(sites, through, ln)
        verb = Patching(into, mutant is not None and mutant.crossed, kept, subspace)
        denoising = into == "corrupt"
        part = "" if along is None else f", along the {along}"
        method = self._method(
            "patch",
            site,
            sites,
            value=("clean activation" if denoising else "corrupted activation") + part,
            direction="denoising" if denoising else "noising",
            held=kept,
        )

        def gather(sample: Sample) -> Gathered:
            notes = () if along is None else along.notes_on(sample.pairs)
            with self._as_mutated(mutant, sites):
                [patched] = verb.shifts(self, sample, [sites])
                drawn = along is not None and along.drawn
                return Gathered(patched.values, self._bases(sample), drawn=drawn, notes=(*patched.notes, *notes))

        way = f"{'' if along is None else ' along a direction'}{'' if denoising else ' into clean'}"
        label = f"patch {site}{way}{kept.suffix}"

        def at(address: str, value: "str | float | Ablation | None") -> Effect:
            if value is not None:
                raise MethodError(f"a patch puts in what was there in the other run; {value!r} is an ablation's value")
            return self.patch(address, into, along, through=through, ln=ln)

        act = Act(verb, sites, at)
        return Effect(self, label, method, "gap", gather, act=act)

    def ablate(
        self,
        site: "str | Circuit",
        value: "str | float | Ablation" = "mean",
        within: str | None = None,
        *,
        through: str = "",
        ln: str = "",
    ) -> Effect:
        """Ablation at the sites of an address in the clean run, in the share of the behaviour: how much is lost?

            model.on(FRUIT).ablate("L31.N892", "mean") > 0.3

        ``value``: "mean", "zero", "resample", "counterfactual" (what is there in the corrupted run), a number, or
        ``circuitcheck.scaled(-1)`` (what is there, times a factor); ``circuitcheck.mean(of="clean")`` names the reference
        prompts. Zero, numbers and factors leave the BOS token alone. The behaviour is what the run loses when everything
        in ``within`` (all heads and MLPs, where nothing is said) is ablated in the same way, with nothing held. What is
        scaled is not gone: its effect is in the share of the gap. ``through`` and ``ln`` are those of ``patch``: with
        ``ln="frozen"``, what a model repairs by rescaling is not repaired.
        """
        site, sites = mutated(str(site), sites_of(site, self.model.anatomy), self.model.anatomy)
        how, mutant = ablation(value), current()
        if mutant is not None and mutant.crossed:
            raise NotApplicable("an ablation has no source")
        if how.needs_reference and any(site.kind == "H.PATTERN" for site in sites):
            raise MethodError(
                f"attention patterns of different prompts have no {how} in common: patch it, or ablate Q or K"
            )
        universe = self.universe if within is None else within
        everything, kept = self._sites(universe), self._held(sites, through, ln)
        method = self._method("ablate", site, sites, value=str(how), direction="ablation", universe=universe, held=kept)

        def gather(sample: Sample) -> Gathered:
            with self._as_mutated(mutant, sites):
                [ablated] = verb.shifts(self, sample, [sites])
                bases = self._bases(sample)
                if how.kind != "scaled":
                    [behaviour] = Ablating(how).shifts(self, sample, [everything])
                    bases["behaviour"] = behaviour.values
            reference = self.reference_of(sample).describe(how.of) if how.needs_reference else ""
            return Gathered(ablated.values, bases, reference, how.kind == "resample", ablated.notes)

        def at(address: str, value: "str | float | Ablation | None") -> Effect:
            return self.ablate(address, how if value is None else value, within, through=through, ln=ln)

        verb = Ablating(how, kept)
        act = Act(verb, sites, at)
        unit = "gap" if how.kind == "scaled" else "behaviour"
        return Effect(self, f"ablate {site} ({how}){kept.suffix}", method, unit, gather, act=act)

    def keep(
        self, circuit: "str | Circuit", value: "str | float | Ablation" = "mean", within: str | None = None
    ) -> Effect:
        """All else in ``within`` ablated in the clean run: how much of the behaviour stays? (faithfulness)

            model.on(FRUIT).keep("L0.H2 | L1.N8") > 0.8
            model.on(FRUIT).keep(Circuit(movers="L9.H6 | L9.H9"), "resample", within="L*.H*") > 0.8

        In the share of the behaviour: (m(circuit) - m(nothing)) / (m(model) - m(nothing)), so that nothing keeps 0 and
        everything 1 (Wang et al. 2022). ``value`` is an ablation's, ``within`` all heads and MLPs where nothing is said;
        where the circuit has neurons of a layer, its MLP is ablated neuron by neuron. A circuit may have edges: a component
        at which some end hears only these (see ``circuitcheck.edges``). Raises ``MethodError`` for members outside
        ``within``.
        """
        anatomy = self.model.anatomy
        name, sites = mutated(str(circuit), sites_of(circuit, anatomy), anatomy)
        how, mutant = removing(value), current()
        if mutant is not None and mutant.crossed:
            raise NotApplicable("an ablation has no source")
        universe = self.universe if within is None else within
        verb = Keeping(how, self._sites(universe))
        everything = divided(sites, verb.universe, anatomy)
        method = self._method("keep", name, sites, value=str(how), direction="all else ablated", universe=universe)

        def gather(sample: Sample) -> Gathered:
            with self._as_mutated(mutant, sites):
                [kept] = verb.shifts(self, sample, [sites])
                [behaviour] = Ablating(how).shifts(self, sample, [everything])
                bases = {**self._bases(sample), "behaviour": behaviour.values}
            reference = self.reference_of(sample).describe(how.of) if how.needs_reference else ""
            return Gathered(kept.values, bases, reference, how.kind == "resample", kept.notes)

        def at(address: str, value: "str | float | Ablation | None") -> Effect:
            return self.keep(address, how if value is None else value, within)

        return Effect(self, f"keep {name} ({how})", method, "behaviour", gather, act=Act(verb, sites, at))

    steer = steering.steer
    direct = observations.direct
    lens = observations.lens
    attention = observations.attention
    probe = probes.probe
    mean_difference = directions.mean_difference
    completeness = completeness
    minimality = minimality
    agreement = agreement
    independence = independence
    shrink = shrink

    @one_question
    def sweep(
        self,
        sites: str,
        verb: Literal["patch", "ablate", "direct", "lens"] = "patch",
        *,
        into: Side = "corrupt",
        value: "str | float | Ablation" = "mean",
    ) -> Sweep:
        """The effect of each site of an address by itself, in common batches: a labelled array, with a picture.

            model.on(FRUIT).sweep("L31.N*").top(5)
            model.on(FRUIT).sweep("L*.RESID_PRE@*")          # each token by itself, where @* is written
            model.on(FRUIT).sweep("L*.H*", verb="ablate", value="mean")
            model.on(FRUIT).sweep("L*.RESID_POST", verb="lens")

        ``into`` and ``value`` are those of ``patch`` and ``ablate``. It describes, and decides nothing.
        """
        ways: dict[str, Callable[[str], Effect]] = {
            "patch": partial(self.patch, into=into),
            "ablate": partial(self.ablate, value=value),
            "direct": self.direct,
            "lens": self.lens,
        }
        if verb not in ways:
            raise MethodError(f"a sweep's verb is one of {', '.join(ways)}, not {verb!r}")
        found, one = tuple(self._spread(sites)), ways[verb]
        first = one(str(found[0]))
        if first.act is None:
            raise AssertionError("a verb acts on components")
        measured, stages = first.measure(), self.described
        doing, sets = first.act.verb, [[site] for site in found]
        shifts = [np.stack([shift for shift, _ in doing.shifts(self, stage.sample, sets)]) for stage in stages]
        sweep = Sweep(
            label=first.label.replace(str(found[0]), sites),
            unit=measured.unit,
            sites=found,
            position_names=self._position_names(found),
            shifts=np.concatenate(shifts, axis=1),
            evidence=lambda shift: first.evidence_of(shift, stages),
            method=replace(measured.method, component=sites, sites=len(found)),
            measure=lambda address: one(address).measure(),
        )
        note_sweep(sweep)
        return sweep

    def again(self, pairs: "PromptPairs | None" = None, readout: str = "") -> "Run":
        """The same on other pairs, or with another readout."""
        own = self.readout.function or self.readout.name
        return Run(self.model, pairs or self.pairs, readout or own, self.generalise, f"@{self.read_at}")

    def _held(self, sites: Sequence[Site], through: str, ln: str) -> Held:
        found = held(through, ln)
        if any(site.via for site in sites):
            parts = [part for site in sites for part in site.via if part.kind not in ("EMBED", *SUBLAYERS)]
            if self.model.anatomy.post_norm and not found.norms and parts:
                raise MethodError(
                    f"{self.model.name} has a normalisation behind each sublayer, so that what {parts[0]} adds depends on all "
                    'that is added beside it: hold the scales with ln="frozen", or begin the path at the sublayer'
                )
        elif through:
            raise MethodError(f"through= is about what lies on a path's way ('A -> B'); {sites[0]} has none")
        return found

    def _position_names(self, sites: Sequence[Site]) -> dict[str, str]:
        """Positions between slots by the token that stands there in the first pair."""
        pair = self.sample.pairs[0]
        names = {}
        for position in dict.fromkeys(site.position for site in sites):
            if not position.everywhere and (position.offset or not position.slot):
                token = pair.clean[pair.positions(position)[0]]
                names[f"@{position}"] = self._token_texts((token,))[0].strip() or f"@{position}"
        return names

    def _spread(self, address: str) -> list[Site]:
        """The sites of an address, those behind a written ``@*`` once for every token."""
        self._sites(address)
        spread: list[Site] = []
        for term in address.split("|"):
            sites = self._sites(term)
            if "@*" in term.replace(" ", ""):
                sites = tuple(
                    replace(site, position=position)
                    for site in sites
                    for position in token_positions(self.sample.pairs)
                )
            spread += sites
        return ordered(spread)

    def _as_mutated(self, mutant: Mutant | None, sites: Sequence[Site]) -> AbstractContextManager[None]:
        """The model as a mutant has it."""
        if mutant is None or not mutant.shuffled:
            return nullcontext()
        return shuffled_weights(self.model, sites)

    def show(self, n: int = 4) -> str:
        """The first ``n`` pairs as tokens, slots in brackets, with the answer and the foil."""
        lines = [f"{len(self.sample.pairs)} of {self.drawn.words}"]
        for aligned in self.sample.pairs[:n]:
            for side in ("clean", "corrupt"):
                tokens = self._token_texts(aligned.tokens(side))
                marked = [
                    f"[{token}]" if segment >= 0 and segment < len(aligned.slots) and aligned.slots[segment] else token
                    for token, segment in zip(tokens, aligned.segments, strict=True)
                ]
                lines.append(f"{side:>8}  {'·'.join(marked)}")
            answers = " ".join(map(repr, self._token_texts(aligned.answer)))
            foils = " ".join(map(repr, self._token_texts(aligned.foil)))
            lines.append(f"  answer  {answers}" + (f"  foil  {foils}" if foils else ""))
        if self.drawn.rejections.total:
            lines.append(f"rejected  {self.drawn.rejections}")
        return "\n".join(lines)

    def _token_texts(self, tokens: tuple[int, ...]) -> list[str]:
        tokenizer = self.model.bridge.tokenizer
        return [str(token) if tokenizer is None else str(tokenizer.decode([token])) for token in tokens]

    def _bases(self, sample: Sample) -> "dict[str, Floats]":
        clean = self._base(sample, "clean").values
        return {"gap": self._gaps(sample), "clean": clean, self.readout.unit: np.ones(len(clean))}

    def _sites(self, address: str) -> tuple[Site, ...]:
        return parse(address, self.model.anatomy)

    @property
    def universe(self) -> str:
        """What is ablated of a behaviour, where nothing else is said."""
        return "L*.H*" if self.model.anatomy.d_mlp is None else "L*.H* | L*.MLP"

    def _method(
        self,
        verb: str,
        address: str,
        sites: tuple[Site, ...],
        value: str = "",
        direction: str = "",
        universe: str = "",
        held: Held = NOTHING_HELD,
    ) -> Method:
        positions = dict.fromkeys("all" if site.position == EVERYWHERE else f"@{site.position}" for site in sites)
        return Method(
            verb=verb,
            granularity=", ".join(dict.fromkeys(site.granularity for site in sites)),
            component=address,
            value=value,
            reference="",
            positions=", ".join(positions),
            direction=direction,
            sites=len(sites),
            universe=universe,
            frozen=frozen(sites, held),
            readout=self.reads,
            clipped="",
        )
