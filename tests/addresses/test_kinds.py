"""A kind of site is one row of a table: a new one is addressed, patched, swept, reported and locked by it alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from circuitcheck import AddressError, MethodError, Model, PromptPairs
from circuitcheck.addresses.kinds import HIDDEN, KINDS, Kind
from circuitcheck.addresses.parsing import parse
from tests import oracle
from tests.conftest import Claims

HOOK = "blocks.{}.mlp.hook_in"


@pytest.fixture
def mlp_in(monkeypatch: pytest.MonkeyPatch) -> Kind:
    """What an MLP reads, behind the norm before it."""
    row = Kind("MLP input", HOOK, HIDDEN, lacking=lambda anatomy: "there is none" if anatomy.d_mlp is None else "")
    monkeypatch.setitem(KINDS, "MLP_IN", row)
    return row


@pytest.fixture
def model(mlp_in: Kind, anew: Callable[..., Model]) -> Model:
    """A model of which nothing was recorded before there was the kind."""
    return anew()


def test_a_new_kind_is_addressed(model: Model) -> None:
    sites = parse("L0-1.MLP_IN@end | L2.MLP_IN", model.anatomy)
    assert list(map(str, sites)) == ["L0.MLP_IN@end", "L1.MLP_IN@end", "L2.MLP_IN"]
    assert {site.granularity for site in sites} == {"MLP input"}
    with pytest.raises(AddressError, match="nearest: L1.MLP_IN"):
        parse("L1.MPL_IN", model.anatomy)


@pytest.mark.slow
def test_a_new_kind_is_patched_in_a_cone_as_by_plain_hooks(model: Model, fruit: PromptPairs) -> None:
    def edit(destination: torch.Tensor, source: torch.Tensor) -> None:
        destination[:] = source

    for layer in range(3):
        measured = model.on(fruit).patch(f"L{layer}.MLP_IN").measure()
        wanted = oracle.patched_share(model, measured.pairs, HOOK.format(layer), edit)
        assert measured.estimate == pytest.approx(wanted, abs=1e-5)
    assert model._loaded.answers.describe() == "cone"


def test_a_new_kind_is_swept_ablated_and_steered(model: Model, fruit: PromptPairs) -> None:
    run = model.on(fruit)
    swept = run.sweep("L*.MLP_IN")
    assert (swept.dims, swept.coords) == (("layer",), {"layer": ["L0", "L1", "L2"]})
    found = run.patch("L1.MLP_IN").measure().estimate
    assert swept.values[1] == pytest.approx(found, abs=1e-6)
    assert found == pytest.approx(run.patch("L1.MLP").measure().estimate, abs=1e-5)  # which reads nothing else
    assert run.ablate("L1.MLP_IN", "mean").measure().method.granularity == "MLP input"
    assert np.isfinite(run.steer("L1.MLP_IN@end", np.ones(model.bridge.cfg.d_model)).measure().estimate)
    with pytest.raises(MethodError, match="writes nothing into the stream by itself"):
        run.direct("L1.MLP_IN").measure()


@pytest.mark.usefixtures("mlp_in")
def test_a_new_kind_is_reported_and_locked(claims: Claims, pytester: pytest.Pytester, tmp_path: Path) -> None:
    body = 'def test_reads(model):\n    "It is read."\n    assert model.on(FRUIT).patch("L1.MLP_IN") > 0.3\n'
    options = (f"--circuit-json={tmp_path}/claims.json", f"--circuit-html={tmp_path}/claims.html", "--circuit-mutate")
    result = claims(body, "--circuit-lock=update", *options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["supported*patch L1.MLP_IN*"])
    [claim] = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert claim["effects"][0]["method"]["granularity"] == "MLP input"
    assert "L1.MLP_IN" in (tmp_path / "claims.html").read_text()
    checked = claims(body, "--circuit-lock=check")
    assert checked.ret == 0
    checked.stdout.fnmatch_lines(["lock: as in circuitcheck.lock"])
