"""Attribution patching: what a patch would shift, to first order, at every component and position in one backward pass a batch.

found = attributions(answers, sample, [(1, "N"), (0, "H")], [end, fruit], weights, "corrupt", readout)
found[1, "N"].shape        # (group, position, neuron)

The slope of the run that is written into times the change that the patch makes (Nanda 2023; Syed et al. 2023). A feature's is the slope
along its decoder row, times the difference that the encoder makes of the two streams (Marks et al. 2024).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.gradients.runs import GradientBatch, Gradients
from circuitcheck.engine.hooks.attached import Attached
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.forced import FORCED
from circuitcheck.engine.readouts.named import Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.forced import Branches, branches_of
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# By how much each log-probability is moved to see what becomes of a readout of several of them.
_STEP = 1e-4


def attributions(
    answers: Answers,
    sample: Sample,
    places: Sequence[tuple[int, str]],
    positions: Sequence[Position],
    weights: "Floats",
    into: Side,
    readout: Readout,
    steps: int = 1,
) -> "dict[tuple[int, str], Floats]":
    """What patching each component brings back (or, into the clean run, takes away) to first order, summed over the pairs by
    ``weights`` [group, pair]: by (layer, kind), of shape [group, position, component]; of what has no number, one component.

    ``steps``: see ``Gradients``. Raises ``MethodError`` for a readout that has no slope, and for a place at which nothing is read.
    """
    check_slope(readout, into, steps)
    found: dict[tuple[int, str], torch.Tensor] = {}
    attached = answers.engine.attached
    hooks = [hook_name(*place) for place in places]
    hooks += [attached.read_at(*place) for place in places if KINDS[place[1]].host]
    with answers.question():
        for part, read, weighted in _parts(answers, sample, weights, into, readout, steps):
            gradients = Gradients(answers.engine, read, into, steps)
            for batch in gradients.batches(part, list(dict.fromkeys(hooks))):
                for place in places:
                    # A dictionary may have so many features that those of one row fill the memory.
                    for some in batch.row_by_row() if KINDS[place[1]].host else [batch]:
                        rows = torch.tensor(weighted[:, np.array(batch.chunk.rows)[some.which.numpy()]])
                        summed = _summed(attached, some, place, positions, rows)
                        found[place] = found[place] + summed if place in found else summed
    sign = 1 if into == "corrupt" else -1
    return {place: sign * summed.numpy() for place, summed in found.items()}


def check_slope(readout: Readout, into: Side, steps: int) -> None:
    """Raise ``MethodError`` for a readout whose slope is 0 there, or none."""
    if readout.is_step:
        raise MethodError(
            f"{readout.short} moves in steps, so that its slope is 0: attribute the logit difference (readout='logit_diff'), and claim "
            f"the {readout.short} of what is found"
        )
    if readout.looks_at_clean and into == "clean" and steps == 1:
        raise MethodError(
            f"{readout.short} is at its best in the clean run, where its slope is 0: attribute into='corrupt', or with steps=8"
        )


def _summed(
    attached: Attached,
    batch: GradientBatch,
    place: tuple[int, str],
    positions: Sequence[Position],
    weights: torch.Tensor,
) -> torch.Tensor:
    """The attributions of a batch, of shape [group, position, component]; ``weights`` of shape [group, row]."""
    if hook_name(*place) not in batch.slopes:
        layer, kind = place
        site = Site(layer, kind, 0 if KINDS[kind].numbered else -1)
        raise MethodError(
            f"{site} cannot be attributed in this model: what is there is not read, so that it has no slope"
        )
    if batch.chunk.is_aligned:
        each = _by_component(attached, batch, place, EVERYWHERE)
        masks = torch.stack([batch.chunk.mask(position, batch.into)[batch.which] for position in positions])
        # Of shape [group, position, row and token]: one product for all of them.
        chosen = (weights[:, None, :, None] * masks).flatten(2).to(each)
        return (chosen @ each.flatten(0, 1)).double().cpu()
    sums = []
    for position in positions:
        each = _by_component(attached, batch, place, position)
        chosen = (weights[:, :, None] * batch.chunk.mask(position, batch.into)[batch.which]).flatten(1).to(each)
        sums.append(chosen @ each.flatten(0, 1))
    return torch.stack(sums, 1).double().cpu()


def _by_component(attached: Attached, batch: GradientBatch, place: tuple[int, str], position: Position) -> torch.Tensor:
    """Slopes times changes, of shape [row, token, component]."""
    hook, row = hook_name(*place), KINDS[place[1]]
    slope = batch.slopes[hook]
    slope = slope.to(torch.promote_types(slope.dtype, torch.float32))
    if not row.host:
        moved = slope * batch.change(hook, position)
        if row.width == "one":
            return moved
        return moved.sum(-1) if row.numbered else moved.sum(-1, keepdim=True)
    dictionary, read_at = attached.of(*place), attached.read_at(*place)
    there = attached.made(*place, batch.there[hook], batch.there[read_at], None)
    other = attached.made(*place, batch.counterpart(hook, position), batch.counterpart(read_at, position), None)
    if not row.numbered:
        return (slope * (other - there)).sum(-1, keepdim=True)
    along = slope.to(dictionary.decoder) @ dictionary.decoder.T
    return (other - there) * along * dictionary.scale(batch.there[read_at])


def _parts(
    answers: Answers, sample: Sample, weights: "Floats", into: Side, readout: Readout, steps: int
) -> "Iterator[tuple[Sample, Readout, Floats]]":
    """What is run, how it is read, and by what weights it adds up to the readout of a sample's pairs."""
    branches = branches_of(sample)
    if branches is None:
        yield sample, readout, weights
        return
    readout.check(sample.pairs)
    if steps > 1:
        raise MethodError("integrated gradients take answers of one token: leave out steps=")
    slopes = _slopes_of_branches(branches, readout, answers.base(branches.sample, into, FORCED).values)
    yield branches.sample, FORCED, weights[:, branches.places[branches.pair]] * slopes
    if branches.others.pairs:
        yield branches.others, readout, weights[:, branches.elsewhere]


def _slopes_of_branches(branches: Branches, readout: Readout, forced: "Floats") -> "Floats":
    """How a readout of several log-probabilities changes with each of them; of shape [branch]."""
    found = np.zeros(len(forced))
    _, first, counts = np.unique(branches.pair, return_index=True, return_counts=True)
    for number in range(
        int(counts.max())
    ):  # of each pair its branch of that number: pairs do not depend on each other's
        moved = (first + number)[counts > number]
        up, down = (forced.copy(), forced.copy())
        up[moved] += _STEP
        down[moved] -= _STEP
        change = readout.of_several(branches, up, None) - readout.of_several(branches, down, None)
        found[moved] = change[branches.pair[moved]] / (2 * _STEP)
    return found
