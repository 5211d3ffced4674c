"""The method of a number: what an ablation puts in place, and how it is said."""

import json
from dataclasses import FrozenInstanceError, fields
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitcheck.engine.ablations import Ablation, Constant, ablation, mean, resample, scaled, zero
from circuitcheck.errors import MethodError
from circuitcheck.experiments.methods import Method


@pytest.mark.parametrize(("name", "same"), [("mean", mean()), ("zero", zero()), ("resample", resample())])
def test_an_ablation_is_named_by_a_word(name: str, same: Ablation) -> None:
    assert ablation(name) == same
    assert ablation(same) is same
    assert str(same) == name


@pytest.mark.parametrize("value", [0, 1.5, -2, np.float32(0.25), np.int64(3), Fraction(1, 4)])
def test_a_number_is_a_constant(value: Any) -> None:
    assert ablation(value) == Constant(float(value))
    assert str(ablation(value)) == f"{float(value):g}"


def test_the_number_zero_is_not_the_word_zero() -> None:
    assert ablation(0) != ablation("zero")


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300))
def test_every_finite_number_is_a_constant(value: float) -> None:
    assert ablation(value).value == float(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(MethodError, match="an ablation's value must be finite, not"):
        ablation(value)


@pytest.mark.parametrize("value", ["Mean", "median", "", "0.5", True, None, 2j, [0.0]])
def test_anything_else_is_answered_with_what_there_is(value: object) -> None:
    with pytest.raises(MethodError) as caught:
        ablation(value)
    assert str(caught.value) == (
        f"an ablation's value is 'mean', 'zero', 'resample', 'counterfactual', scaled(factor) or a number, not {value!r}"
    )


def test_a_factor_is_a_finite_number_and_is_said() -> None:
    assert str(scaled(-1)) == "scaled(-1)"
    assert scaled(0) != zero()
    for factor, message in ((True, "a factor is a number, not True"), (float("inf"), "a factor must be finite")):
        with pytest.raises(MethodError, match=message):
            scaled(factor)


def test_what_comes_from_a_run_is_put_in_at_the_bos_token_too() -> None:
    assert [ablation(value).spares_bos for value in ("zero", 0.5, scaled(-1))] == [True] * 3
    assert not any(ablation(value).spares_bos for value in ("mean", "resample", "counterfactual"))


@pytest.mark.parametrize("function", [mean, resample, zero])
def test_an_ablation_that_was_not_called_is_told_to_be(function: Any) -> None:
    """``ablate(site, circuitcheck.mean)`` for ``circuitcheck.mean()``."""
    with pytest.raises(MethodError, match=rf"{function.__name__}\(\)"):
        ablation(function)


def test_an_integer_too_large_for_a_float_is_refused_as_not_finite() -> None:
    with pytest.raises(MethodError, match="finite"):
        ablation(10**400)


@pytest.mark.parametrize("make", [mean, resample])
def test_the_reference_prompts_are_both_sides_unless_said_otherwise(make: Any) -> None:
    assert make() == make(of="both")
    assert make("clean") != make("corrupt")
    assert str(make(of="clean")) == f"{make.__name__}(of='clean')"


@pytest.mark.parametrize("make", [mean, resample])
def test_a_reference_set_is_of_sides_that_there_are(make: Any) -> None:
    with pytest.raises(MethodError, match="a reference set is of 'clean', 'corrupt' or 'both' prompts, not 'dirty'"):
        make(of="dirty")


def test_means_and_resampling_need_a_reference_set_and_the_others_do_not() -> None:
    assert [ablation(value).needs_reference for value in ("mean", "resample", "zero", 0.5)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_method_is_a_record_of_json_scalars_that_cannot_be_changed() -> None:
    words = [field.name for field in fields(Method) if field.name != "sites"]
    method = Method(**{word: f"the {word}" for word in words}, sites=3)
    assert json.loads(json.dumps(method.as_json())) == method.as_json()
    assert method.as_json() == {**{word: f"the {word}" for word in words}, "sites": 3}
    with pytest.raises(FrozenInstanceError):
        method.verb = "other"  # type: ignore[misc]
