"""Ways in which a claim could pass, or seem to pass, without having been decided for it."""

import pytest

from tests.conftest import Claims, each


def test_a_bare_effect_is_not_a_claim(claims: Claims) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ComparisonError: an effect is a number, not a claim*"])


@pytest.mark.parametrize("site", ["ALL", "NONE"])
def test_assert_not_passes_whichever_way_the_comparison_comes_out(claims: Claims, site: str) -> None:
    claims(f"def test_it(model):\n    assert not (model.on(FRUIT).patch({site}) > 0.5)").assert_outcomes(failed=1)


def test_a_comparison_that_nobody_asserts_fails_the_test(claims: Claims) -> None:
    result = claims("def test_it(model):\n    model.on(FRUIT).patch(ALL) > 0.5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["a comparison was made and never asserted: patch L2.RESID_POST > 0.5 of the gap*supported*"]
    )


def test_a_test_that_decides_nothing_fails(claims: Claims) -> None:
    result = claims("def test_it(model):\n    model.on(FRUIT).patch(ALL).measure()")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*passed without deciding a claim*", "*claim=False*"])


def test_a_test_that_only_looks_may_say_so(claims: Claims) -> None:
    body = "@pytest.mark.circuit(claim=False)\ndef test_it(model):\n    model.on(FRUIT).patch(ALL).measure()"
    result = claims(body)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*circuit claims*")


def test_any_over_comparisons_does_not_search_for_one_that_passes(claims: Claims) -> None:
    """The first refuted comparison raises; made all at once, those that are not asserted fail the test."""
    claims(
        """
def test_one_by_one(model):
    assert any(model.on(FRUIT).patch(site) > 0.5 for site in [NONE, ALL])

def test_all_at_once(model):
    assert any([model.on(FRUIT).patch(site) > 0.5 for site in [ALL, NONE]])
"""
    ).assert_outcomes(failed=2)


def test_both_links_of_a_chain_are_decided(claims: Claims) -> None:
    claims(
        """
def test_inside(model):
    assert 0.5 < model.on(FRUIT).patch(ALL) < 1.5

def test_under(model):
    assert 1.1 < model.on(FRUIT).patch(ALL) < 1.5

def test_over(model):
    assert 0.5 < model.on(FRUIT).patch(ALL) < 0.9
"""
    ).assert_outcomes(passed=1, failed=2)


REASONS = {
    "refuted": "assert model.on(FRUIT).patch(NONE) > 0.5",
    "inconclusive": "assert model.on(FRUIT).patch(NONE) > 0",
    "behaviour absent": "assert model.on(PromptPairs('The {x} is', x=contrast(clean=['apple'], corrupt=['lemon']), answer=' an', foil=' a')).patch(ALL) > 0.5",
    "misspelt verb": "assert model.on(FRUIT).pach(ALL) > 0.5",
    "misspelt address": "assert model.on(FRUIT).patch('L99.H0') > 0.5",
    "bare effect": "assert model.on(FRUIT).patch(ALL)",
    "unasserted": "model.on(FRUIT).patch(NONE) > 0.5",
    "plain assertion": "assert False",
    "called by hand": "pytest.xfail('some day')",
}


@pytest.mark.parametrize("strict", each([True, False], (False,)))
@pytest.mark.parametrize("raises", ["", "raises=Exception, "])
def test_only_a_refutation_can_be_an_expected_failure(claims: Claims, strict: bool, raises: str) -> None:
    tests = [
        f"@pytest.mark.xfail({raises}strict={strict})\ndef test_{name.replace(' ', '_')}(model):\n    {line}"
        for name, line in REASONS.items()
    ]
    result = claims("\n\n".join(tests), "-rA")
    result.assert_outcomes(xfailed=1, failed=len(REASONS) - 1)
    result.stdout.fnmatch_lines(["XFAIL*test_refuted*"])


def test_an_error_in_a_fixture_is_no_expected_failure(claims: Claims) -> None:
    claims(
        """
@pytest.fixture
def effect(model):
    return model.on(FRUIT).patch("L99.H0")

@pytest.mark.xfail(strict=True)
def test_it(effect):
    assert effect > 0.5
"""
    ).assert_outcomes(errors=1)


def test_a_claim_that_is_not_to_be_run_stays_an_xfail(claims: Claims) -> None:
    body = "@pytest.mark.xfail(run=False, reason='slow')\ndef test_it(model):\n    assert model.on(FRUIT).patch(NONE) > 0.5"
    result = claims(body)
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["undecided*"])


def test_an_equivalence_may_stand_on_either_side_but_needs_a_margin(claims: Claims) -> None:
    result = claims(
        """
def test_right(model):
    assert model.on(FRUIT).patch(ALL) == pytest.approx(1, abs=0.05)

def test_no_margin(model):
    assert model.on(FRUIT).patch(ALL) == pytest.approx(1)

def test_left(model):
    assert pytest.approx(1, abs=0.05) == model.on(FRUIT).patch(ALL)

def test_bare(model):
    assert model.on(FRUIT).patch(ALL) == 1

def test_not(model):
    assert model.on(FRUIT).patch(ALL) != pytest.approx(0, abs=0.05)
""",
        "-rA",
    )
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(["PASSED*test_right"])
    result.stdout.fnmatch_lines(["*needs an explicit margin*", "*approx(value, abs=margin), on the right*"])


def test_a_numpy_number_on_the_left_is_a_threshold_like_any_other(claims: Claims) -> None:
    result = claims(
        """
@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(0)])
def test_under(model, number):
    verdict = number < model.on(FRUIT).patch(ALL)
    assert type(verdict).__name__ == "Verdict"
    assert verdict

def test_over(model):
    assert np.float64(1.5) < model.on(FRUIT).patch(ALL)

def test_array(model):
    assert np.array([0.1, 0.2]) < model.on(FRUIT).patch(ALL)
"""
    )
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        ["*ComparisonError: an effect is compared with a real number or another effect, not with array*"]
    )


def test_showing_locals_computes_nothing(claims: Claims) -> None:
    result = claims(
        """
def test_it(model):
    effect = model.on(FRUIT).patch(ALL)
    run = model.on(FRUIT)
    model._loaded.answers.engine.bridge = None
    raise RuntimeError("before any comparison")
""",
        "--showlocals",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["effect*= <effect: patch L2.RESID_POST, of the gap, on PromptPairs*"])


@pytest.mark.parametrize("threshold", ["float('nan')", "float('inf')", "np.nan"])
def test_a_comparison_with_no_number_is_an_error(claims: Claims, threshold: str) -> None:
    result = claims(f"def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > {threshold}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*MethodError: *a threshold is a finite number*"])


@pytest.mark.parametrize("threshold", ["True", "'0.5'", "None"])
def test_a_threshold_is_a_number(claims: Claims, threshold: str) -> None:
    claims(f"def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > {threshold}").assert_outcomes(failed=1)


def test_a_claim_that_fails_says_so_where_the_user_wrote_it(claims: Claims) -> None:
    """No frame of circuitcheck's own; the verdict first; at most eight lines."""
    result = claims('def test_it(model):\n    """It does something."""\n    assert model.on(FRUIT).patch(NONE) > 0.5')
    result.stdout.no_fnmatch_line("*effects.py*")
    told = [line for line in result.outlines if line.startswith("E ")]
    assert told[0].startswith(
        "E       circuitcheck.ClaimRefuted: refuted: patch L0.H0@{tree}[1] > 0.5 of the gap: it is "
    )
    assert 1 < len(told) <= 8


def test_a_fault_of_our_own_keeps_its_traceback(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitcheck.statistics.evidence import Evidence

    monkeypatch.setattr(Evidence, "decide", lambda *_: 1 / 0)
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5")
    result.stdout.fnmatch_lines(["*effects.py*"])


def test_a_refutation_that_the_test_catches_does_not_pass(claims: Claims) -> None:
    result = claims(
        """
import contextlib

def test_try(model):
    try:
        assert model.on(FRUIT).patch(NONE) > 0.5
    except Exception:
        pass

def test_suppress(model):
    with contextlib.suppress(AssertionError):
        assert model.on(FRUIT).patch(NONE) > 0.5

def test_raises(model):
    with pytest.raises(ClaimRefuted):
        assert model.on(FRUIT).patch(NONE) > 0.5
"""
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*came out refuted, and the test passed all the same*"])


@pytest.mark.parametrize(
    "fixture",
    [
        "@pytest.fixture\ndef model(model):\n    return model\n\ndef test_it(model):\n    {line}",
        "def test_it(request):\n    model = request.getfixturevalue('model')\n    {line}",
        "import circuitcheck\n\ndef test_it():\n    model = circuitcheck.load('bundled')\n    {line}",
    ],
)
@pytest.mark.parametrize("line", ["model.on(FRUIT).patch(NONE) > 0.5", "assert model.on(FRUIT).pach(ALL) > 0.5"])
def test_a_model_that_was_come_by_in_another_way_is_guarded_too(claims: Claims, fixture: str, line: str) -> None:
    body = fixture.format(line=line).replace("def test_it", "@pytest.mark.xfail\ndef test_it")
    claims(body).assert_outcomes(failed=1)


def test_claims_in_threads_and_fixtures_are_claims_of_the_test(claims: Claims) -> None:
    result = claims(
        """
import threading

def test_thread(model):
    def work():
        model.on(FRUIT).patch(NONE) > 0.5
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.fixture
def early(model):
    return model.on(FRUIT).patch(NONE) > 0.5

def test_setup(early, model):
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.fixture
def asserted(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_asserted_in_setup(asserted):
    pass

@pytest.fixture
def late(model):
    yield
    model.on(FRUIT).patch(NONE) > 0.5

def test_teardown(late, model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
    )
    result.assert_outcomes(passed=2, failed=2, errors=1)


@pytest.mark.parametrize("marker", ["'copied'", "modle='copied'", "claim='no'"])
def test_a_marker_that_says_nothing_is_an_error(claims: Claims, marker: str) -> None:
    body = f"@pytest.mark.circuit({marker})\ndef test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5"
    result = claims(body)
    assert result.ret != pytest.ExitCode.OK
    assert result.parseoutcomes().get("passed", 0) == 0
    (result.stdout if "takes model=" in result.stdout.str() else result.stderr).fnmatch_lines(
        ["*circuit takes model=*"]
    )


def test_a_parameter_with_model_in_its_name_leaves_the_marker_in_force(claims: Claims) -> None:
    body = """
@pytest.mark.circuit(model="/nonexistent")
@pytest.mark.parametrize("model_part", ["L1.N8"])
def test_it(model, model_part):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
    claims(body, model=None).assert_outcomes(errors=1)


@pytest.mark.parametrize(
    "expression",
    each(["abs(effect)", "effect * 2", "effect - effect", "-effect", "float(effect)"], ("effect - effect",)),
)
def test_effects_have_no_arithmetic(claims: Claims, expression: str) -> None:
    result = claims(f"def test_it(model):\n    effect = model.on(FRUIT).patch(ALL)\n    assert {expression} > 0.1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ComparisonError: effects have no arithmetic*"])


@pytest.mark.parametrize("margin", each(["float('inf')", "float('nan')", "-1"], ("float('nan')",)))
def test_a_margin_is_a_positive_finite_number(claims: Claims, margin: str) -> None:
    result = claims(f"def test_it(model):\n    assert model.on(FRUIT).patch(ALL) == pytest.approx(1, abs={margin})")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*MethodError: *margin*"])


def test_a_percentage_is_no_share(claims: Claims) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(NONE) < 40")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*40 % is written 0.4*"])


def test_a_refutation_that_no_comparison_raised_is_no_expected_failure(claims: Claims) -> None:
    result = claims(
        """
@pytest.mark.xfail(raises=ClaimRefuted)
def test_by_hand(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
    raise ClaimRefuted("refuted: so I say")

@pytest.mark.xfail
def test_without_a_claim(model):
    raise ClaimRefuted("refuted")

@pytest.mark.xfail
def test_instead_of_another(model):
    try:
        assert model.on(FRUIT).patch("L99.H0") > 0.5
    except Exception as error:
        raise ClaimRefuted(str(error)) from error

SAVED = []

@pytest.mark.xfail
def test_refuted(model):
    try:
        assert model.on(FRUIT).patch(NONE) > 0.5
    except ClaimRefuted as error:
        SAVED.append(error)
        raise

@pytest.mark.xfail
def test_of_another_test(model):
    raise SAVED[0]
"""
    )
    result.assert_outcomes(failed=4, xfailed=1)


NO_NUMBERS = ["1j", "np.complex64(0.5)", "np.complex128(0.5 + 0j)", "np.timedelta64(1, 's')", "10**400", "[0.5]"]


@pytest.mark.parametrize("place", each(["> {}", "== pytest.approx({})", "== pytest.approx(1, abs={})"], ("> {}",)))
def test_a_threshold_is_a_real_number(claims: Claims, place: str) -> None:
    numbers = "\n    ".join(f"{number!r}," for number in NO_NUMBERS)
    body = f"""
@pytest.mark.parametrize("text", [{numbers}])
def test_it(model, text):
    threshold = eval(text)
    with pytest.raises(circuitcheck.CircuitError):
        assert model.on(FRUIT).patch(ALL) {place.format("threshold")}
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
    claims(f"import circuitcheck\n{body}").assert_outcomes(passed=len(NO_NUMBERS))
