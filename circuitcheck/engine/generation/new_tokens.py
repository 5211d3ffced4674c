"""Where an ablation takes its values from at tokens that the model writes itself: they have no role in any prompt."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Target
from circuitcheck.engine.making import Making
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Sides
from circuitcheck.sampling.references import Donors, Reference

if TYPE_CHECKING:
    from circuitcheck.engine.ablations import Supply


@dataclass(frozen=True)
class AfterPrompt:
    """One target of a chunk's texts."""

    making: Making
    source: Reference | Donors | None
    target: Target
    chunk: Chunk

    def other_run(self) -> "Supply":
        raise self._no_source

    def drawn(self, of: Sides) -> "Supply":
        raise self._no_source

    def means(self, of: Sides) -> "Supply":
        """The mean over all tokens of the reference prompts of a pair's template, but BOS."""
        if not isinstance(self.source, Reference):
            raise AssertionError("means are those of a reference set")
        means = self.making.means_over_tokens(self.source, self.target, of)
        each = torch.stack([means[pair.pair.template] for pair in self.chunk.pairs])
        return lambda which, there: each[which.to(each.device)].unsqueeze(1).expand(there.shape)

    @property
    def _no_source(self) -> MethodError:
        return MethodError(
            "another prompt's activation has no tokens that correspond to those which are generated, so that there is nothing to put "
            "in at them: ablate by a number, a mean or scaled(...), or steer"
        )
