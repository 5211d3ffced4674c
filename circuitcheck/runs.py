"""A model on a population of pairs: the verbs.

run = model.on(FRUIT)
run.accuracy > 0.9
run.patch("L1.N8") > 0.4                  # denoising: the clean activation into the corrupted run
run.patch("L1.N8", into="clean") > 0.3    # noising: the corrupted one into the clean run
run.ablate("L1.N8", "mean") > 0.3
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck.alignment import token_positions
from circuitcheck.effects import Effect, Gathered
from circuitcheck.engine import Outcome, Sample
from circuitcheck.engine.reference import Reference
from circuitcheck.errors import BehaviourAbsent, ClaimInconclusive, MethodError, PromptError
from circuitcheck.evidence import Evidence
from circuitcheck.methods import Ablation, Method, Side, ablation
from circuitcheck.prompts import PromptPairs
from circuitcheck.readouts import readout
from circuitcheck.sites import EVERYWHERE, Site, parse
from circuitcheck.sweeps import Sweep, ordered

if TYPE_CHECKING:
    from circuitcheck.models import Model
    from circuitcheck.types import Floats

_ONE_ANSWER = "every prompt has the same answer, so that a model that always gives it would do as well"
_INERT = "what was put in is what was there, in every pair: the component is inert here"


class Run:
    """A model on a population; made by ``model.on(pairs)``. Its verbs compute nothing: see ``Effect``."""

    def __init__(self, model: "Model", pairs: PromptPairs, readout_name: str):
        if not isinstance(pairs, PromptPairs):
            raise PromptError(f"model.on takes PromptPairs, not a {type(pairs).__name__}")
        self.model, self.pairs, self.readout = model, pairs, readout(readout_name)

    @property
    def accuracy(self) -> Effect:
        """The share of clean prompts that are answered right: above the foil, or top of all where there is none."""
        right = self.model.on(self.pairs, "accuracy")

        def gather() -> Gathered:
            values = right._base("clean").values
            notes = (_ONE_ANSWER,) if len(values) > len({pair.answer for pair in self.sample.pairs}) == 1 else ()
            return Gathered(values, {"accuracy": np.ones(len(values))}, notes=notes)

        return Effect(right, "accuracy", right._method("observe", "", ()), "accuracy", gather, counts=True)

    @property
    def gap(self) -> Effect:
        """Clean minus corrupted readout."""
        unit = self.readout.unit
        method = self._method("observe", "", ())
        return Effect(self, "gap", method, unit, lambda: Gathered(self.gaps, {unit: np.ones(len(self.gaps))}))

    def patch(self, site: str, into: Side = "corrupt") -> Effect:
        """Activation patching at the sites of an address, in the share of the gap.

            model.on(FRUIT).patch("L31.N892 | L26.H1@end") > 0.4

        ``into="corrupt"`` puts the clean activation into the corrupted run (denoising): how much comes back?
        ``into="clean"`` puts the corrupted one into the clean run (noising): how much is lost?
        """
        if into not in ("clean", "corrupt"):
            raise MethodError(f"patch goes into='corrupt' (denoising) or into='clean' (noising), not {into!r}")
        sites = self._sites(site)
        denoising = into == "corrupt"
        method = self._method(
            "patch",
            site,
            sites,
            value="clean activation" if denoising else "corrupted activation",
            direction="denoising" if denoising else "noising",
        )

        def gather() -> Gathered:
            patched = self.model.engine.patched(self.sample, sites, into, self.readout)
            return Gathered(self._shift(patched, into), self._bases(), notes=_facts(patched))

        label = f"patch {site}" if denoising else f"patch {site} into clean"
        return Effect(self, label, method, "gap", gather)

    def ablate(self, site: str, value: "str | float | Ablation" = "mean", within: str | None = None) -> Effect:
        """Ablation at the sites of an address in the clean run, in the share of the behaviour: how much is lost?

            model.on(FRUIT).ablate("L31.N892", "mean") > 0.3

        ``value``: "mean", "zero", "resample" or a number; ``circuitcheck.mean(of="clean")`` names the reference
        prompts. Zero and numbers leave the BOS token alone. The behaviour is what the run loses when everything in
        ``within`` (all heads and MLPs, where nothing is said) is ablated in the same way.
        """
        sites, how = self._sites(site), ablation(value)
        universe = self._universe if within is None else within
        everything = self._sites(universe)
        method = self._method("ablate", site, sites, value=str(how), direction="ablation", universe=universe)

        def gather() -> Gathered:
            engine, clean = self.model.engine, self._base("clean").values
            ablated = engine.ablated(self.sample, sites, how, self.reference, self.readout)
            nothing = engine.ablated(self.sample, everything, how, self.reference, self.readout)
            bases = {**self._bases(), "behaviour": clean - nothing.values}
            reference = self.reference.describe(how.of) if how.needs_reference else ""
            shift = self._shift(ablated, "clean")
            return Gathered(shift, bases, reference, how.kind == "resample", _facts(ablated))

        return Effect(self, f"ablate {site} ({how})", method, "behaviour", gather)

    def sweep(
        self,
        sites: str,
        verb: Literal["patch", "ablate"] = "patch",
        *,
        into: Side = "corrupt",
        value: "str | float | Ablation" = "mean",
    ) -> Sweep:
        """The effect of each site of an address by itself, in common batches: a labelled array, with a picture.

            model.on(FRUIT).sweep("L31.N*").top(5)
            model.on(FRUIT).sweep("L*.RESID_PRE@*")          # each token by itself, where @* is written
            model.on(FRUIT).sweep("L*.H*", verb="ablate", value="mean")

        ``verb``, ``into`` and ``value`` are those of ``patch`` and ``ablate``. It describes, and decides nothing.
        """
        if verb not in ("patch", "ablate"):
            raise MethodError(f"a sweep's verb is 'patch' or 'ablate', not {verb!r}")
        found = tuple(self._spread(sites))
        one: Callable[[str], Effect] = (
            partial(self.patch, into=into) if verb == "patch" else partial(self.ablate, value=value)
        )
        sets, engine = [[site] for site in found], self.model.engine
        if verb == "patch":
            outcomes = engine.patched_each(self.sample, sets, into, self.readout)
        else:
            outcomes = engine.ablated_each(self.sample, sets, ablation(value), self.reference, self.readout)
        first = one(str(found[0]))
        measured = first.measure()
        return Sweep(
            label=first.label.replace(str(found[0]), sites),
            unit=measured.unit,
            sites=found,
            position_names=self._position_names(found),
            shifts=np.stack([self._shift(outcome, into if verb == "patch" else "clean") for outcome in outcomes]),
            base=first.base,
            exact=measured.exact,
            level=measured.level,
            method=replace(measured.method, component=sites, sites=len(found)),
            measure=lambda address: one(address).measure(),
        )

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

    @property
    def sample(self) -> Sample:
        """The pairs that every number on this population is about."""
        return self.model.sampler.sample(self.pairs)

    @property
    def reference(self) -> Reference:
        """The reference set of this population's ablations."""
        return self.model.sampler.reference(self.pairs)

    @property
    def gaps(self) -> "Floats":
        """Clean minus corrupted readout of each pair, of shape [pair]."""
        return self._base("clean").values - self._base("corrupt").values

    @property
    def noise(self) -> float:
        """What rounding can make of a readout: nothing of an accuracy, of a logit difference by its logits' size."""
        if self.readout.unit != "logits":
            return 0.0
        return self.model.rounding * self.model.engine.scale(self.sample, self.readout)

    def check_present(self, base: "Floats", what: str) -> None:
        """Raise unless the mean of ``base`` is established to be above the floor."""
        settings = self.model.settings
        floor = settings.floor_logits if self.readout.unit == "logits" else settings.floor_share
        evidence = Evidence(base, np.ones(len(base)), self.sample.whole, settings.alpha)
        if evidence.above(floor):
            return
        found = f"on {self.model.name} {what} is {base.mean():.3g} {self.readout.unit} (n={len(base)})"
        if evidence.below(floor) or self.sample.whole:
            raise BehaviourAbsent(
                f"behaviour absent: {found}, not above the floor of {floor:g}\n"
                f"  A share of it would mean nothing. Look at the prompts with pairs.show(model), e.g.\n"
                f"  {self.sample.pairs[0].pair.clean.text!r} / {self.sample.pairs[0].pair.corrupt.text!r}"
            )
        raise ClaimInconclusive(
            f"inconclusive: {found}, and the sample does not establish that it is above the floor of {floor:g}"
        )

    def show(self, n: int = 4) -> str:
        """The first ``n`` pairs as tokens, slots in brackets, with the answer and the foil."""
        lines = [f"{len(self.sample.pairs)} of {self.sample.population}"]
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
        if self.sample.rejections.total:
            lines.append(f"rejected  {self.sample.rejections}")
        return "\n".join(lines)

    def _token_texts(self, tokens: tuple[int, ...]) -> list[str]:
        tokenizer = self.model.bridge.tokenizer
        return [str(token) if tokenizer is None else str(tokenizer.decode([token])) for token in tokens]

    def _base(self, side: Side) -> Outcome:
        return self.model.engine.base(self.sample, side, self.readout)

    def _shift(self, outcome: Outcome, into: Side) -> "Floats":
        """What an intervention brought back in the corrupted run, or took away in the clean one."""
        before = self._base(into).values
        shift: Floats = outcome.values - before if into == "corrupt" else before - outcome.values
        return shift

    def _bases(self) -> "dict[str, Floats]":
        clean = self._base("clean").values
        return {"gap": self.gaps, "clean": clean, self.readout.unit: np.ones(len(clean))}

    def _sites(self, address: str) -> tuple[Site, ...]:
        return parse(address, self.model.anatomy)

    @property
    def _universe(self) -> str:
        return "L*.H*" if self.model.anatomy.d_mlp is None else "L*.H* | L*.MLP"

    def _method(
        self,
        verb: str,
        address: str,
        sites: tuple[Site, ...],
        value: str = "",
        direction: str = "",
        universe: str = "",
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
            frozen="nothing",
            readout=str(self.readout),
        )


def _facts(outcome: Outcome) -> tuple[str, ...]:
    return (_INERT,) if outcome.unchanged else ()
