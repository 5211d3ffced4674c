"""What a description of prompts says of how their answers are made: an algorithm, of slots, variables, answer and foil.

algorithm = pairs.description.algorithm
algorithm.values({"n1": "Ann", "giver": "Ann"})["order"]                                   # 'first'
algorithm.answers(algorithm.values({"n1": "Ann", ...}, fixed={"order": "second"}))         # if that were so, all else as it is
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.prompts.slots import slots_of
from circuitcheck.prompts.variables.answers import AnswerSpec, answers_of, texts_of
from circuitcheck.prompts.variables.functions import Function, Values, circle

# Names that say something else wherever variables are named.
_TAKEN = "answer", "foil", "prefix", "side", "template", "typo"


@dataclass(frozen=True, eq=False)
class Algorithm:
    """How answers are made of slots and ``variables``. ``answer`` and ``foil``: texts, or functions; ``where``: which prompts there
    are."""

    variables: Mapping[str, Function]
    answer: str | Sequence[str] | Function
    foil: str | Sequence[str] | Function
    where: Function | None

    @classmethod
    def of(
        cls,
        slots: Collection[str],
        variables: Mapping[str, Any],
        answer: AnswerSpec,
        foil: AnswerSpec,
        where: Callable[..., Any] | None,
    ) -> "Algorithm":
        """Of what ``PromptPairs`` is given; raises ``PromptError`` for functions that do not fit, and for circles."""
        if not isinstance(variables, Mapping):
            raise PromptError(f"variables= maps names to functions of slots and of each other, not {variables!r}")
        for name in variables:
            if not isinstance(name, str) or not name.isidentifier() or name in _TAKEN:
                raise PromptError(f"a variable cannot be called {name!r}: take another plain name")
            if name in slots:
                raise PromptError(f"{name!r} is a slot and a variable: one of them needs another name")
        known = [*slots, *variables]
        made = {name: Function.of(f"the variable {name!r}", one, known) for name, one in variables.items()}
        answering = Function.of("answer=", answer, known) if callable(answer) else answer
        failing = Function.of("foil=", foil, known) if callable(foil) else foil
        admitting = None if where is None else Function.of("where=", where, known, mappings=2)
        found = cls(made, answering, failing, admitting)
        for name in made:
            found._check_not_circular(name, [])
        return found

    def values(self, fillers: Mapping[str, str], fixed: Mapping[str, Any] | None = None) -> Values:
        """A prompt's fillers and variables, of which some are ``fixed``."""
        return Values(fillers, self.variables, fixed)

    def answers(self, clean: Values) -> tuple[str, ...]:
        """The texts that answer a prompt."""
        return answers_of("answer", self.answer, clean)

    def foils(self, clean: Values) -> tuple[str, ...]:
        """The texts that do not."""
        return answers_of("foil", self.foil, clean)

    def admits(self, clean: Values, corrupt: Values) -> bool:
        """Whether ``where`` does: a function of both prompts of both, another one of each by itself."""
        if self.where is None:
            return True
        if self.where.mappings == 2:
            return bool(self.where(clean, corrupt))
        return all(bool(self.where(side)) for side in (clean, corrupt))

    @cached_property
    def slots_of_answers(self) -> tuple[str, ...]:
        """The slots that answer and foil are made of, by themselves or by variables, as far as texts and parameters name them."""
        named: list[str] = []
        for spec in (self.answer, self.foil):
            named += (
                spec.names if isinstance(spec, Function) else [n for text in texts_of(spec) for n in slots_of(text)]
            )
        return self.made_of(named)

    def made_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """The slots that slots and variables are made of, as far as parameters name them."""
        found: dict[str, None] = {}
        for name in names:
            inner = self.made_of(self.variables[name].names) if name in self.variables else (name,)
            found |= dict.fromkeys(inner)
        return tuple(found)

    def needs(self, name: str) -> set[str]:
        """The slots and variables that one is made of, itself among them."""
        inner = self.variables[name].names if name in self.variables else ()
        return {name}.union(*map(self.needs, inner))

    def check_made_of(self, slots: Collection[str], template: str) -> None:
        """Raise ``PromptError`` for variables that are made of more than the slots of a template."""
        for name in self.variables:
            for slot in self.made_of([name]):
                if slot not in slots:
                    raise PromptError(
                        f"the variable {name!r} is made of the slot {{{slot}}}, which the template {template!r} does not have"
                    )

    def _check_not_circular(self, name: str, above: list[str]) -> None:
        if name in above:
            raise PromptError(circle([*above[above.index(name) :], name]))
        for inner in self.variables[name].names if name in self.variables else ():
            self._check_not_circular(inner, [*above, name])
