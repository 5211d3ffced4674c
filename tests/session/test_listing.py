"""pytest --circuit-list: what would be claimed, without a model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from circuitcheck.records.locks.lock import NAME
from tests.conftest import HEAD, Claims

SUITE = """
def test_plain(model):
    '''All of the stream restores all of the gap.

    More words.
    '''
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.mark.circuit(model="gpt2-large", optional=True, alpha=0.01)
@pytest.mark.xfail(raises=ClaimRefuted, reason="believed, but false")
@pytest.mark.parametrize("site", ["L31.N892"])
def test_marked(model, site):
    assert model.on(FRUIT).patch(site) > 0.5

@pytest.fixture
def run(model):
    raise ValueError("a fixture was run")

@pytest.mark.skip("not today")
@pytest.mark.skipif(True, reason="here")
def test_by_a_fixture(run):
    assert run.patch(ALL) > 0.5

def test_unrelated():
    pass

@pytest.mark.circuit(claim=False)
def test_looks(model):
    pass
"""


def test_every_claim_is_listed_with_its_words_model_place_and_marks(claims: Claims) -> None:
    result = claims(SUITE, "--circuit-list")
    assert result.ret == pytest.ExitCode.OK
    file = "test_every_claim_is_listed_with_its_words_model_place_and_marks.py"
    first = 1 + Path(file).read_text().splitlines().index("def test_plain(model):")
    shown = "\n".join(result.outlines).replace(file, "f.py")
    expected = f"""
f.py::test_plain
  All of the stream restores all of the gap.
  of bundled; f.py:{first}
f.py::test_marked[L31.N892]
  of bundled; f.py:{first + 7}; optional; alpha=0.01; xfail: believed, but false
f.py::test_by_a_fixture
  of bundled; f.py:{first + 17}; skip: not today; skipif: here
"""
    assert expected in shown
    result.stdout.fnmatch_lines(["*3/5 tests collected (2 deselected) in *"])
    result.stdout.no_fnmatch_line("*circuit claims*")
    of_markers = claims(SUITE, "--circuit-list", model=None)
    of_markers.stdout.fnmatch_lines(["  of gpt2-large; *", "  of no model: none is given; *"])


def test_quietly_only_nodeids_are_listed(claims: Claims) -> None:
    result = claims(SUITE, "--circuit-list", "-q", "-k", "plain or fixture or unrelated")
    file = "test_quietly_only_nodeids_are_listed.py"
    assert result.outlines[:3] == [f"{file}::test_plain", f"{file}::test_by_a_fixture", ""]
    assert "2/5 tests collected (3 deselected)" in result.outlines[3]
    assert len(result.outlines) == 4
    two = claims(SUITE, "--circuit-list", "-q", "-m", "xfail", "-n", "2")
    assert [line for line in two.outlines if "::" in line] == [f"{file}::test_marked[L31.N892]"]


def test_without_claims_nothing_is_listed_and_a_broken_file_is_shown(claims: Claims, pytester: pytest.Pytester) -> None:
    assert claims("def test_unrelated():\n    pass\n", "--circuit-list").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    pytester.makepyfile(test_broken="import no_such_library")
    broken = claims(SUITE, "--circuit-list")
    assert broken.ret == pytest.ExitCode.INTERRUPTED
    broken.stdout.fnmatch_lines(
        ["*ERROR collecting test_broken.py*", "*No module named 'no_such_library'", "*1 error*"]
    )


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("--circuit-json=claims.json", "*--circuit-list decides nothing, so that --circuit-json has nothing to tell"),
        ("--circuit-fdr", "*--circuit-fdr has nothing to tell"),
        ("--circuit-lock=update", "*--circuit-list decides nothing that could be locked*"),
    ],
)
def test_what_is_told_of_verdicts_does_not_go_with_a_list(claims: Claims, other: str, says: str) -> None:
    result = claims(SUITE, "--circuit-list", other)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([says])


def test_the_lock_must_name_the_claims_that_there_are(claims: Claims, pytester: pytest.Pytester) -> None:
    body = "def test_one(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
    missing = claims(body, "--circuit-list", "--circuit-lock=check")
    assert missing.ret == pytest.ExitCode.TESTS_FAILED
    missing.stdout.fnmatch_lines([f"lock: there is no *{NAME}: --circuit-lock=update writes it"])
    assert claims(body, "--circuit-lock=update").ret == 0
    same = claims(body, "--circuit-list", "--circuit-lock=check")
    assert same.ret == 0
    same.stdout.fnmatch_lines([f"lock: {NAME} has an entry for every claim"])
    renamed = claims(body.replace("one", "other"), "--circuit-list", "--circuit-lock=check")
    assert renamed.ret == pytest.ExitCode.TESTS_FAILED
    renamed.stdout.fnmatch_lines(
        [
            f"lock: {NAME} names other claims (--circuit-lock=update writes it again)",
            "  *::test_one: in the lock, and not among the claims",
            "  *::test_other: a claim that is not in the lock",
        ]
    )
    loud, quiet = (
        claims(body, "--circuit-list", "--circuit-lock=check", "-q"),
        claims(body, "--circuit-list", "--circuit-lock=check", "-qq"),
    )
    assert "::test_one" in loud.outlines[0]
    assert quiet.outlines[0] == f"lock: {NAME} has an entry for every claim"
    optional = body + "@pytest.mark.circuit(model='gpt2-large', optional=True)\n" + body.replace("one", "large")
    skipped = optional + "@pytest.mark.skip('not today')\n" + body.replace("one", "skipped")
    assert claims(skipped, "--circuit-list", "--circuit-lock=check").ret == 0
    worded = body.replace("    assert", "    'It restores it.'\n    assert")
    claims(worded, "--circuit-lock=update")
    assert claims(worded.replace("one", "other"), "--circuit-list", "--circuit-lock=check").ret == 0
    claims(body, "--circuit-lock=update")
    part = body + body.replace("one", "other")
    assert claims(part, "--circuit-list", "--circuit-lock=check", "-k", "other").ret == pytest.ExitCode.TESTS_FAILED
    assert claims(part, "--circuit-list", "--circuit-lock=check", "-k", "one").ret == 0


def test_neither_torch_nor_a_model_is_loaded(pytester: pytest.Pytester) -> None:
    heavy = ("torch", "transformer_lens", "transformers", "numpy", "scipy", "hypothesis")
    pytester.makepyfile(HEAD.replace("import numpy as np\n", "") + SUITE)
    pytester.makeconftest(
        f"""
        import sys
        def pytest_unconfigure():
            print("loaded:", [name for name in {heavy} if name in sys.modules])
        """
    )
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plain = [sys.executable, "-m", "pytest", "-p", "circuitcheck.plugin", "--circuit-list", "--circuit-model=bundled"]
    done = subprocess.run(plain, capture_output=True, text=True, env=environment, cwd=pytester.path)
    assert done.returncode == 0, done.stdout
    assert "loaded: []" in done.stdout
    assert "test_by_a_fixture" in done.stdout
