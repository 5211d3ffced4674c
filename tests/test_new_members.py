"""A new verb, readout, unit, ablation value or report format is one class or row: a toy of each goes through every layer by it
alone. (A new kind of site: ``tests/addresses/test_kinds.py``.)"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import Model, PromptPairs
from circuitcheck.engine import ablations
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.readouts import named as readouts
from circuitcheck.report import formats
from circuitcheck.report.formats import Format, Told
from circuitcheck.units import UNITS, Unit
from tests import oracle
from tests.conftest import Claims


class Negated(Ablation):
    """Minus the mean."""

    needs_reference = True

    def supply(self, source: Any) -> Any:
        means = source.means("both")
        return lambda which, there: -means(which, there)


class Doubled(readouts.Readout):
    """Twice the logit difference, in twos."""

    name, unit, words = "doubled", "twos", "twice the answer - foil logit difference"
    needs_foil = True

    def value(self, reading: readouts.Reading, logits: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        return 2 * reading.margin(logits, which)


def names(path: Path, told: Told) -> None:
    path.write_text("".join(f"{claim.nodeid}\n" for claim in told.collector.claims.values()))


@pytest.fixture(autouse=True)
def members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ablations.WORDS, "negated", Negated)
    monkeypatch.setitem(UNITS, "twos", Unit("twos"))
    monkeypatch.setitem(readouts.READOUTS, "doubled", Doubled())
    monkeypatch.setitem(formats.FORMATS, "names", Format("write the names of the claims", names))


def test_an_ablation_value_is_what_plain_hooks_put_in(bundled: Model, fruit: PromptPairs) -> None:
    hook = "blocks.1.hook_mlp_out"
    measured = bundled.on(fruit).ablate("L1.MLP@end", "negated").raw.measure()
    assert measured.method.value == "negated"
    there = [oracle.activations(bundled, pair.tokens(s))[hook][0, -1] for pair in measured.pairs for s in _SIDES]
    mean = torch.stack(there).mean(0)
    for pair, shift in zip(measured.pairs, measured.per_pair, strict=True):

        def put(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            activation[:, -1] = -mean
            return activation

        clean, ablated = (oracle.run(bundled, pair.clean, hooks) for hooks in ([], [(hook, put)]))
        lost = oracle.logit_difference(bundled, pair, clean) - oracle.logit_difference(bundled, pair, ablated)
        assert shift == pytest.approx(lost, abs=1e-4)


_SIDES: tuple[Any, ...] = ("clean", "corrupt")


def test_a_readout_has_its_own_unit(bundled: Model, fruit: PromptPairs) -> None:
    doubled: Any = "doubled"  # of which the type of readouts' names does not know
    run, plain = bundled.on(fruit, readout=doubled), bundled.on(fruit)
    assert run.gap.measure().estimate == pytest.approx(2 * plain.gap.measure().estimate, rel=1e-6)
    assert run.gap.measure().unit == "twos"
    assert run.patch("L1.N8").measure().estimate == pytest.approx(plain.patch("L1.N8").measure().estimate, rel=1e-5)
    assert np.isfinite(run.sweep("L1.H*").values).all()


def test_all_are_claimed_reported_and_locked(claims: Claims, tmp_path: Path) -> None:
    body = """
from dataclasses import dataclass
from circuitcheck.claims.effects import Effect
from circuitcheck.engine.ablations import scaled
from circuitcheck.experiments.components import ComponentExperiment, shifted
from circuitcheck.experiments.outcomes import ablated

@dataclass(frozen=True, eq=False, kw_only=True)
class Halve(ComponentExperiment):
    verb, no_source = "halve", "what is halved has no source"
    @classmethod
    def at(cls, address, setup):
        return cls(**cls.placed(setup, address)._asdict(), unit="gap")
    @property
    def label(self):
        return f"halve {self.address}"
    def fields(self):
        return {"value": "half of what is there", "direction": "halving"}
    def moved(self, address, value=None):
        return self.at(address, self.setup)
    def shifts(self, sample, sets):
        return shifted(ablated(self.setup, sample, sets, scaled(0.5)), self.setup.base(sample, "clean"), "clean")

def test_verb(model):
    halved = Effect(Halve.at("L1.N8", model.on(FRUIT)._setup))
    assert halved == pytest.approx(model.on(FRUIT).ablate("L1.N8", scaled(0.5)).measure().estimate, abs=1e-3)
def test_verb_beats(model):
    assert Effect(Halve.at("L1.N8", model.on(FRUIT)._setup)).rank_within("L1.N0-5") == 7
def test_value(model):
    assert model.on(FRUIT).ablate("L1.N8", "negated") < -0.3
def test_readout(model):
    assert model.on(FRUIT, readout="doubled").gap > 1
"""
    options = [f"--circuit-{name}={tmp_path}/found.{name}" for name in ("json", "html", "markdown", "names")]
    result = claims(body, *options, "--circuit-lock=update", "--circuit-mutate")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["supported*halve L1.N8*"])
    found = {
        one["nodeid"].rpartition("::")[2]: one for one in json.loads((tmp_path / "found.json").read_text())["claims"]
    }
    assert found["test_verb"]["effects"][0]["method"]["verb"] == "halve"
    assert found["test_verb"]["effects"][0]["controls"]["of"] > 1
    assert found["test_value"]["effects"][0]["method"]["value"] == "negated"
    assert found["test_readout"]["effects"][0]["unit"] == "twos"
    assert "twos" in (tmp_path / "found.html").read_text()
    assert "twos" in (tmp_path / "found.markdown").read_text()
    assert len((tmp_path / "found.names").read_text().splitlines()) == 4
    claims(body, "--circuit-lock=check").stdout.fnmatch_lines(["lock: as in circuitcheck.lock"])
