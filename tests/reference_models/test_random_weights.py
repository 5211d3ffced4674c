"""The hypotheses that this repository ships, on a model of the bundled shape that was never trained."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from circuitcheck.bundled import PATH

HYPOTHESES = Path(__file__).parents[2] / "hypotheses"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_no_claim_passes_on_a_model_that_was_never_trained(
    pytester: pytest.Pytester, tmp_path: Path, seed: int, bundled: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every share claim ends in BehaviourAbsent or refuted."""
    monkeypatch.setenv("COLUMNS", "300")
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(PATH)).save_pretrained(tmp_path / "random")
    AutoTokenizer.from_pretrained(PATH).save_pretrained(tmp_path / "random")
    for source in HYPOTHESES.glob("test_*.py"):
        Path(pytester.path, source.name).write_text(source.read_text())
    path = tmp_path / "claims.json"
    options = [f"--circuit-model={tmp_path / 'random'}", f"--circuit-json={path}", "-p", "no:cacheprovider"]
    result = pytester.runpytest_inprocess(*options)
    assert set(result.parseoutcomes()) <= {"failed", "warnings", "xfailed"}
    claims = json.loads(path.read_text())["claims"]
    assert len(claims) >= 15
    assert not [claim["nodeid"] for claim in claims if claim["verdict"] in ("supported", "inconclusive")]
    for claim in claims:
        if claim["verdict"] == "undecided":
            result.stdout.fnmatch_lines([f"FAILED {claim['nodeid'].replace('[', '[[]')}*BehaviourAbsent*"])
