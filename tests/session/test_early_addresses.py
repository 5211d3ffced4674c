"""Addresses that are known before a model is loaded: what its config.json refutes is told at once."""

from pathlib import Path

import pytest

from circuitcheck import cli
from circuitcheck.bundled import PATH
from circuitcheck.models import loading
from circuitcheck.models.sources import source
from tests.conftest import HEAD


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "network_of", lambda *given, **more: pytest.fail("weights were loaded"))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("model", ["bundled", str(PATH)], ids=["a name", "a folder"])
def test_find_tells_which_layers_there_are_before_it_loads_any_weights(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs_of_fruit.py").write_text(HEAD)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["find", "pairs_of_fruit.py::FRUIT", "--model", model, "--address", "L1.H0 | L40.H3@end"]) == 2
    assert f"{PATH.name if model != 'bundled' else model} has layers 0-2" in capsys.readouterr().err


@pytest.mark.usefixtures("no_weights")
def test_so_does_a_session_of_the_site_of_a_dictionary(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + "def test_it(model):\n    pass\n")
    options = ("--circuit-model=bundled", "--circuit-store=off", "--circuit-dictionary=L7.RESID_POST=bundled-seed0")
    result = pytester.runpytest_inprocess(*options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*AddressError: bundled has layers 0-2*"])


@pytest.mark.parametrize(
    "address", ["L2.H3@end", "L*.N*", "LOGITS", "L1.H0 -> L2.N5", "L0.KV0.K", "L1.RESID_POST.F7", "no address"]
)
def test_what_the_configuration_does_not_refute_is_left_to_the_model(address: str) -> None:
    loading.check_address(address, "bundled")
    loading.check_address("L99.H0", "no/such-model")
    loading.check_address("L99.H0", object())
