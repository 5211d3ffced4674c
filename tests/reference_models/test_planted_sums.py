"""Interchanges, scrubbing and trained subspaces in a network whose algorithm is known, beside arithmetic."""

from itertools import product

import numpy as np
import pytest

from circuitcheck import ClaimInconclusive, ClaimRefuted
from circuitcheck.experiments.interchange import Interchange
from circuitcheck.reference_models.planted_sums import PlantedSum, planted_sum
from circuitcheck.settings import Settings
from tests.conftest import first

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


def logit(answer: int, total: float) -> float:
    return answer * total - answer**2 / 2


def test_it_adds(adds: PlantedSum, adds_otherwise: PlantedSum) -> None:
    for plant in (adds, adds_otherwise):
        run = plant.model.on(plant.pairs, readout="accuracy")
        assert len(run._setup.sample.pairs) == 27
        assert run.accuracy.measure().estimate == 1.0


def swapped(base: Numbers, source: Numbers, letters: str) -> Numbers:
    """The base's numbers with the source's of some letters."""
    a, b, c = (theirs if letter in letters else ours for letter, ours, theirs in zip("abc", base, source, strict=True))
    return a, b, c


def expected(wanted: str, moved: str) -> tuple[float, float]:
    """Share and margin where the answer is claimed to move with some letters, and moves with others."""
    hits, way, gap = [], 0.0, 0.0
    every = list(product(range(3), repeat=3))
    for base, source in product(every, every):
        answer, own = sum(swapped(base, source, wanted)), {sum(base), sum(source)}
        if answer not in own:
            totals = sum(base), sum(swapped(base, source, moved))
            before, after = (min(logit(answer, total) - logit(one, total) for one in own) for total in totals)
            hits.append(after > 1e-3)
            way, gap = way + after - before, gap - 2 * before
    return float(np.mean(hits)), way / gap


@pytest.mark.parametrize(
    ("site", "variable", "wanted", "moved"),
    first(
        3,
        [
            ("L0.H0@end", "sum", "ab", "ab"),
            ("L1.N0@end", "sum", "ab", "ab"),
            ("L0.H1@end", "sum", "ab", "c"),
            ("L0.H1@end", "c", "c", "c"),
            ("L0.H0@end", "c", "c", "ab"),
            ("L0.RESID_POST@end", "sum", "ab", "abc"),
            ("L0.H1@end", "a", "a", "c"),
        ],
    ),
)
def test_where_each_variable_is(adds: PlantedSum, site: str, variable: str, wanted: str, moved: str) -> None:
    effect = adds.model.on(adds.pairs).interchange(site, variable)
    measured, (share, margin) = effect.measure(), expected(wanted, moved)
    assert measured.exact
    assert measured.estimate == pytest.approx(share)
    assert effect.of_gap.measure().estimate == pytest.approx(margin, abs=1e-3)
    assert (share == 1.0) == (wanted == moved)


def test_a_head_that_carries_one_summand_alone_is_right_by_chance_and_no_oftener(adds_otherwise: PlantedSum) -> None:
    effect = adds_otherwise.model.on(adds_otherwise.pairs).interchange("L0.H0@end", "sum")
    assert effect.measure().estimate == pytest.approx(expected("ab", "a")[0])
    assert 0 < expected("ab", "a")[0] < 0.7


def test_the_sum_is_all_that_matters_of_where_it_is_handed_over(adds: PlantedSum, adds_otherwise: PlantedSum) -> None:
    def stays(plant: PlantedSum, site: str, names: str | tuple[str, ...]) -> float:
        return float(plant.model.on(plant.pairs, readout="probability").scrub({site: names}).raw.measure().estimate)

    whole = stays(adds, "L0.H0@end", ("a", "b"))
    assert stays(adds, "L0.H0@end", "sum") == pytest.approx(whole, abs=1e-4)
    assert stays(adds, "L0.H1@end", "sum") < whole - 0.1
    assert stays(adds_otherwise, "L0.H0@end", "sum") < whole - 0.03


@pytest.mark.slow
def test_a_trained_subspace_finds_the_sum_in_the_stream_where_it_is_and_not_where_it_is_not(
    adds: PlantedSum, adds_otherwise: PlantedSum
) -> None:
    found = adds.model.on(adds.pairs).interchange("L0.RESID_POST@end", "sum", along="trained")
    assert found.measure().estimate > 0.9
    assert isinstance(found._estimand.experiment, Interchange)
    assert found.beats_controls()
    otherwise = adds_otherwise.model.on(adds_otherwise.pairs)
    with pytest.raises((ClaimRefuted, ClaimInconclusive)):
        assert otherwise.interchange("L0.RESID_POST@end", "sum", along="trained") > 0.9
