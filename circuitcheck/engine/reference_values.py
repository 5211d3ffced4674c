"""What the reference prompts of an ablation have at a place: means by token role, and other prompts' activations."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side, sides
from circuitcheck.sampling.forced import branches_of, runs_of
from circuitcheck.sampling.references import PARTS, Donors, Reference
from circuitcheck.sampling.samples import Sample

# The activation of each pair of a chunk, of one side, at the place that is ablated; shape [pair, position, ...].
Recorder = Callable[[Chunk, Side], torch.Tensor]
# What tokens are averaged with: those of the same template and segment, and as far from the segment's last token (or its first); of an
# attention pattern, which has a number for each token of its prompt, those at the same position of prompts of one shape.
Role = tuple[Any, ...]
Counted = Literal["last", "first", "shape"]


class ReferenceValues:
    """Activations of a reference set's prompts, or of donors, in the places of other prompts' tokens. ``known``: what was
    worked out of these prompts before, which goes on being added to. ``counted``: from where tokens are counted in their segment;
    "shape": they are attention patterns."""

    def __init__(self, source: Reference | Donors, known: "dict[Hashable, torch.Tensor]", counted: Counted = "last"):
        self.source, self._indices, self.counted = source, known, counted

    def sums(self, chunks: Sequence[Chunk], recorder: Recorder, of: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The activations of each token role, summed in double precision within each part of a reference set, and how many
        they are, as often as each pair counts; shapes [part, role, ...] and [part, role]. The last part is of what is never left
        out. ``chunks``: what is run of the set's prompts."""
        parts, rows = self._parts, len(self._role_rows)
        total, counts = None, torch.zeros((PARTS + 1) * rows if parts else rows, dtype=torch.double)
        for chunk in chunks:
            weights = torch.tensor([pair.pair.weight for pair in chunk.pairs], dtype=torch.double)
            first = torch.zeros(len(chunk.pairs), dtype=torch.long)  # of each pair's part, the first row
            if parts:
                first = rows * torch.tensor([parts[chunk.key[0]][row] % (PARTS + 1) for row in chunk.rows])
            for side in sides(of):
                key = "roles", self.counted, chunk.key, side
                roles, times = self._once(key, partial(self._roles_of, chunk, side)), self._times(chunk, side)
                roles = (roles + first.unsqueeze(1)).flatten()
                often = weights.repeat_interleave(chunk.length_of(side))
                if times is not None:
                    roles, often = roles.repeat_interleave(times), often.repeat_interleave(times)
                activation = recorder(chunk, side).flatten(0, 1).double()
                if self.counted == "shape":
                    activation = torch.nn.functional.pad(
                        activation, (0, max(one.length for one in chunks) - chunk.length_of(side))
                    )
                if total is None:
                    total = activation.new_zeros(len(counts), *activation.shape[1:])
                if times is not None:
                    activation = activation.repeat_interleave(times.to(activation.device), 0)
                activation *= often.to(activation.device).reshape(-1, *[1] * (activation.dim() - 1))
                total.index_add_(0, roles.to(total.device), activation)
                counts += torch.bincount(roles, often, len(counts))
        if total is None:
            raise MethodError("a reference set has no prompts")
        return total.reshape(-1, rows, *total.shape[1:]), counts.reshape(-1, rows)

    def mean_values(self, means: torch.Tensor, chunk: Chunk, side: Side, which: torch.Tensor) -> torch.Tensor:
        """The mean for every token of rows that are the pairs ``which`` of a chunk, one side of them; shape [row, position, ...]."""
        index = self._once(("nearest", self.counted, chunk.key, side), lambda: self._nearest_of(chunk, side))
        values = means[index[which].to(means.device)]
        return values[..., : chunk.length_of(side)] if self.counted == "shape" else values

    def resampled_values(
        self, chunked: Callable[[Sample], list[Chunk]], recorder: Recorder, of: str, chunk: Chunk, into: Side
    ) -> torch.Tensor:
        """For each pair the activation of its donor, which an answer that is run here follows there, too, at the tokens of its prompt
        of the side ``into``; shape [pair, position, ...]."""
        sample, drawn = self._sources(chunk)
        key = "sources", self.counted, of, chunk.key, into
        places = self._once(key, lambda: self._places_of(chunk, into, sample, drawn))
        values: torch.Tensor | None = None
        for source in chunked(sample):
            place = {row: n for n, row in enumerate(source.rows)}
            for side in sides(of):
                here = [n for n, (row, s) in enumerate(drawn) if row in place and s == side]
                if not here:
                    continue
                activation = recorder(source, side)
                if values is None:
                    values = activation.new_empty(len(chunk.pairs), chunk.length_of(into), *activation.shape[2:])
                rows = torch.tensor([place[drawn[n][0]] for n in here])
                values[here] = activation[rows.unsqueeze(1), places[here]]
        if values is None:
            raise MethodError("a reference set has no prompts")
        return values

    def _once(self, key: Hashable, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        if key not in self._indices:
            self._indices[key] = make()
        return self._indices[key]

    @cached_property
    def _role_rows(self) -> dict[Role, int]:
        """The row of each token role in a table of means, whatever the order of the pairs."""
        pairs = [pair for sample in runs_of(self.source.sample) for pair in sample.pairs]
        patterns = {pair.pattern(side): (pair, side) for pair in pairs for side in sides("both")}
        found = sorted({role for pair, side in patterns.values() for role in self._roles(pair, side)})
        return {role: row for row, role in enumerate(found)}

    @cached_property
    def rows_by_template(self) -> dict[int, list[int]]:
        """The rows of all tokens of the prompts, by template: those of no segment (BOS) and of answers left out."""
        found: dict[int, list[int]] = {}
        for (template, segment, *_), row in self._role_rows.items():
            if segment >= 0:
                found.setdefault(template, []).append(row)
        return found

    def _roles(self, pair: AlignedPair, side: Side) -> list[Role]:
        if self.counted == "shape":
            pattern = pair.pattern(side)
            return [(pattern, position) for position in range(len(pair.tokens(side)))]
        return [(pair.pair.template, *role) for role in pair.roles_of(side, self.counted == "first")]

    def _roles_of(self, chunk: Chunk, side: Side) -> torch.Tensor:
        known = self._role_rows
        return _by_pattern(chunk.pairs, side, lambda pair: [known[role] for role in self._roles(pair, side)])

    def _nearest_of(self, chunk: Chunk, side: Side) -> torch.Tensor:
        known = self._role_rows

        def nearest(pair: AlignedPair) -> list[int]:
            return [known[self._nearest(role, pair, side)] for role in self._roles(pair, side)]

        return _by_pattern(chunk.pairs, side, nearest)

    def _nearest(self, role: Role, pair: AlignedPair, side: Side) -> Role:
        text = pair.prompt(side).text
        if self.counted != "shape":
            return _nearest(role, self._role_rows, text)
        if role not in self._role_rows:
            raise MethodError(
                f"no reference prompt has the shape of {text!r} (as many tokens in each slot), so that its attention pattern has no "
                "mean: patch it, or ablate Q or K"
            )
        return role

    def _sources(self, chunk: Chunk) -> tuple[Sample, list[tuple[int, Side]]]:
        """Prompts, and which of them on which of the sides is each pair's donor."""
        if not isinstance(self.source, Donors):
            raise AssertionError("each pair has a donor")
        sources, donors = [self.source.source(pair) for pair in chunk.pairs], self.source.sample
        if chunk.read == 1:
            return donors, sources
        followed: dict[AlignedPair, int] = {}
        drawn = []
        for pair, (row, side) in zip(chunk.pairs, sources, strict=True):
            other = donors.pairs[row].followed_by(pair.clean[len(pair.clean) - pair.forced :])
            drawn.append((followed.setdefault(other, len(followed)), side))
        return Sample(tuple(followed), whole=False), drawn

    def _places_of(self, chunk: Chunk, into: Side, sample: Sample, drawn: Sequence[tuple[int, Side]]) -> torch.Tensor:
        """For each token of each pair's prompt its position in the pair's source; shape [pair, position]."""
        positions: dict[Hashable, list[int]] = {}
        table = []
        for pair, (row, side) in zip(chunk.pairs, drawn, strict=True):
            other = sample.pairs[row]
            patterns = pair.pattern(into), other.pattern(side)
            if patterns not in positions:
                there = {role: position for position, role in enumerate(self._roles(other, side))}
                text = pair.prompt(into).text
                positions[patterns] = [there[_nearest(role, there, text)] for role in self._roles(pair, into)]
            table.append(positions[patterns])
        return torch.tensor(table)

    @cached_property
    def _parts(self) -> dict[str, list[int]]:
        """The part of each pair of what is run of a reference set's prompts, by the identity of the sample that it is run in;
        nothing of a set that is the whole population."""
        if not isinstance(self.source, Reference) or not self.source.drawn:
            return {}
        parts, sample = self.source.parts, self.source.sample
        branches = branches_of(sample)
        if branches is None:
            return {sample.identity: list(parts)}
        return {
            branches.sample.identity: [parts[branches.places[number]] for number in branches.pair],
            branches.others.identity: [parts[place] for place in branches.elsewhere],
        }

    def _times(self, chunk: Chunk, side: Side) -> torch.Tensor | None:
        """How often each token of what is run of the set's prompts counts, of shape [pair * position]; None where each counts once."""
        branches = branches_of(self.source.sample)
        if self.counted == "shape" or branches is None or chunk.pairs[0].forced == 0:
            return None
        counts = branches.counts[side]
        return self._once(
            ("times", chunk.key, side), lambda: torch.tensor([counts[row] for row in chunk.rows]).flatten()
        )


def _by_pattern(pairs: Sequence[AlignedPair], side: Side, of: Callable[[AlignedPair], list[int]]) -> torch.Tensor:
    """What the pattern of a pair's prompt decides, worked out once a pattern; shape [pair, position]."""
    known: dict[Hashable, torch.Tensor] = {}
    for pair in pairs:
        if (pattern := pair.pattern(side)) not in known:
            known[pattern] = torch.tensor(of(pair))
    return torch.stack([known[pair.pattern(side)] for pair in pairs])


def _nearest(role: Role, known: Mapping[Role, int], text: str) -> Role:
    template, segment, distance = role
    for nearer in range(distance, -1, -1):
        if (template, segment, nearer) in known:
            return template, segment, nearer
    raise MethodError(f"no reference prompt has a token in the place of one of {text!r}")
