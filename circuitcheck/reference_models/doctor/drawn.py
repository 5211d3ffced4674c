"""What is drawn besides pairs, as rows: reference sets, the mean gap of `pairs_above`, rivals."""

from circuitcheck.reference_models import other_draws, reference_draws
from circuitcheck.reference_models.calibration import bounds
from circuitcheck.reference_models.doctor.rows import Row, Table
from circuitcheck.settings import Settings


def others(settings: Settings, claims: int) -> Table:
    """See ``circuitcheck.reference_models.other_draws``."""
    rows = [
        Row(
            one.name,
            one.words,
            one.claims,
            settings.alpha / 2,
            one.false_pass,
            one.false_pass_upper,
            one.false_refute,
            one.false_refute_upper,
        )
        for one in other_draws.examine_all(settings, claims)
    ]
    return Table("Shares of pairs above a limit, and rivals", tuple(rows))


def references(settings: Settings, draws: int) -> Table:
    """See ``circuitcheck.reference_models.reference_draws``: an interval that misses the truth, on either side, is a false pass."""
    rows = []
    for population in reference_draws.populations():
        one = reference_draws.examine(population, settings, draws)
        missed = 1 - one.coverage
        more = {"where the set is taken for granted": f"{1 - one.ignoring:.0%} missed"}
        upper = bounds(missed, draws)[1]
        rows.append(Row(one.name, one.words, draws, settings.alpha, missed, upper, 0.0, 0.0, more))
    return Table("Reference sets that are drawn: intervals that miss the truth", tuple(rows))
