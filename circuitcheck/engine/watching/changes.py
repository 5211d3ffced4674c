"""Whether a model is still what it was when it was loaded.

    changes = Changes(bridge)
    bridge.blocks[1].mlp.register_forward_hook(silence)
    changes.look()          # True: something has changed since the last look
    changes.words           # "a hook or forward of blocks.1.mlp"

A number belongs to the model that gave it. So whatever can change what a forward pass gives is looked at: the content of
weights and buffers, modules and their attributes, hooks, configurations, the functions that code calls by name, and
PyTorch's settings.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.watching.checksums import checksum, sample
from circuitcheck.engine.watching.snapshots import TABLES, Names, Part, names_behind, parts_of
from circuitcheck.engine.watching.torch_settings import PRECISION, settings_now

# Tensors of up to so many bytes together are read whole at every look; of more only samples are, and all of them where a
# sample, an address or PyTorch's own count of writes differs.
READ_WHOLE = 2**30
# Of what has changed, so many are named.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a tensor is: under ``key`` in a module's ``table`` of parameters or buffers, or (no table) an attribute."""

    owner: Any
    table: str
    key: str
    name: str

    @property
    def tensor(self) -> torch.Tensor | None:
        there = vars(self.owner)
        found = (there[self.table] if self.table else there).get(self.key)
        return found if isinstance(found, torch.Tensor) else None


class Changes:
    """What differs in a model from when this was made: ``words`` say what, empty where nothing does; ``of_weights_alone``
    that nothing else does.

    ``foreign``: what of somebody else's was on it already, in words; empty where nothing was. ``is_late``: it was trusted before it was
    loaded, so that functions of the libraries that are somebody else's, and how PyTorch rounds, count there, too.
    """

    def __init__(self, bridge: Any, read_whole: int = READ_WHOLE, is_late: bool = False):
        self._device, self._parts = str(bridge.cfg.device), parts_of(bridge)
        self._names, self._settings = names_behind(self._parts), settings_now(self._device)
        self._places = [place for part in self._parts for place in _places(part)]
        self._loaded = self._contents(checksum)
        size = sum(place.tensor.nbytes for place in self._places if place.tensor is not None)
        self._samples = self._contents(sample) if size > read_whole else None
        self._last: tuple[Hashable, ...] = ()
        self._held: list[object] = []
        self.words, self.of_weights_alone = "", False
        hooks = [_in_words(part, name) for part in self._parts for name in part.foreign()]
        hooks += [f"{names.path}.{name}" for names in self._names for name in names.foreign()] if is_late else []
        settings = [name for name, value in self._settings.items() if value and (is_late or name != PRECISION)]
        self.foreign = _listed(hooks + settings)

    @contextmanager
    def of_its_own(self) -> Iterator[None]:
        """What changes while the block runs the model is no change: the model does that itself."""
        recorded: list[Part | Names] = [*self._parts, *self._names]
        before = [set(one.changed()) for one in recorded]
        contents = self._contents(checksum)
        yield
        for one, known in zip(recorded, before, strict=True):
            one.ignore(set(one.changed()) - known)
        moved = [
            place
            for place, was, now in zip(self._places, contents, self._contents(checksum), strict=True)
            if was != now
        ]
        kept = [(place, was) for place, was in zip(self._places, self._loaded, strict=True) if place not in moved]
        self._places, self._loaded = [place for place, _ in kept], [was for _, was in kept]
        if self._samples is not None:
            self._samples = self._contents(sample)

    def look(self) -> bool:
        """Whether anything has changed since the last look."""
        others: list[tuple[str, object]] = []
        for part in self._parts:
            others += [(_in_words(part, name), vars(part.owner).get(name)) for name in part.changed()]
        for names in self._names:
            others += [(f"{names.path}.{name}", names.value(name)) for name in names.changed()]
        now = settings_now(self._device)
        others += [(name, value) for name, value in now.items() if value != self._settings[name]]
        weights = self._changed_weights(surely=not self._last)
        signature = (*weights, *((words, _identity(value)) for words, value in others))
        # Held, so that no other object has the identity of one that is gone.
        before, self._last, self._held = self._last, signature, [value for _, value in others]
        self.of_weights_alone = bool(weights) and not others
        self.words = _listed([f"the weights {name}" for name, _ in weights] + [words for words, _ in others])
        return signature != before

    def _changed_weights(self, surely: bool) -> list[tuple[str, Hashable]]:
        """Names and contents of the tensors that are not as they were loaded. ``surely``: they were as loaded at the last
        look, so that samples may tell that they still are."""
        if self._samples is not None and surely and self._contents(sample) == self._samples:
            return []
        contents = self._contents(checksum)
        if self._samples is not None and contents == self._loaded:
            self._samples = self._contents(sample)  # what was there was written again, or lies elsewhere
        both = zip(self._places, self._loaded, contents, strict=True)
        return [(place.name, now) for place, was, now in both if was != now]

    def _contents(self, of: Callable[[torch.Tensor], Hashable]) -> list[Hashable]:
        read: dict[int, Hashable] = {}  # tied weights once
        contents: list[Hashable] = []
        for place in self._places:
            tensor = place.tensor
            if tensor is not None and id(tensor) not in read:
                read[id(tensor)] = of(tensor)
            contents.append(None if tensor is None else read[id(tensor)])
        return contents


def _places(part: Part) -> list[_Place]:
    """Where a part has tensors."""
    found = []
    for table in TABLES:
        keys = [key for key in part.attributes.get(table, {}) if not part.follows_length(key)]
        found += [_Place(part.owner, table, key, _in_words(part, key)) for key in keys]
    for key, value in part.attributes.items():
        if isinstance(value, torch.Tensor) and not key.startswith("_"):
            found.append(_Place(part.owner, "", key, _in_words(part, key)))
    return found


def _in_words(part: Part, name: str) -> str:
    path = part.path.replace("._original_component", "").replace(".original_component", "") or "the model"
    if name.endswith("_hooks") or name == "forward":
        return f"a hook or forward of {path}"
    if name in ("__class__", "_modules"):
        return f"the modules of {path}"
    return f"{path}.{name}"


def _identity(value: object) -> Hashable:
    """What tells a value from another, where it is held: of containers their entries."""
    if isinstance(value, dict):
        return tuple((str(key), id(one)) for key, one in value.items())
    if isinstance(value, list | tuple | set):
        return tuple(map(id, value))
    return value if isinstance(value, bool | int | float | str) else id(value)


def _listed(words: list[str]) -> str:
    distinct = list(dict.fromkeys(words))
    more = len(distinct) - _NAMED
    return ", ".join(distinct[:_NAMED]) + (f" and {more} more" if more > 0 else "")
