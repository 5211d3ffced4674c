"""What a function computes, told by its code: so that numbers that it gave are known again, and those of another are not.

    >>> identity_of(lambda logits, pairs: logits[:, 7])
    '5c2b...'

The code itself, its constants, defaults and what it closes over count, and the functions that it calls. None where something
else has a say: an object, a module of the user's own, a name that is not there yet.
"""

import builtins
import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from circuitcheck.texts import hashed

# Whose modules are known by their versions, which are remembered beside.
_LIBRARIES = frozenset({"torch", "numpy", "math", "scipy", "transformer_lens"})
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


class _Unknown(Exception):
    """Something that code depends on cannot be told."""


def identity_of(function: Any) -> str | None:
    """32 hex digits for what a function computes; None where its code does not say it."""
    try:
        said = "\n".join(_said(function, set()))
    except _Unknown:
        return None
    return hashed(f"{sys.version_info[:2]}\n{said}").hex()


def _said(thing: Any, seen: set[int]) -> Iterator[str]:
    """All that a value's part in a computation depends on."""
    if isinstance(thing, _PLAIN):
        yield f"{type(thing).__name__} {thing!r}"
    elif isinstance(thing, tuple | list | frozenset):
        yield type(thing).__name__
        parts = sorted(thing, key=repr) if isinstance(thing, frozenset) else thing
        for part in parts:
            yield from _said(part, seen)
    elif isinstance(thing, CodeType):
        yield f"code {thing.co_code.hex()} {thing.co_names} {thing.co_varnames} {thing.co_freevars} {thing.co_flags}"
        for constant in thing.co_consts:
            yield from _said(constant, seen)
    elif isinstance(thing, FunctionType):
        yield from _of_function(thing, seen)
    elif _of_a_library(thing):
        yield f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', getattr(thing, '__name__', ''))}"
    else:
        raise _Unknown


def _of_function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    if _of_a_library(function):
        yield f"{function.__module__}.{function.__qualname__}"
        return
    if id(function) in seen:
        yield "itself"
        return
    seen.add(id(function))
    yield from _said(function.__code__, seen)
    yield from _said(function.__defaults__ or (), seen)
    for name, value in sorted((function.__kwdefaults__ or {}).items()):
        yield name
        yield from _said(value, seen)
    try:
        cells = inspect.getclosurevars(function).nonlocals
    except ValueError:  # of a name that is not there yet
        raise _Unknown from None
    for name, value in [*sorted(cells.items()), *_globals_of(function)]:
        yield name
        yield from _said(value, seen)


def _globals_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The global names in a function's code and in what is defined inside it. A name of an attribute may be one of them by
    chance: then it counts, too."""
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    for name in sorted(names):
        if name in function.__globals__:
            yield name, function.__globals__[name]
        elif not hasattr(builtins, name):
            yield name, None  # an attribute's


def _of_a_library(thing: Any) -> bool:
    """Whether a module, or what is defined in one, is of Python itself or of a library whose version is known."""
    if isinstance(thing, ModuleType):
        name = thing.__name__
    elif inspect.isroutine(thing) or inspect.isclass(thing):
        name = getattr(thing, "__module__", None) or "builtins"
    else:
        return False
    top = str(name).partition(".")[0]
    return top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")
