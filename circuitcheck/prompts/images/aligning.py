"""Pairs of pictures as patches, which correspond one by one; of one model all are of one size."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from circuitcheck.addresses.sites import Position
from circuitcheck.drawing.png import data_uri
from circuitcheck.errors import MethodError, PromptError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejected
from circuitcheck.prompts.images.patches import CLS, Grid, Pixels
from circuitcheck.prompts.images.pictures import Asked, Attacker, Change, Changed, Picture
from circuitcheck.prompts.pairs import Pair, Side
from circuitcheck.prompts.tokens import Reader

_PATCH = "patch{%d,%d}"


@dataclass(frozen=True)
class AlignedPicture(AlignedPair):
    """A pair of pictures as the numbers of their patches, behind that of the class token. ``patches`` are the pixels that the numbers stand
    for; ``fooled``: whether an attack made the class what it was to be, None where there was none."""

    grid: Grid = field(default_factory=lambda: Grid(1, 1, 1), kw_only=True)
    patches: tuple[Pixels, ...] = field(kw_only=True, repr=False, compare=False)
    fooled: bool | None = field(default=None, kw_only=True, compare=False)

    @property
    def fork(self) -> int:
        """Each patch attends to all others, so that no part of the runs is one."""
        return 0

    @property
    def looks_back(self) -> bool:
        return False

    def end(self, side: str) -> int:
        """The class token's."""
        return 0

    def positions(self, position: Position, side: Side = "clean") -> list[int]:
        """The class token and patches that a ``Position`` names; ``@end``, where a prediction is read, is the class token."""
        if position.outside or position.everywhere or position.answer:
            return super().positions(position, side)
        if position == Position(offset=-1):
            return [0]
        names = self._names
        if position.patch not in names or position != Position(patch=position.patch):
            raise PromptError(
                f"@{position} is no position in pictures of {self.grid.rows} x {self.grid.columns} patches: they have @cls and "
                f"@{names[1]} to @{names[-1]}"
            )
        return [names.index(position.patch)]

    def position_at(self, index: int, segment: int) -> Position:
        return Position(patch=self._names[index])

    def marked(self, side: Side, texts_of: Callable[[Iterable[int]], list[str]]) -> str:
        """The call that draws a side's picture."""
        return self.prompt(side).text

    @property
    def previews(self) -> dict[str, str]:
        """The clean and the corrupted picture, and their difference, amplified until it is seen: grey where there is none."""
        clean = self.pixels("clean")
        shown = {"clean": clean}
        if self.pair.is_contrast:
            corrupt = self.pixels("corrupt")
            difference = corrupt - clean
            times = 0.5 / float(np.abs(difference).max())
            shown |= {"corrupted": corrupt, f"difference x {times:.3g}": 0.5 + times * difference}
        return {what: data_uri(np.round(255 * np.clip(one, 0, 1)).astype(np.uint8)) for what, one in shown.items()}

    def name_at(self, position: Position, texts_of: Callable[[Iterable[int]], list[str]]) -> str:
        """Nothing: a patch has no name but where it is."""
        return ""

    def pixels(self, side: Side) -> Pixels:
        """A side's picture, of shape [height, width, colour]."""
        picture: Pixels = self.grid.joined([self.tokens(side)])[0]
        return picture

    @property
    def _names(self) -> list[str]:
        grid = self.grid
        return ["cls", *(_PATCH % (row, column) for row in range(grid.rows) for column in range(grid.columns))]


class PictureAligner(Aligner):
    """Draws pairs for one model: ``name``, what errors call it; ``labels``, the numbers of its classes by their names; ``attack``, what attacks
    pictures on it."""

    def __init__(self, name: str, grid: Grid, labels: Mapping[str, int], attack: Attacker):
        super().__init__(None, None, len(labels))
        self.name, self.grid, self.labels, self.attack, self.reader = name, grid, labels, attack, _NoTexts(name)

    def reading_at(self, position: Position) -> NoReturn:
        raise PromptError(f"{self.name} reads pictures, which are read at the class token alone: leave out at=")

    def texts_of(self, tokens: Iterable[int]) -> list[str]:
        """The names of classes."""
        return [list(self.labels)[number] for number in tokens]

    def align(self, pairs: Iterable[Pair]) -> list[AlignedPair | Rejected]:
        """What becomes of each pair, in order: patches, or why it cannot be used."""
        given = [self._numbers(pair) for pair in pairs]
        changes: dict[Change, list[int]] = {}
        for place, (pair, _) in enumerate(given):
            if (change := _picture(pair.corrupt).change) is not None:
                changes.setdefault(change, []).append(place)
        corrupted: dict[int, Changed] = {}
        for change, places in changes.items():
            made = change.changed([given[place][1] for place in places], self.attack)
            corrupted |= dict(zip(places, made, strict=True))
        return [
            self._aligned(pair, asked, corrupted.get(place) or Changed(self._pixels(pair.corrupt)))
            for place, (pair, asked) in enumerate(given)
        ]

    def _numbers(self, pair: Pair) -> tuple[Pair, Asked]:
        """A pair with its clean picture, answer and foil in numbers."""
        if not isinstance(pair.clean, Picture):
            raise PromptError(
                f"{self.name} reads pictures, and {pair.clean.text!r} is text: describe pictures, ImagePairs(draw, shape=[...], ...)"
            )
        both = [tuple(self._number(one) for one in members) for members in (pair.answer, pair.foil)]
        return pair, Asked(self._pixels(pair.clean), *both)

    def _number(self, label: Any) -> int:
        if label in self.labels:
            return self.labels[label]
        named = ", ".join(map(repr, list(self.labels)[:12])) + (" ..." if len(self.labels) > 12 else "")
        raise PromptError(f"{self.name} has no class {label!r}: answers and foils are classes of its head ({named})")

    def _pixels(self, prompt: Any) -> Pixels:
        return _picture(prompt).pixels(self.grid)

    def _aligned(self, pair: Pair, asked: Asked, corrupted: Changed) -> AlignedPair | Rejected:
        clean, kept = self.grid.cut(asked.pixels)
        corrupt, others = self.grid.cut(corrupted.pixels)
        if clean == corrupt and pair.is_contrast:
            return Rejected("whose pictures do not differ", pair.shown)
        if both := set(asked.answer) & set(asked.foil):
            name = next(name for name, number in self.labels.items() if number in both)
            return Rejected("whose answer is a foil, too", f"{name!r} of {pair.shown}")
        length = self.grid.length
        return AlignedPicture(
            pair,
            (CLS, *clean),
            (CLS, *corrupt),
            asked.answer,
            asked.foil,
            tuple(range(length)),
            ("",) * length,
            grid=self.grid,
            patches=(*kept, *others),
            fooled=corrupted.fooled,
        )


class _NoTexts(Reader):
    """In the place of what reads texts, for a model that reads pictures."""

    def __init__(self, name: str):
        super().__init__(None, None, 0)
        self._name = name

    def read(self, texts: Sequence[str]) -> NoReturn:
        raise MethodError(f"{self._name} reads pictures, and this is about texts: it takes a language model")

    def front(self, ids: Sequence[int]) -> NoReturn:
        self.read([])


def _picture(prompt: Any) -> Picture:
    if not isinstance(prompt, Picture):
        raise AssertionError("a pair of pictures has two")
    return prompt


def remark_on_attacks(pairs: Sequence[AlignedPair]) -> tuple[str, ...]:
    """How many attacks failed, in words; nothing where there were none."""
    tried = [pair.fooled for pair in pairs if isinstance(pair, AlignedPicture) and pair.fooled is not None]
    if not tried:
        return ()
    failed = sum(not fooled for fooled in tried)
    if not failed:
        return (f"all {len(tried)} attacks changed the class as they aim to",)
    return (f"{failed} of {len(tried)} attacks failed to change the class as they aim to, and these pairs count, too",)
