"""What is written wherever it is asked for, as frozen records, and how interventions are made of them.

answers.each(sample, sets_of_sites, Patching("corrupt"), readout)
answers.each(sample, sets_of_sites, Ablating("clean", how=Mean(), reference=reference), readout)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import KINDS, LOGITS
from circuitcheck.addresses.sites import EVERYWHERE, Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.attached import Attached
from circuitcheck.engine.hooks.hookpoints import Target, targets
from circuitcheck.engine.hooks.interventions import Intervention, Supply
from circuitcheck.engine.hooks.norms import held_scales
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.hooks.writes import Hold
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.reference_values import ReferenceValues
from circuitcheck.engine.subspaces import Placebo, Subspace, whole
from circuitcheck.engine.trust import Trust
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side, Sides, other_side
from circuitcheck.sampling.forced import runs_of
from circuitcheck.sampling.references import PARTS, Donors, Reference
from circuitcheck.sampling.samples import Sample


class Making:
    """Makes the interventions of one model. ``trust`` says, when values are needed, by what they are run; ``chunks`` divides
    a reference sample."""

    def __init__(
        self,
        bridge: Any,
        anatomy: Anatomy,
        bos: int | None,
        plain: Plain,
        trust: Callable[[], Trust],
        chunks: Callable[[Sample], list[Chunk]],
        attached: Attached,
    ):
        self.bridge, self.anatomy, self.bos, self.plain, self.attached = bridge, anatomy, bos, plain, attached
        self._trust, self.chunks = trust, chunks
        self._means: dict[Hashable, torch.Tensor] = {}
        self._sums: dict[Hashable, tuple[torch.Tensor, torch.Tensor]] = {}
        self._known: WeakKeyDictionary[Sample, dict[Hashable, torch.Tensor]] = WeakKeyDictionary()

    def forget(self) -> None:
        """Forget the reference means: the model has changed."""
        self._means.clear()
        self._sums.clear()

    def intervention(self, writing: "Writing", variants: list[list[Target]]) -> Intervention:
        """What is written at each of several sets of targets. Ends of paths get what arrives there; what is to be held is."""
        direct, held = writing.direct(self, variants), writing.held

        def values(target: Target, chunk: Chunk, start: int) -> Supply:
            if not target.routes:
                return direct.values(target, chunk, start)
            arrived = self._arriving(direct, held, target, chunk, start)
            if target.kind == LOGITS:
                return lambda which, activation: activation + arrived[which]
            return lambda which, _: arrived[which]

        def holding(variant: Sequence[Target], chunk: Chunk, which: torch.Tensor, start: int) -> list[Hold]:
            if not held.norms:
                return []
            hooks = held_scales(self.bridge, variant)
            return self.plain.scales(chunk, direct.side).holds(hooks, which, start)

        return replace(direct, values=values, holding=holding, attached=self.attached)

    def _arriving(self, direct: Intervention, held: Held, target: Target, chunk: Chunk, start: int) -> torch.Tensor:
        """What arrives at the end of a target's paths, of shape [pair, position from ``start``, ...]."""
        sites = [site for route in target.routes for site in route]
        begin = min(start, direct.start(chunk, targets(sites)))
        paths = Paths(
            self.bridge, self.anatomy, self.plain, self._trust().runner, chunk, direct.side, begin, held, self.attached
        )

        def followed(paths: Paths, pairs: torch.Tensor) -> torch.Tensor:
            senders = dict.fromkeys(route[0] for route in target.routes)
            supplies = {site: direct.values(one, chunk, paths.start) for site in senders for one in targets([site])}
            return paths.arriving(target, supplies, direct.mask, pairs)

        self._trust().check_paths(paths, target, followed)
        return followed(paths.by(self._trust().runner), torch.arange(len(chunk.pairs)))[:, start - begin :]

    def activation(self, chunk: Chunk, side: Side, target: Target, start: int) -> torch.Tensor:
        """What is at a target in a chunk's unchanged runs."""
        runner, layer, kind = self._trust().runner, target.layer, target.kind
        if target.is_of_dictionary:
            return self.attached.activation(runner, chunk, side, layer, kind, start, target.components)
        return runner.activation(chunk, side, layer, kind, start)

    def in_other_run(self, chunk: Chunk, into: Side, target: Target, start: int) -> torch.Tensor:
        """What is at a target in each pair's other run, at the tokens that correspond to those of the run ``into`` from ``start`` on;
        shape [pair, position, ...]. Raises ``PromptError`` where one has no counterpart."""
        other = other_side(into)
        if chunk.is_aligned:
            return self.activation(chunk, other, target, start)
        places = chunk.counterparts(target.position, into)
        if KINDS[target.kind].width == "pattern":
            raise MethodError(
                f"{Site(target.layer, target.kind, (target.components or (0,))[0])} attends to each token of its prompt, and the "
                f"other prompt's are not as many: {chunk.pairs[0].told_apart(EVERYWHERE)}"
            )
        first = int(places[places >= 0].min())
        there = self.activation(chunk, other, target, first)
        index = (places[:, start:] - first).clamp(min=0).to(there.device)
        return there[torch.arange(len(chunk.pairs)).unsqueeze(1), index]

    def means(self, reference: Reference, target: Target, of: Sides) -> torch.Tensor:
        """The means over a reference set, worked out once: of all of it and of all but each of its parts in one go, so that
        its prompts are run once."""
        if reference.left_out is not None:
            sums, counts = self._summed(reference, target, of)
            others = [part for part in range(PARTS + 1) if part != reference.left_out]
            if (alone := counts[others].sum(0) == 0).any():  # of tokens that one part alone has, these are the mean
                counts, sums = counts.clone(), sums.clone()
                counts[-1, alone], sums[-1, alone] = counts[:, alone].sum(0), sums[:, alone].sum(0)
            return _mean(sums[others], counts[others])
        key = (reference.identity(of), target.recorded, target.position.from_first)
        if key not in self._means:
            self._means[key] = _mean(*self._summed(reference, target, of))
        return self._means[key]

    def means_over_tokens(self, reference: Reference, target: Target, of: Sides) -> dict[int, torch.Tensor]:
        """The mean over all tokens of a reference set's prompts of each template, BOS and answers left out; worked out once."""
        known = self.known(reference, target).rows_by_template
        parts = range(PARTS + 1) if reference.drawn else range(1)
        left = [part for part in parts if part != reference.left_out]
        found = {}
        for template, rows in known.items():
            key = (reference.identity(of), target.recorded, "all tokens", template)
            if key not in self._means:
                sums, counts = self._summed(reference, target, of)
                sums, counts = sums[:, rows].sum(1), counts[:, rows].sum(1)
                # Of a template that one part alone has, that part is the mean.
                there = left if counts[left].any() else list(parts)
                self._means[key] = sums[there].sum(0) / counts[there].sum().to(sums.device)
            found[template] = self._means[key]
        return found

    def _summed(self, reference: Reference, target: Target, of: Sides) -> tuple[torch.Tensor, torch.Tensor]:
        key = (reference.whole_identity(of), target.recorded, target.position.from_first)
        if key not in self._sums:
            runs = [chunk for sample in runs_of(reference.sample) for chunk in self.chunks(sample)]
            found = self.known(reference, target).sums(runs, self.recorder(target), of)
            if not reference.drawn:
                return found
            self._sums[key] = found
        return self._sums[key]

    def known(self, source: Reference | Donors, target: Target) -> ReferenceValues:
        """What is known of reference prompts at a target."""
        known = self._known.setdefault(source.sample, {})
        if KINDS[target.kind].width == "pattern":
            return ReferenceValues(source, known, "shape")
        return ReferenceValues(source, known, "first" if target.position.from_first else "last")

    def recorder(self, target: Target) -> Callable[[Chunk, Side], torch.Tensor]:
        return lambda source, side: self.activation(source, side, target, 0)


def _mean(sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The mean of each token role, of shapes [part, role, ...] and [part, role]."""
    counted = counts.sum(0).to(sums.device)
    return sums.sum(0) / counted.reshape(-1, *[1] * (sums.dim() - 2))


@dataclass(frozen=True)
class Writing(ABC):
    """What is written into one side's runs, wherever it is."""

    into: Side
    held: Held = NOTHING_HELD

    @property
    @abstractmethod
    def identity(self) -> tuple[Hashable, ...]:
        """All that its numbers depend on, beside sites, pairs and readout."""

    @property
    @abstractmethod
    def of_other_run(self) -> bool:
        """Whether each pair gets what is there in its own other run."""

    @property
    def of_single_runs(self) -> bool:
        """Whether what is put in was there together, in one run: all parts of a thing put in are the thing."""
        return False

    @abstractmethod
    def direct(self, making: Making, variants: list[list[Target]]) -> Intervention:
        """What is written at sets of targets that are no ends of paths."""


@dataclass(frozen=True)
class Patching(Writing):
    """What is there in the other run; ``along``, its part there alone. ``crossed_in``, where it is not empty: what is there in
    the next pair's run of the same side, in the sample of that identity, which has nothing of the behaviour in it."""

    along: Subspace | Placebo | None = None
    crossed_in: str = ""

    @property
    def identity(self) -> tuple[Hashable, ...]:
        return "patch", self.into, self.crossed_in, self.held, self.along

    @property
    def of_other_run(self) -> bool:
        return not self.crossed_in

    @property
    def of_single_runs(self) -> bool:
        return self.along is None

    def direct(self, making: Making, variants: list[list[Target]]) -> Intervention:
        def values(target: Target, chunk: Chunk, start: int) -> Supply:
            put, ahead = self.along or whole, int(bool(self.crossed_in))
            from_run = making.activation if ahead else making.in_other_run
            source = from_run(chunk, self.into, target, start)
            return lambda which, there: put(there, source[(which + ahead) % len(chunk.pairs)])

        return Intervention(self.into, variants, values, from_fork=self.of_other_run)


@dataclass(frozen=True, kw_only=True)
class Ablating(Writing):
    """An ablation's values; from a ``source`` of other prompts, where it needs one."""

    into: Side = "clean"
    how: Ablation
    source: Reference | Donors | None

    @property
    def identity(self) -> tuple[Hashable, ...]:
        frozen = "" if self.source is None else self.source.identity(self.how.sides)
        return "ablate", self.how, frozen, self.held, self.into

    @property
    def of_other_run(self) -> bool:
        return self.how.of_other_run

    @property
    def of_single_runs(self) -> bool:
        return self.how.of_other_run or self.how.is_drawn

    def direct(self, making: Making, variants: list[list[Target]]) -> Intervention:
        spared = making.bos if self.how.spares_bos else None
        return Intervention(self.into, variants, partial(self.values, making), self.of_other_run, spared)

    def values(self, making: Making, target: Target, chunk: Chunk, start: int) -> Supply:
        return self.how.supply(_At(making, self.source, self.into, target, chunk, start))


@dataclass(frozen=True)
class _At:
    """Where an ablation takes its values from: one target of a chunk's runs of one side, from a position on."""

    making: Making
    source: Reference | Donors | None
    into: Side
    target: Target
    chunk: Chunk
    start: int

    def other_run(self) -> Supply:
        there = self.making.in_other_run(self.chunk, self.into, self.target, self.start)
        return lambda which, _: there[which]

    def means(self, of: Sides) -> Supply:
        if not isinstance(self.source, Reference):
            raise AssertionError("means are those of a reference set")
        means, known = self.making.means(self.source, self.target, of), self.making.known(self.source, self.target)
        return lambda which, _: known.mean_values(means, self.chunk, self.into, which)[:, self.start :]

    def drawn(self, of: Sides) -> Supply:
        making, donors = self.making, self.source
        if not isinstance(donors, Donors):
            raise AssertionError("each pair has a donor")
        known, recorder = making.known(donors, self.target), making.recorder(self.target)
        values = known.resampled_values(making.chunks, recorder, of, self.chunk, self.into)[:, self.start :]
        return lambda which, _: values[which]
