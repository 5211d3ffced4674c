"""Claims that rest on other draws than that of pairs, simulated at their boundaries."""

import numpy as np
import pytest

from circuitcheck.claims.mean_bases import MeanBase
from circuitcheck.reference_models import other_draws
from circuitcheck.reference_models.other_draws import GAPS, beats, beats_drawn, examine_all, pairs_above
from circuitcheck.settings import Settings

SHORT = Settings(budget=256)


def test_pairs_above_a_limit_in_mean_gaps_are_counted_right_where_these_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where 16 reference pairs' mean gap is taken for granted, every second claim at the boundary is wrong."""
    random = np.random.default_rng(0)
    decide = pairs_above(GAPS["scatter 0.5"], SHORT)
    assert sum(decide(random) != 0 for _ in range(40)) <= 3
    monkeypatch.setattr(other_draws, "mean_gap", lambda reference, _: MeanBase(*[float(reference[:16].mean())] * 3))
    assert sum(decide(random) != 0 for _ in range(40)) >= 8


def test_ranks_err_as_rarely_as_they_say() -> None:
    random = np.random.default_rng(1)
    for decide in (beats(1, 8, SHORT), beats_drawn(SHORT)):
        assert sum(decide(random) == 1 for _ in range(300)) <= 15  # 7 of them are stated


@pytest.mark.slow
def test_no_kind_of_claim_errs_more_often_than_it_says() -> None:
    for found in examine_all(Settings(), claims=4000):
        assert found.false_pass_upper <= 1.1 * 0.025 + 0.005, found
        assert found.false_refute_upper <= 1.1 * 0.025 + 0.005, found
