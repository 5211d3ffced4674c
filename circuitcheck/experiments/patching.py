"""Activation patching: what was there in the other run, put in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.reading import slopes
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Act, Experiment, Gathered, Sets, Shift
from circuitcheck.experiments.mutants import current, mutated
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Patching:
    """The other run's activation, put ``side`` in; ``crossed``: that of another pair's run of the same side instead;
    ``along``: the part of it in a subspace alone."""

    side: Side
    crossed: bool = False
    held: Held = NOTHING_HELD
    along: Subspace | Placebo | None = None

    def shifts(self, setup: Setup, sample: Sample, sets: Sets) -> list[Shift]:
        """What comes back in the corrupted run, or is lost in the clean one."""
        answers = setup.model.answers
        before = answers.base(sample, self.side, setup.readout).values
        sign = 1 if self.side == "corrupt" else -1
        found = answers.patched_each(sample, sets, self.side, setup.readout, self.crossed, self.held, self.along)
        return [Shift(sign * (outcome.values - before), outcome.unchanged) for outcome in found]

    def slopes(self, setup: Setup, pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        refuse_slopes_of_paths(sites, self.held)
        if self.along is not None:
            raise MethodError(
                "an adversary with gradients takes whole components: search a direction against('coordinate')"
            )
        return slopes.of_patch(setup.model.answers, pair, sites, self.side, setup.readout)


def patching(
    setup: Setup, address: str | Circuit, into: Side, along: Direction | None, through: str, ln: str
) -> Experiment:
    """The other run's activation at the sites of an address; see ``Run.patch``."""
    if into not in ("clean", "corrupt"):
        raise MethodError(f"patch goes into='corrupt' (denoising) or into='clean' (noising), not {into!r}")
    sites = sites_of(address, setup.model.anatomy)
    subspace = None if along is None else along.subspace(setup.model, sites)
    name, sites = mutated(str(address), sites, setup.model.anatomy)
    mutant = current()
    kept = setup.held(sites, through, ln)
    verb = Patching(into, mutant is not None and mutant.crossed, kept, subspace)
    denoising = into == "corrupt"
    part = "" if along is None else f", along the {along}"
    method = setup.method(
        "patch",
        name,
        sites,
        value=("clean activation" if denoising else "corrupted activation") + part,
        direction="denoising" if denoising else "noising",
        held=kept,
    )

    def gather(sample: Sample) -> Gathered:
        notes = () if along is None else along.notes_on(sample.pairs)
        with setup.as_mutated(mutant, sites):
            [patched] = verb.shifts(setup, sample, [sites])
            drawn = along is not None and along.drawn
            return Gathered(patched.values, setup.bases(sample), drawn=drawn, notes=(*patched.notes, *notes))

    def at(other: str, value: "str | float | Ablation | None") -> Experiment:
        if value is not None:
            raise MethodError(f"a patch puts in what was there in the other run; {value!r} is an ablation's value")
        return patching(setup, other, into, along, through, ln)

    way = f"{'' if along is None else ' along a direction'}{'' if denoising else ' into clean'}"
    return Experiment(setup, f"patch {name}{way}{kept.suffix}", method, "gap", gather, act=Act(verb, sites, at))


def refuse_slopes_of_paths(sites: Sequence[Site], held: Held) -> None:
    if held.norms or any(site.via for site in sites):
        raise MethodError(
            "an adversary with gradients takes components, with nothing held: search a path against('coordinate')"
        )
