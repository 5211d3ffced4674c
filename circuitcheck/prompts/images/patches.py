"""Pictures as sequences of patches, each known by a number that its pixels alone decide.

    grid = Grid(height=32, width=32, patch=8)
    grid.cut(picture)                        # the 16 patches' numbers, row by row, and their pixels
    grid.joined(ids)                         # of shape [row, colour, height, width], of numbers [row, 1 + patch]

So a batch of pictures is a batch of token ids, which all that is said of prompts holds for: pictures with the same pixels are the same,
on every machine. In front of the patches stands ``CLS``, the model's own class token, whose prediction is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from circuitcheck.errors import PromptError
from circuitcheck.texts import digest

Pixels = NDArray[np.float32]
# The number of the class token, which is no patch's.
CLS = 0
# The patches of all pictures that somebody has, by their numbers.
_known: "WeakValueDictionary[int, Pixels]" = WeakValueDictionary()


@dataclass(frozen=True)
class Grid:
    """The size of pictures and of their square patches, in pixels."""

    height: int
    width: int
    patch: int

    @property
    def rows(self) -> int:
        return self.height // self.patch

    @property
    def columns(self) -> int:
        return self.width // self.patch

    @property
    def length(self) -> int:
        """The class token and all patches."""
        return 1 + self.rows * self.columns

    @property
    def words(self) -> str:
        return f"{self.height} x {self.width} pixels"

    def cut(self, picture: Pixels) -> tuple[tuple[int, ...], tuple[Pixels, ...]]:
        """The patches of a picture [height, width, colour]: their numbers, and the patches themselves, which are known as long as somebody
        has them."""
        parts = picture.reshape(self.rows, self.patch, self.columns, self.patch, 3).swapaxes(1, 2)
        patches = [_the_one(np.ascontiguousarray(part)) for part in parts.reshape(-1, self.patch, self.patch, 3)]
        return tuple(number for number, _ in patches), tuple(patch for _, patch in patches)

    def joined(self, ids: Sequence[Sequence[int]]) -> Pixels:
        """The pictures of class token and patches, of shape [row, height, width, colour]."""
        patches = np.stack([_known[number] for row in ids for number in row[1:]])
        parts = patches.reshape(len(ids), self.rows, self.columns, self.patch, self.patch, 3)
        return parts.swapaxes(2, 3).reshape(len(ids), self.height, self.width, 3)


def _the_one(patch: Pixels) -> tuple[int, Pixels]:
    """The number of a patch, and the first that had these pixels."""
    number = 1 + int(digest(patch.astype("<f4").tobytes(), 14), 16)
    return number, _known.setdefault(number, patch)


def is_of_pil(drawn: object) -> TypeGuard[Any]:
    """Whether it is a picture of PIL's, which need not be installed."""
    return hasattr(drawn, "convert") and hasattr(drawn, "getbands")


def pixels_of(drawn: object, grid: Grid, what: str) -> Pixels:
    """What a function drew, of shape [height, width, colour] in [0, 1]: an array of that shape (of whole numbers, 0 to 255), or a picture of
    PIL's. Raises ``PromptError`` for anything else."""
    if is_of_pil(drawn):
        drawn = np.asarray(drawn.convert("RGB"))
    if not isinstance(drawn, np.ndarray):
        raise PromptError(
            f"{what} drew a {type(drawn).__name__}: a picture is an array [height, width, 3], or one of PIL's"
        )
    if drawn.shape != (grid.height, grid.width, 3):
        raise PromptError(
            f"{what} drew an array of shape {drawn.shape}, and the model reads pictures of {grid.words}, [height, width, 3]"
        )
    if drawn.dtype == np.uint8:
        return (drawn / 255).astype(np.float32)
    picture = drawn.astype(np.float32) if np.issubdtype(drawn.dtype, np.floating) else None
    if picture is None or not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 1:
        raise PromptError(
            f"{what} drew numbers of {drawn.dtype} outside 0 to 1: pixels are between 0 and 1, or whole numbers of uint8"
        )
    return picture
