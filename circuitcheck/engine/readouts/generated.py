"""A readout of generated text: whether a predicate holds of the greedy continuation of a prompt.

    refuses = generated(lambda text: "sorry" in text.lower(), max_tokens=32)
    model.on(HARMFUL, readout=refuses).accuracy > 0.9
    model.on(HARMFUL, readout=refuses).steer("L15.RESID_POST", direction, into="clean") < -0.5

An effect on it is the share of prompts whose text the predicate accepts with the intervention, minus that without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.engine.readouts.named import Reading, Readout
from circuitcheck.errors import MethodError
from circuitcheck.records.code_identity import identity_of

if TYPE_CHECKING:
    import torch

    from circuitcheck.types import Floats

Predicate = Callable[[str], Any]


@dataclass(frozen=True)
class Generated(Readout):
    """1 where a ``predicate`` holds of the text that the model writes, in at most ``max_tokens`` tokens; 0 where it does not."""

    predicate: Predicate
    max_tokens: int
    words: str

    name, unit = "generated", "prompts"
    needs_answer, is_text, takes_several = False, True, True

    @property
    def short(self) -> str:
        return f"{self._called}, {self.max_tokens} tokens"

    @property
    def words_of_several(self) -> str:
        return self.words

    @property
    def given(self) -> Any:
        return self

    @cached_property
    def identity(self) -> str | None:
        """None for a predicate whose code does not say what it computes."""
        known = identity_of(self.predicate)
        return None if known is None else f"generated {self.max_tokens} {known}"

    def value(self, reading: Reading, logits: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
        raise AssertionError("a predicate is of texts, not of logits")

    def judged(self, texts: Sequence[str]) -> "Floats":
        """Whether the predicate holds of each text, of shape [text]; raises ``MethodError`` for one that raises, or says neither
        True nor False."""
        return np.array([self._judged(text) for text in texts], dtype=np.float64)

    def _judged(self, text: str) -> bool:
        try:
            said = self.predicate(text)
        except Exception as error:
            raise MethodError(
                f"the predicate {self._called} raised {type(error).__name__} ({error}) for the text {text!r}: it must say True or "
                "False of whatever a model writes, of nothing too"
            ) from error
        if not isinstance(said, bool | np.bool_):
            raise MethodError(
                f"the predicate {self._called} gave {said!r} for the text {text!r}: it must say True or False"
                f"{', as in bool(...)' if said is not None else ''}"
            )
        return bool(said)

    @property
    def _called(self) -> str:
        return _name_of(self.predicate).rpartition(".")[2]


def generated(predicate: Predicate, max_tokens: int = 32) -> Generated:
    """What a model writes after a prompt, greedily, as a readout: does a predicate of the text hold?

        says_an = generated(lambda text: text.startswith(" an "), max_tokens=4)
        assert model.on(FRUIT, readout=says_an).accuracy > 0.9
        assert model.on(FRUIT, readout=says_an).ablate("L1.N8", "mean") < -0.4

    ``predicate``: a function of the text after the prompt (a str, without the token that ended it) that gives True or False.
    Of ``ablate`` and ``steer`` it is the share of prompts with the intervention minus that without it, between -1 and 1; ``gap`` is
    clean minus corrupted prompts, ``accuracy`` the share of clean ones. Raises ``MethodError`` for what is no function and no number
    of tokens; and, when a claim is decided, for a predicate that raises or gives something else.
    """
    if not callable(predicate):
        raise MethodError(
            f"generated takes a predicate, a function of a text that says True or False, not {predicate!r}"
        )
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise MethodError(f"max_tokens is a whole number of at least 1, not {max_tokens!r}")
    words = f"share of prompts whose greedy continuation (at most {max_tokens} tokens) {_name_of(predicate)} accepts"
    return Generated(predicate, max_tokens, words)


def _name_of(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', type(function).__module__)}.{name}"
