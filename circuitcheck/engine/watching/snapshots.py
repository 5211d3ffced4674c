"""What a model's modules, configurations, classes and functions were, to tell later what of them has changed."""

import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from operator import attrgetter, is_
from pathlib import Path
from typing import Any

from circuitcheck.engine.on_demand import torch

# Where a model's files lie, and a generation configuration's note of which object it was made of, another in every session.
_OF_PLACE = ("name_or_path", "_name_or_path", "_original_object_hash")
# How instances are made and copied: no part of a forward pass.
_MAKING = (
    "__init__",
    "__new__",
    "__setstate__",
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__deepcopy__",
    "__doc__",
)
# Never changed by a forward pass itself: a change of these is always somebody's.
_SOMEBODYS = ("forward", "training", "_modules", "fwd_hooks", "bwd_hooks")
TABLES = ("_parameters", "_buffers")
_code = attrgetter("__code__")
# Rotary modules whose frequencies follow the length of a run keep those of the last one.
BY_LENGTH = ("dynamic", "longrope")
# Hooks of these packages are the architecture's own.
LIBRARIES = ("torch", "transformers", "transformer_lens", "accelerate")


class Part:
    """A module or a configuration: ``attributes`` as they were, containers copied and all else by identity."""

    def __init__(self, path: str, owner: Any):
        self.path, self.owner, self.kind = path, owner, type(owner)
        self.attributes = {name: _copied(value) for name, value in vars(owner).items()}
        rope = str(self.attributes.get("rope_type", ""))
        self._follows_length = any(kind in rope for kind in BY_LENGTH)
        self._ignored: set[str] = set()

    def follows_length(self, name: str) -> bool:
        """Whether an attribute or buffer is that of the last run's length."""
        of_length = "inv_freq" in name or name.endswith("max_seq_len_cached")
        return self._follows_length and of_length and "original" not in name

    def changed(self) -> list[str]:
        """The names of attributes that are not as they were. Of parameters and buffers only their names count here."""
        now = vars(self.owner)
        if type(self.owner) is not self.kind:
            return ["__class__"]
        if _equal(now, self.attributes):
            return []
        names = dict.fromkeys([*self.attributes, *now])
        ignored = (name for name in names if name in self._ignored or self.follows_length(name))
        return [name for name in names if name not in set(ignored) and self._differs(name, now)]

    def ignore(self, names: set[str]) -> None:
        """What a run of the model changes by itself is no change; of what is always somebody's, nothing is ignored."""
        self._ignored |= {
            name for name in names if name not in _SOMEBODYS and not name.endswith("_hooks") and name not in TABLES
        }

    def foreign(self) -> list[str]:
        """The names of attributes that hold hooks, or a forward, that are of none of the libraries."""
        found = [name for name, value in self.attributes.items() if name.endswith("_hooks") and _foreign(value)]
        return found + [name for name, value in self.attributes.items() if name == "forward" and _is_foreign(value)]

    def _differs(self, name: str, now: Mapping[str, Any]) -> bool:
        before, after = self.attributes.get(name), now.get(name)
        if name in TABLES:  # whose content is read, whichever tensors hold it
            known = before or {}
            return set(known) != {key for key in after or {} if key in known or not self.follows_length(key)}
        if name.endswith("_hooks") and isinstance(
            after, dict
        ):  # transformers' own come with the first outputs that are asked for
            return _foreign(before or {}) != _foreign(after)
        if (name in now) != (name in self.attributes):
            # The bridge itself notes what it has found out of the network.
            return not (_is_private(name) and (not self.path or _is_bookkeeping(after)))
        if _equal(before, after):
            return False
        if not isinstance(self.owner, torch.nn.Module):  # a configuration notes nothing of its runs
            return True
        return not (_is_private(name) and _is_bookkeeping(before) and _is_bookkeeping(after))


class Names:
    """What names stand for in a class, or which functions in a Python module; and the code of functions."""

    def __init__(self, path: str, now: Callable[[], Mapping[str, Any]], of_class: bool):
        self.path, self._now, self._of_class = path, now, of_class
        self._all = set(now())
        self._was = {name: value for name, value in now().items() if self._counts(name, value)}
        self._codes = {name: value.__code__ for name, value in self._was.items() if hasattr(value, "__code__")}

    def changed(self) -> list[str]:
        """The names that stand for something else; of a class, functions that were added, too."""
        now, was = self._now(), self._was
        found: list[str] = []
        # Thousands of names at every look, of which hardly ever one is another's.
        if not all(map(is_, map(now.get, was), was.values())):
            found += [name for name, value in was.items() if now.get(name) is not value]
        if not all(map(is_, map(_code, map(was.get, self._codes)), self._codes.values())):
            changed = [name for name, code in self._codes.items() if was[name].__code__ is not code]
            found += [name for name in changed if name not in found]
        if self._of_class and len(now) != len(self._all):
            found += [name for name, value in now.items() if name not in self._all and inspect.isfunction(value)]
        return found

    def foreign(self) -> list[str]:
        """The names that stand for functions from outside of what is installed, or for mocks."""
        return [name for name, value in self._was.items() if _is_from_outside(value)]

    def value(self, name: str) -> Any:
        return self._now().get(name)

    def ignore(self, names: set[str]) -> None:
        """What a run of the model changes by itself is no change."""
        for name in names:
            self._was[name] = value = self.value(name)
            if hasattr(value, "__code__"):
                self._codes[name] = value.__code__
            else:
                self._codes.pop(name, None)

    def _counts(self, name: str, value: Any) -> bool:
        # How instances are made and copied has no part in a forward pass; PyTorch's compiler puts its own there.
        return name not in _MAKING if self._of_class else callable(value)


def parts_of(bridge: Any) -> list[Part]:
    """Every module and configuration that is reached from a bridge."""
    seen: dict[int, Part] = {}
    waiting: list[tuple[str, Any]] = [("", bridge)]
    while waiting:
        path, owner = waiting.pop()
        if id(owner) in seen:
            continue
        seen[id(owner)] = Part(path, owner)
        waiting += reversed([(_below(path, *names), value) for *names, value in _reached(owner)])
    return list(seen.values())


def names_behind(parts: Sequence[Part]) -> list[Names]:
    """The classes of the parts, and the Python modules whose functions their code calls by name."""
    classes = dict.fromkeys(base for part in parts for base in part.kind.__mro__[:-1])
    found = [Names(one.__qualname__, partial(vars, one), True) for one in classes]
    homes = dict.fromkeys(one.__module__ for one in classes if issubclass(one, torch.nn.Module))
    for home in dict.fromkeys([*homes, "torch.nn.functional", "torch"]):
        if home in sys.modules:
            found.append(Names(home, partial(vars, sys.modules[home]), False))
    found.append(Names("torch.Tensor", partial(vars, torch.Tensor), True))
    return found


def description(parts: Sequence[Part]) -> list[str]:
    """What the parts are, in words that are the same in every session: their types, numbers and functions."""
    lines = []
    for part in parts:
        numbers = {name: _plainly(value) for name, value in sorted(part.attributes.items()) if name not in _OF_PLACE}
        said = [f"{name}={value}" for name, value in numbers.items() if value]
        lines.append(f"{part.path}: {part.kind.__module__}.{part.kind.__qualname__} {' '.join(said)}")
    return lines


def _reached(owner: Any) -> Iterator[tuple[Any, ...]]:
    """Modules and configurations among a part's attributes, with the names that lead there."""
    for name, value in vars(owner).items():
        if isinstance(value, dict):
            yield from (("" if name == "_modules" else name, key, one) for key, one in value.items() if _is_part(one))
        elif isinstance(value, list | tuple):
            yield from ((name, number, one) for number, one in enumerate(value) if _is_part(one))
        elif _is_part(value):
            yield name, value


def _is_part(value: object) -> bool:
    configuration = type(value).__name__.endswith("Config") and hasattr(value, "__dict__")
    return isinstance(value, torch.nn.Module) or configuration


def _below(path: str, *names: object) -> str:
    return ".".join([part for part in (path, *map(str, names)) if part])


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    return type(value)(value) if type(value) in (list, set) else value


def _equal(before: Any, after: Any) -> bool:
    """Whether they are the same; what cannot be compared is not, unless it is one object."""
    if before is after:
        return True
    try:
        return bool(before == after)
    except (RuntimeError, ValueError, TypeError):  # tensors and arrays, that were replaced
        return False


def _foreign(hooks: Any) -> list[Any]:
    """The hooks of PyTorch's (a mapping) that are of none of the libraries; TransformerLens' (a list) are among these, too."""
    return [hook for hook in hooks.values() if _is_foreign(hook)] if isinstance(hooks, dict) else []


def _is_foreign(hook: Any) -> bool:
    """Whether a hook is somebody's own, or closes over a function that is: TransformerLens puts one of its own around each."""
    cells = getattr(hook, "__closure__", None) or ()
    enclosed = [cell.cell_contents for cell in cells if inspect.isroutine(cell.cell_contents)]
    return any(_home(part) not in LIBRARIES for part in (hook, *enclosed))


def _is_from_outside(value: Any) -> bool:
    """Whether a value is code from elsewhere than where Python and its packages are installed, or a mock."""
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if inspect.iscode(code):
        return not code.co_filename.startswith(("<", *_installed()))
    return type(value).__module__.partition(".")[0] in ("unittest", "mock")


@cache
def _installed() -> tuple[str, ...]:
    """The folders of Python's own modules, and of the libraries."""
    packages = [str(sys.modules[name].__file__) for name in LIBRARIES if name in sys.modules]
    folders = [str(Path(package).parents[1]) for package in packages]
    return tuple({*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), *folders})


def _is_private(name: str) -> bool:
    return name.startswith("_") and name not in _SOMEBODYS and not name.endswith("_hooks")


def _is_bookkeeping(value: Any) -> bool:
    """What a module may note of its last run, or of its own hooks: anything but a number, a function or a module."""
    return isinstance(value, bool) or not (isinstance(value, int | float) or callable(value))


def _home(function: Any) -> str:
    return str(getattr(function, "__module__", None) or type(function).__module__).partition(".")[0]


def _plainly(value: Any) -> str:
    """A number, text or function as text; empty for anything else."""
    if isinstance(value, bool | int | float | str | torch.dtype):
        return repr(value)
    if callable(value) and not isinstance(value, torch.nn.Module) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return ""
