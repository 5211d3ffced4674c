"""Which model a claim is about, and what becomes of claims whose model is not on this machine."""

import json
from pathlib import Path

import huggingface_hub.constants
import pytest

from circuitcheck import Model, ModelMissing, load
from circuitcheck.bundled import PATH
from tests.conftest import Claims

TWO = """
def test_default(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.mark.circuit(model="of_marker")
def test_marked(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
OPTIONAL = """
pytestmark = pytest.mark.circuit(model="gpt2-large", optional=True)

@pytest.mark.parametrize("site", ["L31.N892"])
def test_one(model, site):
    '''The neuron restores it.'''
    assert model.on(FRUIT).patch("L31.N892") > 0.4

@pytest.mark.xfail(raises=ClaimRefuted, strict=True)
def test_other(model):
    assert model.on(FRUIT).patch("L31.N892") > 0.5

@pytest.mark.circuit(model="bundled")
def test_at_hand(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
FETCH = "hf download gpt2-large --include '*.json' '*.safetensors' '*.txt' '*.model' '*.jinja'"
WHY = f"gpt2-large is not on this machine; fetch it with: {FETCH}"


@pytest.fixture
def named(pytester: pytest.Pytester, bundled: Model) -> None:
    """The bundled model under three names, one of which is the ini file's."""
    for name in ("of_ini", "of_marker", "of_option"):
        folder = Path(pytester.path, name)
        folder.mkdir()
        for file in PATH.iterdir():
            folder.joinpath(file.name).symlink_to(file)
    pytester.makeini("[pytest]\ncircuit_model = of_ini\n")


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("option", "found"), [(None, ["of_ini", "of_marker"]), ("of_option", ["of_option", "of_option"])]
)
def test_an_option_goes_before_a_marker_and_a_marker_before_the_ini_file(
    claims: Claims, tmp_path: Path, option: str | None, found: list[str]
) -> None:
    result = claims(TWO, "-v", f"--circuit-json={tmp_path}/claims.json", model=option)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_default PASSED*", "*::test_marked PASSED*"])  # and no ids
    content = json.loads((tmp_path / "claims.json").read_text())
    assert [claim["model"] for claim in content["claims"]] == found


def test_an_optional_model_that_is_missing_is_skipped_with_what_fetches_it(claims: Claims, tmp_path: Path) -> None:
    result = claims(OPTIONAL, "-rs", f"--circuit-json={tmp_path}/claims.json", model=None)
    result.assert_outcomes(passed=1, skipped=2)
    shown = result.stdout.str().splitlines()
    start = shown.index("skipped       The neuron restores it. [L31.N892]")
    assert shown[start + 1] == "skipped       test_other"
    assert shown[start + 2].startswith("supported     patch L2.RESID_POST > 0.5")
    assert shown[start + 3].startswith("3 claims: 2 skipped, 1 supported on bundled (")
    assert shown[start + 4] == f"2 skipped: {WHY}"
    assert any(line.startswith("SKIPPED [2] ") and line.endswith(WHY) for line in shown)
    claimed = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert [(claim["outcome"], claim["problem"]) for claim in claimed[:2]] == [("skipped", WHY)] * 2


def test_strictly_an_optional_model_that_is_missing_is_a_failure(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(OPTIONAL, "--circuit-strict", model=None).assert_outcomes(passed=1, failed=2)
    pytester.makeini("[pytest]\ncircuit_strict = true\n")
    result = claims(OPTIONAL, model=None)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines([f"--circuit-strict: the claim was skipped: {WHY}"])


def test_a_claim_may_say_what_brings_its_model(claims: Claims) -> None:
    own = OPTIONAL.replace("optional=True", "optional=True, fetch='make gpt2-large'")
    result = claims(own, "-rs", model=None)
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*gpt2-large is not on this machine; fetch it with: make gpt2-large"])
    result = claims(own.replace("optional=True, ", ""), model=None)
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*  make gpt2-large"])
    claims(own.replace("'make gpt2-large'", "7")).stdout.fnmatch_lines(["*fetch= in words*not fetch=7"])


def test_only_a_model_that_was_not_asked_for_now_is_optional(claims: Claims) -> None:
    claims(OPTIONAL, model="gpt2-xl").assert_outcomes(errors=3)
    claims(OPTIONAL.replace(", optional=True", ""), model=None).assert_outcomes(passed=1, errors=2)
    claims(OPTIONAL.replace("gpt2-large", "no such name!"), model=None).assert_outcomes(passed=1, errors=2)


@pytest.mark.parametrize(("held", "missing"), [(["vocab.json"], True), (["config.json", "model.safetensors"], False)])
def test_a_cache_that_holds_no_weights_lacks_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: list[str], missing: bool
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--one"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    for name in {*held, "tokenizer.json"}:
        (snapshot / name).write_bytes((PATH / name).read_bytes() if (PATH / name).exists() else b"{}")
    if missing:
        with pytest.raises(ModelMissing, match="hf download some/one"):
            load("some/one")
    else:
        assert load("some/one").name == "some/one"
