import pytest

import circuitcheck
from circuitcheck import CircuitError, errors


def test_the_public_names_are_sorted_and_all_can_be_had() -> None:
    assert circuitcheck.__all__ == sorted(circuitcheck.__all__)
    for name in circuitcheck.__all__:
        assert getattr(circuitcheck, name).__name__ == name
    assert set(circuitcheck.__all__) <= set(dir(circuitcheck))


def test_a_name_that_does_not_exist_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="circuit_check"):
        circuitcheck.circuit_check  # noqa: B018


def test_every_exception_is_public_and_in_the_drawn_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, CircuitError):
            assert name in circuitcheck.__all__
            assert name in (errors.__doc__ or "")
            assert value.__module__ == "circuitcheck"
