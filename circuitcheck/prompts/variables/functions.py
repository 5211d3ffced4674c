"""Functions of a prompt's fillers, whose parameters say what they are given.

    lambda n1, giver: giver == n1           the texts of the slots {n1} and {giver}, or the values of variables of these names
    lambda fillers: fillers["n1"]           all fillers: one parameter that names no slot and no variable

Answers, foils, variables, ``where`` and a probe's concept are given theirs in the same way.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from numbers import Real
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.texts import is_writable

# What a variable is: text or a number, truth values among them.
Value = str | float
_SUBSCRIPTED = "string indices must be integers"
_ALONE = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD


class NoSuchSlot(KeyError):
    """Neither a slot of the prompt nor a variable."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function of fillers; ``what`` is how messages name it. ``names``: the slots and variables that its parameters name; of none, it
    takes ``mappings`` mappings of fillers."""

    what: str
    function: Callable[..., Any]
    names: tuple[str, ...]
    mappings: int = 1
    _by_place: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, what: str, function: Any, known: Collection[str], mappings: int = 1) -> "Function":
        """What a function takes of the ``known`` slots and variables, or up to so many ``mappings``; raises ``PromptError`` for a
        parameter that is neither."""
        if not callable(function):
            raise PromptError(f"{what} is a function of the fillers, not {function!r}")
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # some of C's tell nobody what they take
            return cls(what, function, (), 1)
        of_any = any(one.kind == one.VAR_POSITIONAL for one in parameters)
        named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        needed = [one.name for one in named if one.default is one.empty]
        # One with a default keeps it, as in pytest: it may be what a loop around the function had.
        names = tuple(name for name in needed if name in known)
        unknown = [name for name in needed if name not in known]
        if names and not unknown:
            by_place = tuple(one.name for one in named if one.kind == one.POSITIONAL_ONLY and one.name in names)
            return cls(what, function, names, 0, by_place)
        if names or len(unknown) > mappings:
            raise PromptError(_unknown(what, unknown[0], known, mappings))
        if not needed and not of_any:
            raise PromptError(f"{what} is a function of nothing: its parameters name slots or variables{_have(known)}")
        if any(one.name in needed and one.kind not in _ALONE for one in named):
            raise PromptError(_unknown(what, unknown[0], known, mappings))
        return cls(what, function, (), len(needed) or mappings)

    def __call__(self, *fillers: Mapping[str, Any]) -> Any:
        """What it gives for the fillers of a prompt (the clean one, before the corrupted one); raises ``PromptError`` where it raises
        anything."""
        try:
            if not self.names:
                return self.function(*fillers[: self.mappings])
            given = {name: fillers[0][name] for name in self.names}
            by_place = [given.pop(name) for name in self._by_place]
            return self.function(*by_place, **given)
        except PromptError:
            raise
        except NoSuchSlot as error:
            have = ", ".join(fillers[0])
            raise PromptError(f"{self.what} asks for the slot {error}, which is not given (given: {have})") from None
        except Exception as error:
            if self.names and isinstance(error, TypeError) and _SUBSCRIPTED in str(error):
                raise PromptError(self._two_readings(fillers[0])) from error
            shown = {name: fillers[0][name] for name in self.names or fillers[0]}
            raise PromptError(f"{self.what} raises {type(error).__name__}: {error}, for {shown!r}") from error

    def _two_readings(self, fillers: Mapping[str, Any]) -> str:
        name = next((one for one in self.names if isinstance(fillers[one], str)), self.names[0])
        return (
            f"{self.what} subscripts text as if it were the mapping of all fillers. Its parameter {name!r} has a slot's or a variable's "
            f"name, so that it is given that one's text, {fillers[name]!r}: take the text as it is, lambda {name}: {name}. To be given "
            f"all fillers, name the parameter otherwise: lambda fillers: fillers[{name!r}]"
        )


class Values(Mapping[str, Any]):
    """A prompt's fillers by slot, and under their names the values of variables, each worked out when it is asked for.

    ``fixed``: what some of them are, whatever their functions say. It goes through the slots alone, as a mapping of fillers does.
    """

    def __init__(
        self,
        fillers: Mapping[str, str],
        variables: Mapping[str, Function] | None = None,
        fixed: Mapping[str, Any] | None = None,
    ):
        self._fillers, self._variables = fillers, variables or {}
        self._known: dict[str, Any] = dict(fixed or {})
        self._asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name not in self._variables:
            return self._filler(name)
        if name in self._asked:
            raise PromptError(circle([*self._asked[self._asked.index(name) :], name]))
        self._asked.append(name)
        try:
            self._known[name] = value_of(name, self._variables[name](self))
        finally:
            self._asked.pop()
        return self._known[name]

    def _filler(self, name: str) -> str:
        if name not in self._fillers:
            raise NoSuchSlot(name)
        return self._fillers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fillers)

    def __len__(self) -> int:
        return len(self._fillers)

    def __repr__(self) -> str:
        return repr(dict(self._fillers))


def value_of(name: str, value: Any) -> Value:
    """A variable's value as it may be; raises ``PromptError`` for what is neither text nor a number."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # NumPy's and torch's own numbers
    if isinstance(value, str) and is_writable(value):
        return value
    if isinstance(value, Real) and math.isfinite(value):
        return value if isinstance(value, bool | int) else float(value)
    raise PromptError(f"the variable {name!r} is text or a number, and its function gives {value!r}")


def circle(names: Sequence[str]) -> str:
    """What to say of variables that take each other's values."""
    return f"variables take each other's values in a circle: {' -> '.join(names)}"


def _unknown(what: str, name: str, known: Collection[str], mappings: int) -> str:
    near = get_close_matches(name, known, 1)
    meant = f"; did you mean {near[0]!r}?" if near else _have(known)
    whole = "one parameter (all fillers)" if mappings == 1 else "one or two (the clean and the corrupted fillers)"
    return (
        f"{what} takes {name!r}, which names no slot and no variable{meant}\n"
        f"  A function's parameters name slots or variables; or it has {whole}"
    )


def _have(known: Collection[str]) -> str:
    return f" (there are: {', '.join(known)})" if known else " (there are none)"
