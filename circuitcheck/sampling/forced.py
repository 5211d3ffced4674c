"""Answers of several tokens, forced: each is run after both prompts of its pair, token by token as it is written.

    " an apple" after "I picked" has log p(" an") + log p(" apple" | " an"): the run is of "I picked an", read at its last two tokens

The members of a set are run as a prefix tree. A branch of it is a pair whose prompts go on with the first tokens of members, all but
the last of each; its ``answer`` has the members that are read there. Both prompts go on alike, so that what is put in from the other
run stands at the same tokens.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.continuations import Members
from circuitcheck.prompts.pairs import Side, sides
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats, Integers


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of those pairs of a sample that have answers or foils of several tokens, which stand there at ``places``.

    ``pair`` says of each branch in ``sample`` which of these pairs it is of, ``of_answer`` whether its members are answers, or foils.
    ``others`` are the sample's other pairs, at ``elsewhere``: they are run as they are.
    """

    sample: Sample
    pair: "Integers"
    of_answer: "Booleans"
    places: "Integers"
    others: Sample
    elsewhere: "Integers"

    def summed(self, numbers: "Floats", of_answer: bool) -> "Floats":
        """The log-sum-exp of the branches that have answers, or foils; minus infinity where there is none. Shape [pair]."""
        found: Floats = np.full(len(self.places), -np.inf)
        mine = self.of_answer == of_answer
        np.logaddexp.at(found, self.pair[mine], numbers[mine])
        return found

    def largest(self, numbers: "Floats", of_answer: bool) -> "Floats":
        """The largest of their numbers, which are not negative; 0 where there is none. Shape [pair]."""
        found: Floats = np.zeros(len(self.places))
        mine = self.of_answer == of_answer
        np.maximum.at(found, self.pair[mine], numbers[mine])
        return found

    @cached_property
    def counts(self) -> dict[Side, list[list[int]]]:
        """How often each token of each branch, of either side, counts in a mean over this sample: of a prompt once, whatever branches
        its pair has; of an answer as often as it has answers there, and of foils where no answer of the template has so many tokens."""
        return {side: self._counts_of(side) for side in sides("both")}

    def _counts_of(self, side: Side) -> list[list[int]]:
        longest: dict[int, int] = defaultdict(int)
        for branch, is_answer in zip(self.sample.pairs, self.of_answer, strict=True):
            template = branch.pair.template
            longest[template] = max(longest[template], *_lengths(branch)) if is_answer else longest[template]
        counts, seen = [], set()
        for branch, pair, is_answer in zip(self.sample.pairs, self.pair.tolist(), self.of_answer, strict=True):
            first = 0 if is_answer else longest[branch.pair.template]
            own = [sum(place < n for n in _lengths(branch)) * (place >= first) for place in range(branch.forced)]
            counts.append([int(pair not in seen)] * len(branch.prompt_tokens(side)) + own)
            seen.add(pair)
        return counts


def runs_of(sample: Sample) -> list[Sample]:
    """A sample's prompts with what is run of their answers: its branches, and its other pairs."""
    branches = branches_of(sample)
    return [sample] if branches is None else [branches.sample, branches.others]


def branches_of(sample: Sample) -> Branches | None:
    """The branches of a sample; None where every answer and foil is a single token."""
    if sample not in _known:
        _known[sample] = _branches_of(sample)
    return _known[sample]


_known: "WeakKeyDictionary[Sample, Branches | None]" = WeakKeyDictionary()


def _branches_of(sample: Sample) -> Branches | None:
    places = [place for place, pair in enumerate(sample.pairs) if pair.has_several]
    if not places:
        return None
    elsewhere = [place for place, pair in enumerate(sample.pairs) if not pair.has_several]
    branches, of, of_answer = [], [], []
    for number, place in enumerate(places):
        pair = sample.pairs[place]
        leaves = _leaves([*_prefixes(pair.answer), *_prefixes(pair.foil)])
        for is_answer, members in ((True, pair.answer), (False, pair.foil)):
            for leaf, some in _by_leaf(members, leaves).items():
                branches.append(replace(pair, answer=some, foil=()).followed_by(leaf))
                of.append(number)
                of_answer.append(is_answer)
    return Branches(
        _part(sample, branches),
        np.array(of),
        np.array(of_answer),
        np.array(places),
        _part(sample, [sample.pairs[place] for place in elsewhere]),
        np.array(elsewhere, dtype=int),
    )


def _part(sample: Sample, pairs: Iterable[AlignedPair]) -> Sample:
    return Sample(tuple(pairs), whole=False, population=sample.population)


def tokens_of(members: Members) -> list[Tokens]:
    """The members of a set, each as its tokens."""
    return [member if isinstance(member, tuple) else (member,) for member in members]


def _prefixes(members: Members) -> list[Tokens]:
    """What members begin with: all but the last token of each."""
    return [tokens[:-1] for tokens in tokens_of(members)]


def _lengths(branch: AlignedPair) -> list[int]:
    """How many tokens of each of its members are run."""
    return [len(tokens) for tokens in _prefixes(branch.answer)]


def _leaves(prefixes: Sequence[Tokens]) -> list[Tokens]:
    """Those that begin no other one."""
    ordered = sorted(set(prefixes))
    return [
        one for one, other in zip(ordered, [*ordered[1:], ()], strict=True) if one == other or other[: len(one)] != one
    ]


def _by_leaf(members: Members, leaves: Sequence[Tokens]) -> dict[Tokens, Members]:
    """The members by the branch that they are read in."""
    found: dict[Tokens, Members] = {}
    for member, prefix in zip(members, _prefixes(members), strict=True):
        leaf = next(leaf for leaf in leaves if leaf[: len(prefix)] == prefix)
        found[leaf] = (*found.get(leaf, ()), member)
    return found
