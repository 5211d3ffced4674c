"""What a budget, or a few templates, can show at most: equivalences beyond it are refused before any pair is run."""

import math

from circuitcheck.claims.estimand import Estimand
from circuitcheck.errors import MethodError
from circuitcheck.settings import budget_for, stage_ends
from circuitcheck.statistics.betting import narrowest, pairs_at_least
from circuitcheck.statistics.clusters import fewest
from circuitcheck.statistics.counts import lower_limit
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.texts import plural


def refuse_unreachable(effect: Estimand, low: float, high: float) -> None:
    """Raise ``MethodError`` where the interval would not lie between two limits even if no pair differed from another."""
    run, settings = effect.run, effect.run.settings
    if run.pairs.description.generator is not None or run.generalise or run.drawn.in_whole(settings.budget) is not None:
        return
    budget, level = max(stage_ends(settings.budget), default=settings.budget), settings.alpha / 2
    if effect.bounds is None:
        base = run.gaps_on(run.ruler) if effect.unit == "gap" else effect.base_on(run.ruler)
        mean_gaps = abs(float(base.mean())) / run.scale
        room, reaches = (high - low) * mean_gaps, (settings.bound, settings.bound)
    else:
        lowest, highest = effect.bounds
        mean_gaps, room = 1.0, min(high, highest) - max(low, lowest)
        reaches = low - lowest, highest - high
    # What the pairs' mean must be away from both limits; beyond its natural limits it need not be shown to lie.
    least = sum(narrowest(budget, reach, level, run.drawn.size) for reach in reaches if reach > 0)
    if room >= least or room <= 0:
        return
    needed = pairs_at_least(room / 2, max(reaches), level)
    raise MethodError(
        f"{effect.label} == {(low + high) / 2:g} ± {(high - low) / 2:g} cannot be shown by {plural(budget, 'pair')}: even where none "
        f"differs from another they say no more than ± {least / 2 / mean_gaps:.3g}\n"
        f"  Claim a wider margin, or take {needed:,} pairs or more (--circuit-budget={budget_for(needed)})"
    )


def count_instead(evidence: Evidence, operator: str, threshold: float) -> str:
    """What may be claimed where a mean of few new ones is not decided."""
    n, above = len(evidence.shift), int((evidence.shift > threshold * evidence.base).sum())
    why = f"a mean of new ones takes at least {fewest(evidence.alpha)} (one in ten may fail), and there are {n}"
    level = evidence.alpha / 2
    least = math.floor(100 * lower_limit(above, n, level)) / 100
    most = math.ceil(100 * (1 - lower_limit(n - above, n, level))) / 100
    share = f"< {most:g}" if operator.startswith("<") else f"> {least:g}"
    return f"{why}; claim how many of them are above: .new_above({threshold:g}) {share} ({above} of {n} here)"
