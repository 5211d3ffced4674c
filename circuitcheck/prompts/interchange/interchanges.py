"""Ordered pairs of a base and a source prompt, as a population of its own.

    ORDER = interchanges(IOI, ["order"])     # PromptPairs: the source is the clean prompt of each, the base the corrupted one

What answers such a pair is what the description's algorithm says of the base prompt where the named variables (or slots) take their
values from the source prompt: the counterfactual answer. Its foils are the two prompts' own answers. Clean prompts of one template are
paired, each of which counts alike; an interchange is then a patch from the clean into the corrupted run.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

from circuitcheck.errors import MethodError
from circuitcheck.prompts.descriptions import Description, one_of
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import ENUMERATED, FIXED_SEED
from circuitcheck.prompts.prompt_pairs import PromptPairs, of_description
from circuitcheck.prompts.slots import Choice
from circuitcheck.prompts.variable_values import values_of
from circuitcheck.prompts.variables.functions import Values

_SIDES = "source", "base"
# Of a population that is too large to be gone through, so many prompts of each side, at most out of so many draws, say what is left out.
_SEEN, _DRAWN = 1_000, 20_000
# Draws of one prompt in a row, at most, before the other is drawn, too.
_PATIENCE = 1_000
# Of so many combinations of one prompt's fillers it is remembered which there are.
_REMEMBERED = 100_000
# Why a base and a source are no pair.
COUNTED = ""
OF_BASE, OF_SOURCE = "whose counterfactual answer is the base's", "whose counterfactual answer is the source's"
OVERLAPPING, NOT_ADMITTED = "whose answers overlap", "which where= or distinct= do not admit"
OTHERS = "which do not agree"

Chosen = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class InterchangePair(Pair):
    """A source prompt (``clean``) and a base prompt (``corrupt``) with the counterfactual answer, and either prompt as a pair by itself,
    with its own answers and foils."""

    base: Pair | None = None
    source: Pair | None = None

    @property
    def prompts(self) -> tuple[Pair, Pair]:
        """Base and source."""
        if self.base is None or self.source is None:
            raise AssertionError("an interchange has a base and a source")
        return self.base, self.source


@dataclass(eq=False)
class _Prompts:
    """What is known of a description's prompts, whatever is interchanged among them: as pairs with their values, which there are, and those
    of each template that were drawn."""

    rendered: dict[Any, tuple[Pair, Values]] = field(default_factory=dict)
    admitted: dict[Any, bool] = field(default_factory=dict)
    drawn: dict[int, list[Chosen]] = field(default_factory=dict)


_prompts: "WeakKeyDictionary[Description, _Prompts]" = WeakKeyDictionary()


@dataclass(frozen=True, eq=False, repr=False)
class Interchanges(Description):
    """The interchanges of the ``swapped`` variables among the clean prompts ``of`` a description. ``agreeing``: of base and source that
    have the same values of these and other answers, so that the base's own answer is the counterfactual one."""

    of: Description = field(default_factory=Description)
    swapped: tuple[str, ...] = ()
    agreeing: bool = False

    @cached_property
    def _known(self) -> _Prompts:
        return _prompts.setdefault(self.of, _Prompts())

    @property
    def is_contrast(self) -> bool:
        """Corrupted prompts stand for base prompts, so that nothing here is a gap."""
        return False

    @property
    def without_contrast(self) -> None:
        return None

    def __repr__(self) -> str:
        return f"interchanges of {' and '.join(self.swapped)} among {self.of!r}"

    def as_json(self) -> dict[str, Any]:
        agreeing = {"agreeing": True} if self.agreeing else {}
        return self.of.as_json() | {"interchange": self.swapped, "values": values_of(self.of)} | agreeing

    def used_by(self, template: int) -> list[str]:
        return self.of.used_by(template)

    def choices(self, template: int) -> dict[str, tuple[tuple[str, str], ...]]:
        return {f"{side} {name}": tuple(options) for side in _SIDES for name, options in self._options(template)}

    def weights(self, template: int) -> dict[str, tuple[float, ...]]:
        uneven = [(name, options) for name, options in self._options(template) if len(set(options.values())) > 1]
        return {f"{side} {name}": tuple(options.values()) for side in _SIDES for name, options in uneven}

    def random(
        self,
        template: int,
        choices: Mapping[str, Sequence[tuple[str, str]]],
        weights: Mapping[str, Sequence[float]],
        shuffler: random.Random,
    ) -> Chosen:
        """Both prompts at once; of one template each until there is such a prompt, which comes to the same with fewer draws."""
        if len(self.templates) > 1:
            return super().random(template, choices, weights, shuffler)
        chosen: Chosen = {}
        for side in _SIDES:
            mine = [(name, options) for name, options in choices.items() if name.startswith(f"{side} ")]
            slots = [(name[len(side) + 1 :], options, weights.get(name)) for name, options in mine]
            for _ in range(_PATIENCE):
                drawn = {slot: one_of(options, often, shuffler) for slot, options, often in slots}
                if self._admits(template, drawn):
                    break
            chosen |= {f"{side} {slot}": option for slot, option in drawn.items()}
        return chosen

    def keeps(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> bool:
        source, base = _parted(chosen)
        if not (self._admits(template, base) and self._admits(template, source)):
            return False
        fate = self.fate(template, base, source)
        return fate == (OF_SOURCE if self.is_copying else COUNTED)

    def render(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> InterchangePair:
        source, base = _parted(chosen)
        (ours, _), (theirs, _) = self._prompt(template, base), self._prompt(template, source)
        swapped = self._swapped(template, base, source)
        if swapped is None:
            raise AssertionError("what is not admitted is not kept")
        foils = (*ours.answer, *theirs.answer)
        if self.is_copying or self.agreeing:
            foils = theirs.answer if self.agreeing else ours.answer
        return InterchangePair(
            clean=theirs.clean,
            corrupt=ours.clean,
            answer=self.of.algorithm.answers(swapped),
            foil=tuple(dict.fromkeys(foils)),
            fillers=tuple((a[0], a[1], b[1]) for a, b in zip(theirs.fillers, ours.fillers, strict=True)),
            template=template,
            as_tokens=self.as_tokens,
            base=ours,
            source=theirs,
        )

    def cluster(self, template: int, chosen: Mapping[str, tuple[str, str]], by: str) -> str | None:
        return str(template) if by == "template" else None

    @cached_property
    def is_copying(self) -> bool:
        """Whether the counterfactual answer is never another one than the source's: then those count in which it is."""
        return not self.agreeing and not self.tally[COUNTED] and bool(self.tally[OF_SOURCE])

    @property
    def is_large(self) -> bool:
        """Whether there are too many ordered pairs of some template to be gone through."""
        return any(count**2 > ENUMERATED for count in self._counts)

    @cached_property
    def _counts(self) -> list[int]:
        """How many combinations of fillers one prompt of each template has."""
        return [prod(len(some) for _, some in self._options(number)) for number in range(len(self.templates))]

    @cached_property
    def tally(self) -> Counter[str]:
        """Of ordered pairs of prompts of one template, why how many are no pair: of all, or of some that are drawn."""
        fates: Counter[str] = Counter()
        for template in range(len(self.templates)):
            options = self._options(template)
            if (prompts := self._counts[template]) ** 2 <= ENUMERATED:
                there = [self._numbered(options, number) for number in range(prompts)]
                kept = [chosen for chosen in there if self.of.keeps(template, chosen)]
                couples = [(base, source) for base in kept for source in kept if base is not source]
            else:
                drawn = self._known.drawn
                if template not in drawn:
                    drawn[template] = self._drawn(template, options)
                kept = drawn[template]
                couples = list(zip(kept[::2], kept[1::2], strict=False))
            fates.update(self.fate(template, base, source) for base, source in couples)
        return fates

    def fate(self, template: int, base: Chosen, source: Chosen) -> str:
        """Why a base and a source prompt are no pair, in words; empty where they are one."""
        ours, theirs = (set(self._prompt(template, one)[0].answer) for one in (base, source))
        swapped = self._swapped(template, base, source)
        if swapped is None:
            return NOT_ADMITTED
        there = set(self.of.algorithm.answers(swapped))
        if self.agreeing:
            values = [self._prompt(template, one)[1] for one in (base, source)]
            if any(values[0][name] != values[1][name] for name in self.swapped):
                return OTHERS
            return OVERLAPPING if ours & theirs else COUNTED
        if there == ours:
            return OF_BASE
        if there & ours or (there & theirs and there != theirs):
            return OVERLAPPING
        return OF_SOURCE if there == theirs else COUNTED

    def _admits(self, template: int, chosen: Chosen) -> bool:
        """Whether there is such a prompt; asked once of each, where these are not too many."""
        if self._counts[template] > _REMEMBERED:
            return self.of.keeps(template, chosen)
        key = template, *chosen.values()
        admitted = self._known.admitted
        if key not in admitted:
            admitted[key] = self.of.keeps(template, chosen)
        return admitted[key]

    def _swapped(self, template: int, base: Chosen, source: Chosen) -> Values | None:
        """The base prompt's values where the variables take the source's; None for what is no prompt of the description."""
        theirs, slots = self._prompt(template, source)[1], self.of.slots
        chosen, fixed = dict(base), dict[str, Any]()
        for name in self.swapped:
            if name in slots and name not in self.used_by(template):
                return None
            if isinstance(slots.get(name), Choice):
                chosen[name] = source[name][0], base[name][1]
            else:
                fixed[name] = theirs[name]
        fillers = {name: self.of.filled(name, chosen) for name in self.used_by(template)}
        algorithm = self.of.algorithm
        clean = {name: fixed.get(name, sides[0]) for name, sides in fillers.items()}
        values = algorithm.values(clean, fixed)
        apart = [clean[name] for name in self.of.distinct if name in clean]
        corrupt = algorithm.values({name: sides[1] for name, sides in fillers.items()})
        both = algorithm.where is not None and algorithm.where.mappings == 2
        admitted = len(set(apart)) == len(apart) and algorithm.admits(values, corrupt if both else values)
        return values if admitted else None

    def _prompt(self, template: int, chosen: Chosen) -> tuple[Pair, Values]:
        """A clean prompt as a pair by itself, and its values."""
        key = template, *chosen.values()
        rendered = self._known.rendered
        if key not in rendered:
            pair = self.of.render(template, chosen).alone
            rendered[key] = pair, self.of.values(pair)
        return rendered[key]

    def _options(self, template: int) -> list[tuple[str, dict[tuple[str, str], float]]]:
        """The slots that are chosen for one prompt, each option with how often it is: clean fillers alone, unless ``where`` sees both."""
        where, weights = self.of.algorithm.where, self.of.weights(template)
        found = []
        for name, options in self.of.choices(template).items():
            often: dict[tuple[str, str], float] = {}
            for place, (clean, corrupt) in enumerate(options):
                option = (clean, corrupt if where is not None and where.mappings == 2 else clean)
                often[option] = often.get(option, 0.0) + (weights[name][place] if name in weights else 1.0)
            found.append((name, often))
        return found

    @staticmethod
    def _numbered(options: Sequence[tuple[str, dict[tuple[str, str], float]]], number: int) -> Chosen:
        chosen = {}
        for name, some in options:
            number, place = divmod(number, len(some))
            chosen[name] = list(some)[place]
        return chosen

    def _drawn(self, template: int, options: Sequence[tuple[str, dict[tuple[str, str], float]]]) -> list[Chosen]:
        """Some prompts, the same under every seed."""
        draw, found = random.Random(f"{self.of.identity}/{FIXED_SEED}"), list[Chosen]()
        each = [(name, list(some), list(accumulate(some.values()))) for name, some in options]
        for _ in range(_DRAWN):
            chosen = {name: draw.choices(some, cum_weights=often)[0] for name, some, often in each}
            if self.of.keeps(template, chosen):
                found.append(chosen)
            if len(found) == 2 * _SEEN:
                break
        return found


def interchanges(pairs: PromptPairs, names: Sequence[str], agreeing: bool = False) -> PromptPairs:
    """The interchanges of variables, or slots, of these pairs, the same every time; raises ``MethodError`` for what is none, or for
    prompts that none can be made of."""
    known, key = _known.setdefault(pairs, {}), (tuple(names), agreeing)
    if key not in known:
        known[key] = _interchanges(pairs, *key)
    return known[key]


_known: "WeakKeyDictionary[PromptPairs, dict[tuple[tuple[str, ...], bool], PromptPairs]]" = WeakKeyDictionary()


def _interchanges(pairs: PromptPairs, names: tuple[str, ...], agreeing: bool) -> PromptPairs:
    of = pairs.description
    if not of.templates:
        raise MethodError(
            f"{pairs!r} has no algorithm to interchange variables of: describe the prompts by templates and slots, with answer= as a "
            "function of them, PromptPairs('The {thing} is', thing=[...], variables={...}, answer=lambda ...)"
        )
    there = [*of.variables, *of.slots]
    if not names or len(set(names)) < len(names):
        raise MethodError(f"an interchange names its variables, each once, not {names!r}")
    if unknown := [name for name in names if name not in there]:
        raise MethodError(f"{unknown[0]!r} is no variable and no slot of {pairs!r}; it has {', '.join(there)}")
    made = Interchanges(of.templates, of.roles, of=of, swapped=names, agreeing=agreeing, as_tokens=of.as_tokens)
    if not (made.tally[COUNTED] or made.tally[OF_SOURCE]):
        said = "; ".join(f"{count} {why}" for why, count in made.tally.most_common()) or "there is but one prompt"
        raise MethodError(f"there is nothing to interchange of {' and '.join(names)} among {pairs!r}: {said}")
    return of_description(made)


def notes_of(pairs: PromptPairs) -> tuple[str, ...]:
    """What is to be told of interchanges: which ordered pairs are left out, and whether copying would pass."""
    description = pairs.description
    if not isinstance(description, Interchanges):
        raise AssertionError("these are interchanges")
    counted = OF_SOURCE if description.is_copying else COUNTED
    whole, out = description.tally.total(), description.tally.total() - description.tally[counted]
    why = "; ".join(f"{n:,} {why}" for why, n in description.tally.most_common() if why != counted)
    drawn = " that were drawn" if description.is_large else ""
    left_out = (f"left out of {whole:,} ordered pairs of prompts{drawn}: {why}",) if out else ()
    if not description.is_copying:
        return left_out
    copying = "the counterfactual answer is always the source's: a site that copies the source's answer would pass"
    return (*left_out, copying)


def _parted(chosen: Mapping[str, tuple[str, str]]) -> tuple[Chosen, Chosen]:
    """What is chosen for the source, and for the base."""
    found = [{name[len(s) + 1 :]: one for name, one in chosen.items() if name.startswith(f"{s} ")} for s in _SIDES]
    return found[0], found[1]
