"""Numbers of a model as it is now: what is asked at once is asked of one model, and nothing of it is kept when it has changed."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from circuitcheck.ledger import undone_by
from circuitcheck.sampling.remembered import NotRemembered

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Asked(Protocol):
    """A model, that answers questions."""

    @property
    def answers(self) -> Any: ...


class OfAModel(Protocol):
    """Something that asks a model."""

    @property
    def model(self) -> Asked: ...


_Owner = TypeVar("_Owner", bound=OfAModel)


def one_question(
    method: Callable[Concatenate[_Owner, _Given], _Result],
) -> Callable[Concatenate[_Owner, _Given], _Result]:
    """A method all of which is one question to its owner's ``model``: whether that has changed is looked at once, and all of its
    numbers have one origin. Where the store has others than this session's own, each that has every number will do, the own one
    first; where none has, they are computed."""

    @wraps(method)
    def asked(owner: _Owner, /, *given: _Given.args, **named: _Given.kwargs) -> _Result:
        answers = owner.model.answers
        with answers.question():
            remembered = answers.remembered
            is_part = answers.questions.depth > 1 or remembered.off
            for origin in [] if is_part or not remembered.others else [remembered.own, *remembered.others]:
                with suppress(NotRemembered), undone_by(NotRemembered), remembered.recalling(origin):
                    return method(owner, *given, **named)
            return method(owner, *given, **named)

    return asked


class once_a_generation(Generic[_Result]):  # noqa: N801 - read as the decorator that it is
    """A property that is worked out once for its owner's ``model`` as it is, and again when that has changed."""

    def __init__(self, work_out: Callable[[Any], _Result]):
        self._work_out, self.__doc__ = work_out, work_out.__doc__
        self._kept = f"_{work_out.__name__} by generation"

    def __get__(self, owner: Any, kind: type | None = None) -> _Result:
        answers = owner.model.answers
        with answers.question():
            generation = answers.questions.generation, answers.remembered.origin
            kept = vars(owner).get(self._kept)
            if kept is None or kept[0] != generation:
                kept = vars(owner)[self._kept] = generation, self._work_out(owner)
            found: _Result = kept[1]
            return found
