"""An effect in another unit."""

from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitcheck.effects import Effect


class Shares:
    """The units that an effect can be had in; what each needs is checked where it is asked for."""

    @property
    def of_gap(self) -> "Effect":
        """As a share of the gap: mean clean minus mean corrupted readout."""
        return self._in("gap")

    @property
    def of_clean(self) -> "Effect":
        """As a share of the mean clean readout."""
        return self._in("clean")

    @property
    def in_logits(self) -> "Effect":
        """In logits, as a share of nothing."""
        return self._in_raw("logits")

    @property
    def in_accuracy(self) -> "Effect":
        """In points of accuracy (0 to 1), as a share of nothing."""
        return self._in_raw("accuracy")

    @property
    def in_probability(self) -> "Effect":
        """In probability (0 to 1), as a share of nothing."""
        return self._in_raw("probability")

    @property
    def in_nats(self) -> "Effect":
        """In nats, of a log-probability or a divergence, as a share of nothing."""
        return self._in_raw("nats")

    @property
    def in_places(self) -> "Effect":
        """In places of the vocabulary's ranking, as a share of nothing."""
        return self._in_raw("places")

    @property
    def in_values(self) -> "Effect":
        """In the numbers of a readout that is a function, as a share of nothing."""
        return self._in_raw("function")

    @abstractmethod
    def _in(self, unit: str) -> "Effect": ...

    @abstractmethod
    def _in_raw(self, unit: str) -> "Effect": ...
