"""Interchanges, scrubbing and trained subspaces in a network whose algorithm is known, beside arithmetic."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from circuitcheck import ClaimInconclusive, ClaimRefuted
from circuitcheck.experiments.interchange import Interchange
from circuitcheck.reference_models.planted_sums import PlantedSum, planted_sum
from circuitcheck.settings import Settings

WHOLE = Settings(whole=10_000)
Numbers = tuple[int, int, int]


@pytest.fixture(scope="module")
def adds() -> PlantedSum:
    """The sum of the first two is handed over from one layer to the next."""
    return planted_sum(most=2, settings=WHOLE)


@pytest.fixture(scope="module")
def adds_otherwise() -> PlantedSum:
    """It is not, and the answers are the same."""
    return planted_sum(most=2, handed_over=False, settings=WHOLE)


def couples() -> Iterator[tuple[Numbers, Numbers, int]]:
    """Base and source with the counterfactual total, where that is another one than both of theirs."""
    every = list(product(range(3), repeat=3))
    for base, source in product(every, every):
        total = source[0] + source[1] + base[2]
        if total not in (sum(base), sum(source)):
            yield base, source, total


def logit(answer: int, total: float) -> float:
    return answer * total - answer**2 / 2


def test_it_adds(adds: PlantedSum, adds_otherwise: PlantedSum) -> None:
    for plant in (adds, adds_otherwise):
        run = plant.model.on(plant.pairs, readout="accuracy")
        assert len(run.sample.pairs) == 27
        assert run.accuracy.measure().estimate == 1.0


@pytest.mark.parametrize(
    ("site", "variable", "share"),
    [
        ("L0.H0@end", "sum", 1.0),
        ("L1.N0@end", "sum", 1.0),
        ("L0.H1@end", "sum", 0.0),
        ("L0.H1@end", "c", 1.0),
        ("L0.H0@end", "c", 0.0),
        ("L0.RESID_POST@end", "sum", 0.0),
        ("L0.H0@end | L0.H1@end", ("sum", "c"), 1.0),
    ],
)
def test_where_each_variable_is(adds: PlantedSum, site: str, variable: str, share: float) -> None:
    measured = adds.model.on(adds.pairs).interchange(site, variable).measure()
    assert measured.exact
    assert measured.estimate == share


def test_a_head_that_carries_one_summand_alone_is_right_by_chance_and_no_oftener(adds_otherwise: PlantedSum) -> None:
    hits, moved, gap = [], 0.0, 0.0
    for base, source, wanted in couples():
        after = source[0] + base[1] + base[2]
        own = {sum(base), sum(source)}
        least = [min(logit(wanted, total) - logit(one, total) for one in own) for total in (sum(base), after)]
        hits.append(least[1] > 1e-3)
        moved, gap = moved + least[1] - least[0], gap - 2 * least[0]
    effect = adds_otherwise.model.on(adds_otherwise.pairs).interchange("L0.H0@end", "sum")
    measured = effect.measure()
    assert measured.n == len(hits)
    assert measured.estimate == pytest.approx(np.mean(hits), abs=0.02)
    assert effect.of_gap.measure().estimate == pytest.approx(moved / gap, abs=0.01)


def test_the_sum_is_all_that_matters_of_where_it_is_handed_over(adds: PlantedSum, adds_otherwise: PlantedSum) -> None:
    def stays(plant: PlantedSum, site: str, names: str | tuple[str, ...]) -> float:
        return float(
            plant.model.on(plant.pairs, readout="probability").scrub({site: names}).in_probability.measure().estimate
        )

    whole = stays(adds, "L0.H0@end", ("a", "b"))
    assert stays(adds, "L0.H0@end", "sum") == pytest.approx(whole, abs=1e-4)
    assert stays(adds, "L0.H1@end", "sum") < whole - 0.1
    assert stays(adds_otherwise, "L0.H0@end", "sum") < whole - 0.1


@pytest.mark.slow
def test_a_trained_subspace_finds_the_sum_in_the_stream_where_it_is_and_not_where_it_is_not(
    adds: PlantedSum, adds_otherwise: PlantedSum
) -> None:
    found = adds.model.on(adds.pairs).interchange("L0.RESID_POST@end", "sum", along="trained")
    assert found.measure().estimate > 0.9
    assert isinstance(found.experiment, Interchange)
    assert found.beats_controls()
    otherwise = adds_otherwise.model.on(adds_otherwise.pairs)
    with pytest.raises((ClaimRefuted, ClaimInconclusive)):
        assert otherwise.interchange("L0.RESID_POST@end", "sum", along="trained") > 0.9
