"""Dictionaries are attached by option, marker and ini file, reported and locked."""

import json
from pathlib import Path

import pytest

from tests.conftest import Claims
from tests.models.dictionaries.small import planted

PROCESSED = {"model_from_pretrained_kwargs": {"center_writing_weights": True, "fold_ln": True}}
CLAIM = """
def test_features(model):
    "Some features restore some of the gap."
    assert model.on(FRUIT).patch("L1.RESID_POST.F*") > 0.05
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return planted(tmp_path / "planted", 128, 40, **PROCESSED)


def test_by_an_option(claims: Claims, folder: Path, tmp_path: Path) -> None:
    result = claims(
        CLAIM,
        f"--circuit-dictionary=L1.RESID_POST={folder}",
        f"--circuit-json={tmp_path}/claims.json",
        "--circuit-lock=update",
    )
    result.assert_outcomes(passed=1)
    report = json.loads((tmp_path / "claims.json").read_text())
    assert report["models"][0]["dictionaries"].startswith("L1.RESID_POST: planted (")
    assert report["claims"][0]["effects"][0]["method"]["granularity"].startswith("feature of the dictionary planted (")
    checked = claims(CLAIM, f"--circuit-dictionary=L1.RESID_POST={folder}", "--circuit-lock=check")
    assert checked.ret == 0


def test_by_a_marker_and_an_ini_file(claims: Claims, folder: Path, pytester: pytest.Pytester) -> None:
    marked = f'@pytest.mark.circuit(dictionary="L1.RESID_POST={folder}")'
    plain = 'def test_no_feature(model):\n    "None is attached."\n    assert model.on(FRUIT).patch("L1.N8") > 0.05\n    assert not model._loaded.dictionaries\n'
    claims(CLAIM.replace("def test", f"{marked}\ndef test") + plain).assert_outcomes(passed=2)
    pytester.makeini(f"[pytest]\ncircuit_dictionary = L1.RESID_POST={folder}\n")
    claims(CLAIM).assert_outcomes(passed=1)


def test_what_is_asked_for_wrongly_is_said_in_a_sentence(claims: Claims, folder: Path) -> None:
    for given, why in {
        "L1.RESID_POST": "is asked for as SITE=PATH",
        f"L1.RESID_POST={folder},streams=cooked": "streams=raw or processed",
        f"L1.RESID_POST={folder},more": "after its path stand",
    }.items():
        result = claims(CLAIM, f"--circuit-dictionary={given}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{why}*"])
    missing = claims(CLAIM, "--circuit-dictionary=L1.RESID_POST=nowhere")
    missing.assert_outcomes(errors=1)
    missing.stdout.fnmatch_lines(["*there is no dictionary nowhere*"])
    optional = '@pytest.mark.circuit(dictionary="L1.RESID_POST=nowhere", optional=True)'
    claims(
        CLAIM.replace("def test", f"{optional}\ndef test").replace("circuit(", 'circuit(model="bundled", '), model=None
    ).assert_outcomes(skipped=1)
    absent = claims(CLAIM)
    absent.assert_outcomes(failed=1)
    absent.stdout.fnmatch_lines(["*has no dictionary at RESID_POST (attach one: --circuit-dictionary*"])
