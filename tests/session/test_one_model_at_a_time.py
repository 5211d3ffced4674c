"""A session that asks several models has one of them in memory at a time."""

import pytest

from tests.conftest import Claims

# Counts the models that are still there when another one is loaded.
BODY = """
import gc
import weakref
from circuitcheck.session import loading

_load, loaded = loading.load, weakref.WeakSet()

def load(*given, **options):
    gc.collect()
    print(f"{len(loaded)} models are there")
    model = _load(*given, **options)
    loaded.add(model)
    return model

loading.load = load

def test_it(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""


@pytest.mark.slow
def test_the_one_before_is_freed_when_the_next_is_loaded(claims: Claims) -> None:
    result = claims(BODY, "-s", "--circuit-model=bundled,weights=raw", model="bundled,dtype=float64")
    result.assert_outcomes(passed=2)
    assert result.stdout.str().count("0 models are there") == 2
