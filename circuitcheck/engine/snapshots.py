"""What a model's modules, configurations, classes and functions were, to tell later what of them has changed."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

# Never changed by a forward pass itself: a change of these is always somebody's.
_SOMEBODYS = ("forward", "training", "_modules", "fwd_hooks", "bwd_hooks")
TABLES = ("_parameters", "_buffers")
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
        self._ignored = {
            name for name in self.attributes if any(kind in rope for kind in BY_LENGTH) and name not in _SOMEBODYS
        }

    @property
    def follows_length(self) -> bool:
        """Its buffers are those of the last run's length."""
        return "_buffers" in self._ignored

    def changed(self) -> list[str]:
        """The names of attributes that are not as they were. Of parameters and buffers only their names count here."""
        now = vars(self.owner)
        if type(self.owner) is not self.kind:
            return ["__class__"]
        if _equal(now, self.attributes):
            return []
        names = dict.fromkeys([*self.attributes, *now])
        return [name for name in names if name not in self._ignored and self._differs(name, now)]

    def ignore(self, names: set[str]) -> None:
        """What a run of the model changes by itself is no change; of what is always somebody's, nothing is ignored."""
        self._ignored |= {
            name for name in names if name not in _SOMEBODYS and not name.endswith("_hooks") and name not in TABLES
        }

    def foreign(self) -> list[str]:
        """The names of attributes that hold hooks, or a forward, that are of none of the libraries."""
        found = []
        for name, value in self.attributes.items():
            hooks = [value] if name == "forward" else []
            if name.endswith("_hooks") and isinstance(value, dict):
                hooks = list(value.values())
            if any(_home(part) not in LIBRARIES for hook in hooks for part in (hook, *_enclosed(hook))):
                found.append(name)
        return found

    def _differs(self, name: str, now: Mapping[str, Any]) -> bool:
        if (name in now) != (name in self.attributes):
            return True
        before, after = self.attributes[name], now[name]
        if name in TABLES:  # whose content is read, whichever tensors hold it
            return list(before) != list(after)
        return not _equal(before, after)


class Names:
    """What names stand for in a class or a Python module."""

    def __init__(self, path: str, now: Callable[[], Mapping[str, Any]], functions_only: bool):
        self.path, self._now = path, now
        self._was = {name: value for name, value in now().items() if callable(value) or not functions_only}

    def changed(self) -> list[str]:
        """The names that stand for something else."""
        now = self._now()
        return [name for name, value in self._was.items() if now.get(name) is not value]

    def value(self, name: str) -> Any:
        return self._now().get(name)

    def ignore(self, names: set[str]) -> None:
        """What a run of the model changes by itself is no change."""
        for name in names:
            del self._was[name]


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
    found = [Names(one.__qualname__, lambda one=one: vars(one), False) for one in classes]  # type: ignore[misc]
    homes = dict.fromkeys(one.__module__ for one in classes if issubclass(one, torch.nn.Module))
    for home in dict.fromkeys([*homes, "torch.nn.functional", "torch"]):
        if home in sys.modules:
            found.append(Names(home, lambda module=sys.modules[home]: vars(module), True))  # type: ignore[misc]
    found.append(Names("torch.Tensor", lambda: vars(torch.Tensor), True))
    return found


def description(parts: Sequence[Part]) -> list[str]:
    """What the parts are, in words that are the same in every session: their types, numbers and functions."""
    lines = []
    for part in parts:
        said = [f"{name}={_plainly(value)}" for name, value in sorted(part.attributes.items()) if _plainly(value)]
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


def _enclosed(hook: Any) -> list[Any]:
    """The functions that a function closes over: TransformerLens puts one of its own around each hook."""
    cells = getattr(hook, "__closure__", None) or ()
    return [cell.cell_contents for cell in cells if inspect.isroutine(cell.cell_contents)]


def _home(function: Any) -> str:
    return str(getattr(function, "__module__", None) or type(function).__module__).partition(".")[0]


def _plainly(value: Any) -> str:
    """A number, text or function as text; empty for anything else."""
    if isinstance(value, bool | int | float | str | torch.dtype):
        return repr(value)
    if callable(value) and not isinstance(value, torch.nn.Module) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return ""
