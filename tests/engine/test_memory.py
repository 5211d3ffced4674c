"""What is kept of runs: within its budget, least recently used first, and the same numbers whatever the budget."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitcheck import Model, PromptPairs
from circuitcheck.engine.memory import Memory, batch_size
from circuitcheck.settings import Settings
from tests.conftest import Claims, each


@dataclass(frozen=True)
class Item:
    nbytes: int


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 120)), max_size=40))
def test_no_more_is_kept_than_the_budget_and_the_last_is_always_there(asked: list[tuple[int, int]]) -> None:
    memory, order = Memory(400), []
    for key, size in asked:
        assert memory.get(key, lambda size=size: Item(size)) is memory.get(key, lambda: Item(10**9))
        order = [other for other in order if other != key] + [key]
        kept = list(memory._items)
        assert kept == order[-len(kept) :]  # those that went were used longest ago
        assert sum(item.nbytes for item in memory._items.values()) <= memory.for_kept


def test_what_is_not_enough_is_made_again() -> None:
    memory = Memory(400)
    memory.get("run", lambda: Item(1))
    assert memory.get("run", lambda: Item(2), enough=lambda item: item.nbytes > 1) == Item(2)
    assert memory.get("run", lambda: Item(3), enough=lambda item: item.nbytes > 1) == Item(2)


@given(st.integers(1, 5000), st.integers(1, 2000), st.floats(1, 1e12), st.floats(1, 1e9), st.integers(1, 2**34))
def test_batches_are_even_and_fit(rows: int, tokens: int, work: float, size: float, budget: int) -> None:
    batch = batch_size(rows, tokens, work, size, budget, "cpu")
    assert 1 <= batch <= rows
    assert batch == 1 or batch * size <= budget
    parts = -(-rows // batch)
    assert parts * batch - rows < parts  # no part is smaller by more than one each


@pytest.mark.slow
@pytest.mark.parametrize("address", each(["L1.N8", "L2.H2@end", "L0.RESID_PRE@{fruit}"], ("L2.H2@end",)))
def test_numbers_do_not_depend_on_the_memory(
    anew: Callable[..., Model], bundled: Model, fruit: PromptPairs, address: str
) -> None:
    small = anew(Settings(memory=2**18))
    assert len(small._loaded.answers.engine.chunks(small.on(fruit)._setup.sample)) > 3
    for effect in ("patch", "ablate"):
        found = getattr(small.on(fruit), effect)(address).raw.measure()
        assert found.per_pair == pytest.approx(
            getattr(bundled.on(fruit), effect)(address).raw.measure().per_pair, abs=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("readout", each(["logit_diff", "probability", "kl"], ("kl",)))
def test_batches_have_room_for_the_logits_that_are_read(
    anew: Callable[..., Model], fruit: PromptPairs, bundled: Model, monkeypatch: pytest.MonkeyPatch, readout: Any
) -> None:
    """Of two tokens they are nothing; those of all the vocabulary, in double precision and a few times over, are more than
    the last token's stream."""
    model, rows = anew(Settings(memory=2**20)), []
    cone = model._loaded.answers.engine.trust.cone
    assert cone is not None
    run = cone.decoder.run

    def counted(tokens: Any, *given: Any, **named: Any) -> Any:
        logits = run(tokens, *given, **named)
        rows.append(logits.numel())
        return logits

    monkeypatch.setattr(cone.decoder, "run", counted)
    found = model.on(fruit, readout=readout).sweep("L2.N0-7@end")
    assert found.values == pytest.approx(bundled.on(fruit, readout=readout).sweep("L2.N0-7@end").values, abs=1e-4)
    assert max(rows) * 6 * 8 <= model._loaded.answers.engine.memory.for_batch / 2


@pytest.mark.slow
def test_what_is_kept_stays_within_a_small_budget(anew: Callable[..., Model], fruit: PromptPairs) -> None:
    small = anew(Settings(memory=2**20))
    small.on(fruit).sweep("L*.N*")
    assert (
        sum(item.nbytes for item in small._loaded.answers.engine.memory._items.values())
        <= small._loaded.answers.engine.memory.for_kept
    )


@pytest.mark.parametrize(("given", "size"), [("512MB", 2**29), ("1.5 GiB", 3 * 2**29), ("33554432", 2**25)])
def test_the_option_takes_sizes(claims: Claims, given: str, size: int) -> None:
    body = f"def test_it(model):\n    assert model._loaded.settings.memory == {size}\n    assert model.on(FRUIT).patch(ALL) > 0.9"
    claims(body, f"--circuit-memory={given}").assert_outcomes(passed=1)


@pytest.mark.parametrize("given", ["lots", "4XB", "1MB", "-1GB"])
def test_a_size_that_is_none_is_an_error(claims: Claims, given: str) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.9", f"--circuit-memory={given}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*--circuit-memory is a size of at least 16MB, such as 4GB or 512MB, not '{given}'*"])
