"""How a search goes about it: circuitcheck's options, and what the user's Hypothesis profile says."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.search.trials import Trials
    from circuitcheck.settings import Settings

_EXAMPLES = 1000
_OF_HYPOTHESIS = 100


@dataclass(frozen=True)
class Plan:
    """``examples``: pairs that are tried at most. ``reuse``: known counterexamples are; ``generate``: others are;
    ``shrink``: what is found is made ordinary; ``verbose``: every batch is printed."""

    examples: int = _EXAMPLES
    reuse: bool = True
    generate: bool = True
    shrink: bool = True
    verbose: bool = False

    def say(self, trials: "Trials") -> None:
        """Tell where a search stands, where its user asked Hypothesis to be verbose."""
        worst = trials.worst(trials.usable)
        if self.verbose and worst is not None:
            found, text = trials[worst].found, trials[worst].pair.pair.clean.text
            print(f"tried {plural(len(trials), 'pair')}, the worst is {found:.4g} for {text!r}", file=sys.stdout)


def plan_of(settings: "Settings") -> Plan:
    """The session's plan. ``max_examples`` counts where a Hypothesis profile sets another than Hypothesis' own 100, which is
    few for pairs in batches."""
    from hypothesis import Phase, Verbosity
    from hypothesis import settings as hypothesis_settings

    profile = hypothesis_settings()
    examples = _EXAMPLES if profile.max_examples == _OF_HYPOTHESIS else profile.max_examples
    return Plan(
        examples=examples if settings.examples is None else settings.examples,
        reuse=Phase.reuse in profile.phases or settings.replay,
        generate=Phase.generate in profile.phases and not settings.replay,
        shrink=Phase.shrink in profile.phases,
        verbose=profile.verbosity >= Verbosity.verbose,
    )
