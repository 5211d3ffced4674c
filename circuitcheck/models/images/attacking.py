"""Attacks on one model, whose pixels are remembered: signs of gradients may differ from one machine to another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.engine.answers import Answers
from circuitcheck.engine.gradients.attacks import attacked
from circuitcheck.engine.watching.held import Held
from circuitcheck.prompts.images.pictures import Asked, Attack, Changed
from circuitcheck.sampling.remembered import Doing
from circuitcheck.texts import hashed

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True, eq=False)
class Attacks:
    """Those on a model that reads pictures, each made once: it is loaded where one is not known."""

    held: Held
    answers: Answers
    _made: dict[tuple[str, Attack, bytes], Changed] = field(default_factory=dict)

    def __call__(self, pictures: Sequence[Asked], recipe: Attack) -> list[Changed]:
        """The pictures as they are attacked."""
        keys = [_key(one) for one in pictures]
        with self.answers.question():
            whose = self.answers.questions.fingerprint
            doing = ("attack", recipe)
            for key, one, flat in zip(keys, pictures, self._recalled(doing, keys), strict=True):
                if flat is not None and len(flat) == one.pixels.size + 1:
                    self._made.setdefault((whose, recipe, key), _unpacked(flat, one))
            there = zip(keys, pictures, strict=True)
            missing = {key: one for key, one in there if (whose, recipe, key) not in self._made}
            if missing:
                bridge = self.held.bridge
                new = attacked(bridge, bridge.sight, list(missing.values()), recipe)
                self._made.update({(whose, recipe, key): one for key, one in zip(missing, new, strict=True)})
                self.answers.remembered.keep_arrays(doing, zip(missing, map(_packed, new), strict=True))
        return [self._made[whose, recipe, key] for key in keys]

    def _recalled(self, doing: Doing, keys: Sequence[bytes]) -> "list[Floats | None]":
        """What is known under each key, whatever computed it: the numbers that follow are of these very pixels."""
        remembered = self.answers.remembered
        found = remembered.recall_arrays(doing, keys)
        for origin in remembered.others:
            if all(one is not None for one in found):
                break
            with remembered.recalling(origin):
                others = remembered.recall_arrays(doing, keys)
            found = [other if one is None else one for one, other in zip(found, others, strict=True)]
        return found


def _key(asked: Asked) -> bytes:
    """16 bytes of all that an attack on a picture depends on, beside the model and the recipe."""
    return hashed(f"{asked.pixels.tobytes().hex()} {asked.answer} {asked.foil}")


def _packed(made: Changed) -> "Floats":
    flat: Floats = np.append(made.pixels.ravel().astype(np.float64), float(bool(made.fooled)))
    return flat


def _unpacked(flat: "Floats", asked: Asked) -> Changed:
    return Changed(flat[:-1].astype(np.float32).reshape(asked.pixels.shape), bool(flat[-1]))
