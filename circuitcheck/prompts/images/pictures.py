"""Pictures as prompts: what is drawn of a slot's fillers, and what may be done to its pixels."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuitcheck.errors import PromptError
from circuitcheck.prompts.images.patches import Grid, Pixels, is_of_pil, pixels_of
from circuitcheck.prompts.pairs import Prompt
from circuitcheck.texts import digest


@dataclass(frozen=True)
class Drawing:
    """A function that draws, with the slots that it takes."""

    function: Callable[..., Any]
    slots: tuple[str, ...]

    @staticmethod
    def of(function: Callable[..., Any], slots: Sequence[str]) -> "Drawing":
        """Its parameters name slots; those with defaults need not be any. Raises ``PromptError`` for parameters that nothing fills."""
        if not callable(function):
            raise PromptError(f"ImagePairs takes a function that draws, not a {type(function).__name__}")
        parameters = inspect.signature(function).parameters.values()
        if any(one.kind is one.VAR_KEYWORD for one in parameters):
            return Drawing(function, tuple(slots))
        lacking = [one.name for one in parameters if one.default is one.empty and one.name not in slots]
        if lacking:
            raise PromptError(
                f"{_name(function)} draws with {lacking[0]!r}, which is no slot: give {lacking[0]}=[...] (slots: {', '.join(slots) or 'none'})"
            )
        return Drawing(function, tuple(one.name for one in parameters if one.name in slots))

    @property
    def template(self) -> str:
        """How a picture is called in words: fruit(shape={shape}, shade={shade})."""
        return f"{_name(self.function)}({', '.join(f'{slot}={{{slot}}}' for slot in self.slots)})"

    def drawn(self, fillers: Mapping[str, str], what: str) -> Any:
        """What the function gives; raises ``PromptError`` where it raises anything."""
        try:
            return self.function(**{slot: fillers[slot] for slot in self.slots})
        except Exception as error:
            raise PromptError(f"{what} cannot be drawn ({type(error).__name__}: {error})") from error


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else "drawing"


@dataclass(frozen=True)
class Asked:
    """A picture that is to be changed: its pixels, and the numbers of the classes that answer it and are its foils."""

    pixels: Pixels
    answer: tuple[int, ...]
    foil: tuple[int, ...]


@dataclass(frozen=True)
class Changed:
    """A picture as it was changed; ``fooled``: whether its class is now the one that was wanted, None where none was."""

    pixels: Pixels
    fooled: bool | None = None


class Change(ABC):
    """What is done to the pixels of clean pictures, which makes the corrupted ones."""

    @property
    @abstractmethod
    def words(self) -> str:
        """As it is written: attacked(eps=0.0118, steps=8)."""

    @property
    @abstractmethod
    def how(self) -> str:
        """What it comes to, in a sentence of reports."""

    @abstractmethod
    def changed(self, pictures: Sequence[Asked], attack: "Attacker") -> list[Changed]:
        """The pictures as they are changed, by whatever ``attack`` does to them on the model that is asked."""


# What attacks pictures on a model.
Attacker = Callable[[Sequence[Asked], Any], list[Changed]]


@dataclass(frozen=True)
class RandomSigns(Change):
    """Each pixel's colours moved by ``eps``, up or down at random: as far as an attack moves them, in no direction."""

    eps: float
    seed: int = 0

    @property
    def words(self) -> str:
        seed = f", seed={self.seed}" if self.seed else ""
        return f"with_random_signs(eps={self.eps:.3g}{seed})"

    @property
    def how(self) -> str:
        return f"the corrupted pictures are the clean ones with random signs of eps {self.eps:.3g}, clipped to [0, 1]"

    def changed(self, pictures: Sequence[Asked], attack: Attacker) -> list[Changed]:
        return [Changed(self._moved(one.pixels)) for one in pictures]

    def _moved(self, pixels: Pixels) -> Pixels:
        random = np.random.default_rng(int(digest(f"{self.seed} {digest(pixels.tobytes())}"), 16))
        signs = random.choice([-1, 1], size=pixels.shape)
        return np.clip(pixels + self.eps * signs, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Attack(Change):
    """Iterated FGSM: ``steps`` along the signs of the gradient, each of ``2 * eps / steps`` (of one, ``eps``), towards the foil where it is
    ``targeted`` and away from the answer where not; never farther than ``eps`` from the clean picture, nor out of [0, 1].
    ``random_start``: it begins at a random place in there (PGD), which ``seed`` and the picture decide. ``by``: the model that it is made on, where that
    is not the one that is asked, and its ``fingerprint``."""

    eps: float
    steps: int = 8
    targeted: bool = True
    random_start: bool = False
    seed: int = 0
    fingerprint: str = ""
    by: Any = field(default=None, compare=False, repr=False)

    @property
    def step(self) -> float:
        """How far a pixel is moved in a step."""
        return self.eps if self.steps == 1 else 2 * self.eps / self.steps

    @property
    def words(self) -> str:
        said = [f"eps={self.eps:.3g}", f"steps={self.steps}", *([] if self.targeted else ["targeted=False"])]
        said += ["random_start=True"] if self.random_start else []
        said += [f"seed={self.seed}"] if self.seed else []
        said += [f"by={self.fingerprint}"] if self.fingerprint else []
        return f"attacked({', '.join(said)})"

    @property
    def how(self) -> str:
        name = "PGD" if self.random_start else "iterated FGSM" if self.steps > 1 else "FGSM"
        aim = "towards the foil" if self.targeted else "away from the answer"
        where = f"made on {self.by.name} (transfer)" if self.by is not None else "made on the model itself (white box)"
        return f"the corrupted pictures are the clean ones attacked: {name} {aim}, eps {self.eps:.3g}, {self.steps} steps, {where}"

    def changed(self, pictures: Sequence[Asked], attack: Attacker) -> list[Changed]:
        made: list[Changed] = (attack if self.by is None else self.by.attack)(pictures, self)
        return made

    def begun(self, pixels: Pixels) -> Pixels:
        """Where the attack on a picture begins."""
        if not self.random_start:
            return pixels
        random = np.random.default_rng(int(digest(f"start {self.seed} {digest(pixels.tobytes())}"), 16))
        return np.clip(pixels + random.uniform(-self.eps, self.eps, pixels.shape), 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Picture(Prompt):
    """A prompt that is a picture: its segments are the call that draws it, of which the slots are arguments."""

    drawing: Drawing | None = field(default=None, repr=False, compare=False)
    change: Change | None = None

    @property
    def is_picture(self) -> bool:
        return True

    @property
    def is_changed(self) -> bool:
        return self.change is not None

    def pixels(self, grid: Grid) -> Pixels:
        """What is drawn, before it is changed."""
        return pixels_of(self._drawn, grid, self.text)

    @property
    def looks(self) -> str:
        """A hash of what is drawn, in a thousandth of its brightness."""
        drawn = self._drawn
        numbers = np.asarray(drawn.convert("RGB") if is_of_pil(drawn) else drawn)
        if not np.issubdtype(numbers.dtype, np.number):  # no picture, which is said where it is read
            return ""
        return digest(repr((numbers.shape, np.round(numbers * 1000.0).tolist())))

    @property
    def _drawn(self) -> Any:
        if self.drawing is None:
            raise AssertionError("a picture is drawn by something")
        fillers = {segment.slot: segment.text for segment in self.segments if segment.slot}
        return self.drawing.drawn(fillers, self.text)
