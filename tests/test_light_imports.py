"""A pytest run that makes no claim pays nothing for circuitcheck."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HYPOTHESES = Path(__file__).parent.parent / "hypotheses"

HEAVY = (
    "torch",
    "transformer_lens",
    "transformers",
    "numpy",
    "hypothesis",
    "safetensors",
    "huggingface_hub",
    "sklearn",
    "jinja2",
    "matplotlib",
)


def modules_after(code: str) -> set[str]:
    probe = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_and_its_light_names_import_none_of_the_heavy_libraries() -> None:
    names = (
        "import circuitcheck, circuitcheck.plugin; from circuitcheck import PromptPairs, contrast, ClaimRefuted, mean"
    )
    assert not modules_after(names) & set(HEAVY)


def test_what_claims_are_made_with_imports_torch_only_when_something_of_it_is_used() -> None:
    names = "import circuitcheck.model, circuitcheck.session.loading"
    assert modules_after(names) & set(HEAVY) == {"numpy"}
    assert "torch" in modules_after(f"{names}; from circuitcheck.engine.on_demand import torch; torch.zeros(1)")


def test_a_run_of_an_unrelated_suite_imports_nothing_heavy_and_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import sys

        def test_unrelated():
            assert not [name for name in {HEAVY} if name in sys.modules]
        """
    )
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "circuitcheck.plugin", str(pytester.path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=pytester.path,
    )
    assert done.returncode == 0, done.stdout
    assert "circuit" not in done.stdout.replace(str(pytester.path), "").partition("collected")[2]


def test_the_plugin_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_fine(): pass")
    pytester.runpytest_inprocess("-p", "no:circuitcheck").assert_outcomes(passed=1)


def test_a_suite_with_a_model_fixture_of_its_own_keeps_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def model():
            return "mine"

        def test_mine(model):
            assert model == "mine"
        """
    )
    result = pytester.runpytest_inprocess("--circuit-model=bundled")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*circuit claims*")


@pytest.mark.parametrize(
    "claims", sorted(HYPOTHESES.rglob("test_*.py")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_no_file_of_claims_imports_torch_for_all_that_are_collected_with_it(claims: Path) -> None:
    """Where one does, every model of the session is loaded, though all numbers are remembered."""
    imported = {
        name.split(".")[0] for name in re.findall(r"^(?:import|from) ([\w.]+)", claims.read_text(), re.MULTILINE)
    }
    assert not imported & {"torch", "transformers", "transformer_lens"}
