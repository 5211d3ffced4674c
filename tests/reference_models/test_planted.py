"""What was planted is what circuitcheck, and an oracle that has nothing of it, find."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.reference_models import calibration
from circuitcheck.reference_models.planted import Planted, planted
from circuitcheck.settings import Settings
from tests import oracle
from tests.conftest import each

OPTIONS: dict[str, dict[str, Any]] = {
    **{f"share {share:g}": {"share": share} for share in (0.0, 0.25, 0.5, 0.75, 1.0)},
    "no scatter": {"share": 0.5, "scatter": 0.0},
    "skewed": {"share": 0.5, "noise": "skewed", "scatter": 0.3},
    "heavy-tailed": {"share": 0.5, "noise": "heavy-tailed"},
    "catastrophe": {"share": 0.5, "noise": "catastrophe"},
    "clusters": {"share": 0.5, "clusters": 3, "scatter": 0.3},
    "backup": {"share": 0.25, "backup": 0.5, "scatter": 0.3},
    "negative": {"share": 0.5, "negative": 0.25},
    "all": {"share": 0.5, "noise": "skewed", "clusters": 3, "backup": 0.5, "negative": 0.25},
}


@cache
def plant_of(name: str) -> Planted:
    return planted(**OPTIONS[name], nouns=12)


def in_order(plant: Planted, pairs: tuple[AlignedPair, ...]) -> list[int]:
    """The planted numbers' indices of pairs that were drawn."""
    rows = {(row.clean.ids, row.corrupt.ids): number for number, row in enumerate(plant.pairs.rows)}
    return [rows[pair.clean, pair.corrupt] for pair in pairs]


@pytest.mark.parametrize("name", each(OPTIONS, list(OPTIONS)[::4]))
def test_the_planted_share_is_what_patching_measures_in_every_pair(name: str) -> None:
    plant = plant_of(name)
    run = plant.model.on(plant.pairs)
    measured, shifts, gaps = (
        effect.measure() for effect in (run.patch(plant.neuron), run.patch(plant.neuron).raw, run.gap)
    )
    assert measured.exact
    assert measured.n == 144
    assert measured.estimate == pytest.approx(plant.share, abs=1e-4)
    order = in_order(plant, measured.pairs)
    assert shifts.per_pair == pytest.approx(plant.shift[order], abs=1e-4)
    assert gaps.per_pair == pytest.approx(plant.gap[order], abs=1e-4)


@pytest.mark.parametrize("name", each(OPTIONS, list(OPTIONS)[-1:]))
def test_the_oracle_finds_it(name: str) -> None:
    plant = planted(**OPTIONS[name], nouns=5)
    layer, neuron = (int(part[1:]) for part in plant.neuron.split("."))

    def edit(activation: Any, source: Any) -> None:
        activation[..., neuron] = source[..., neuron]

    pairs = plant.model.on(plant.pairs)._setup.sample.pairs
    hook = f"blocks.{layer}.mlp.out.hook_in"
    assert oracle.patched_share(plant.model, pairs, hook, edit) == pytest.approx(plant.share, abs=1e-4)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_share_is_the_one_that_was_asked_for(name: str) -> None:
    """But where a backup makes up for pairs in which the neuron works the wrong way."""
    plant = plant_of(name)
    if (plant.shift < 0).any() and OPTIONS[name].get("backup"):
        assert plant.share > OPTIONS[name]["share"]
    else:
        assert plant.share == pytest.approx(OPTIONS[name]["share"], abs=1e-9)
    assert plant.gap.mean() == pytest.approx(4)


def test_no_other_neuron_carries_anything() -> None:
    plant = planted(share=0.5, backup=0.5, nouns=5)
    found = plant.model.on(plant.pairs).sweep("L*.N*")
    for address in ("L0.N1", "L0.N2", "L0.N3", "L1.N0", "L1.N1"):
        assert found[address].estimate == pytest.approx(0, abs=1e-6)
    assert found[plant.neuron].estimate == pytest.approx(plant.share, abs=1e-4)


@pytest.mark.parametrize("backup", [0.0, 0.5, 1.0])
def test_a_backup_hides_an_ablation_but_no_patch(backup: float) -> None:
    plant = planted(share=0.5, scatter=0.0, backup=backup, nouns=12)
    run = plant.model.on(plant.pairs)
    ablated = run.ablate(plant.neuron, "mean").of_gap.measure()
    assert ablated.estimate == pytest.approx(0.25 * (1 - backup), abs=1e-4)
    noised = run.patch(plant.neuron, into="clean").measure()
    assert noised.estimate == pytest.approx(0.5 * (1 - backup), abs=1e-4)
    assert run.patch(plant.neuron).measure().estimate == pytest.approx(0.5, abs=1e-4)
    assert run.ablate(f"{plant.neuron} | {plant.backup}", "mean").of_gap.measure().estimate == pytest.approx(
        0.25, abs=1e-4
    )


@pytest.mark.parametrize("backup", [0.0, 0.5])
def test_what_an_ablation_removes_of_each_pair_is_known(backup: float) -> None:
    plant = planted(share=0.25, scatter=0.3, backup=backup, nouns=12)
    removed = plant.model.on(plant.pairs).ablate(plant.neuron, "mean").raw.measure()
    assert removed.per_pair == pytest.approx(plant.removed[in_order(plant, removed.pairs)], abs=1e-4)
    assert (plant.removed < 0).any()


def test_against_a_negative_neuron_the_rest_exceeds_the_gap() -> None:
    plant = planted(share=0.5, negative=0.25, nouns=12)
    run = plant.model.on(plant.pairs)
    rest = run.patch(f"{plant.neuron} | {plant.direct}").measure()
    assert rest.estimate == pytest.approx(1.25, abs=1e-4)
    assert any("working against" in note for note in rest.notes)
    for into in ("corrupt", "clean"):
        assert run.patch(plant.negative, into=into).measure().estimate == pytest.approx(-0.25, abs=1e-4)
    assert run.patch("L1.RESID_POST").measure().estimate == pytest.approx(1, abs=1e-4)


def test_clean_prompts_are_answered_with_the_answer() -> None:
    plant = planted(share=0.5, negative=0.25, backup=0.5, nouns=12)
    run = plant.model.on(plant.pairs)
    assert run.accuracy.measure().estimate == 1


def deviations(**options: Any) -> np.ndarray:
    """Of 100 x 100 pairs of share 0: what the noise makes of their effects, in mean gaps, of shape [clean, corrupt]."""
    found: np.ndarray = planted(share=0.0, nouns=100, **options).shift.reshape(100, 100) / 4
    return found


@pytest.mark.slow
def test_pairs_scatter_as_the_noise_says() -> None:
    normal, skewed = deviations(scatter=0.2), deviations(noise="skewed", scatter=0.2)
    assert normal.std() == pytest.approx(0.2, rel=0.1)
    assert skewed.std() == pytest.approx(0.2, rel=0.2)
    lopsided = [float(((one - one.mean()) ** 3).mean() / one.std() ** 3) for one in (normal, skewed)]
    assert abs(lopsided[0]) < 0.3
    assert lopsided[1] > 0.8
    assert np.abs(deviations(noise="heavy-tailed", scatter=0.2)).max() > 2 * np.abs(normal).max()


def test_a_catastrophe_is_one_noun() -> None:
    by_noun = deviations(noise="catastrophe", scatter=0.05).mean(axis=1)
    assert by_noun[0] == pytest.approx(-1.8, abs=0.15)
    assert np.abs(by_noun[1:]).max() < 0.2


def test_nouns_of_a_cluster_deviate_together() -> None:
    by_noun = deviations(clusters=20, scatter=0.2).mean(axis=1).reshape(5, 20)
    within, between = by_noun.std(axis=0).mean(), by_noun.mean(axis=0).std()
    assert within < 0.6 * between


@pytest.fixture(scope="module")
def measured() -> list[calibration.Shape]:
    return calibration.of_planted()


@pytest.mark.slow
def test_the_doctor_takes_the_truth_from_what_was_planted(measured: list[calibration.Shape]) -> None:
    truths = {one.name: calibration._truth(one, Settings())[0] for one in measured}
    assert list(truths.values())[:7] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.5, 0.5], abs=1e-12)
    assert truths["planted, opposed"] == pytest.approx(0.5, abs=0.01)
    for one in measured:
        assert one.pairs is not None
        assert float(one.pairs[0].mean() / one.pairs[1].mean()) == pytest.approx(truths[one.name], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("number", each(range(8), (1, 6)))
def test_errors_at_a_planted_share_are_as_rare_as_stated(measured: list[calibration.Shape], number: int) -> None:
    found = calibration.examine(measured[number], Settings(budget=192), 500)
    assert found.false_pass + found.false_refute <= 0.08
    assert found.coverage >= 0.92
    assert found.power["0.3"] > 0.9


@pytest.mark.slow
def test_a_measurement_that_is_off_is_seen(measured: list[calibration.Shape]) -> None:
    """Effects that come out a tenth of the gap too large make the doctor count false passes."""
    right = measured[0]
    assert right.pairs is not None
    wrong = calibration.of_population("off", "", right.pairs[0] + 0.1 * right.pairs[1], right.pairs[1], right.known)
    found = calibration.examine(wrong, Settings(budget=192), 200)
    assert found.false_pass > 0.5
    assert found.coverage < 0.5
