"""Prefixes and typographical noise: populations like any other, in which the segments still correspond."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck import Model, PromptError, PromptPairs, contrast
from circuitcheck.prompts.populations import Population
from circuitcheck.prompts.typos import KINDS, typos

PREFIXES = ["", "The dog was old.", "They sold the boat. "]


def every_pair(pairs: PromptPairs) -> list[tuple[str, str]]:
    return [(pair.clean.text, pair.corrupt.text) for pair in Population(pairs.description, 0).draw()]


def test_each_pair_stands_behind_each_prefix(bundled: Model, fruit: PromptPairs) -> None:
    found = set(every_pair(fruit.with_prefix(PREFIXES)))
    plain = every_pair(fruit)
    expected = {
        (f"{text}{clean}", f"{text}{corrupt}")
        for clean, corrupt in plain
        for text in ("", "The dog was old. ", "They sold the boat. ")
    }
    assert found == expected
    effect = bundled.on(fruit.with_prefix(PREFIXES[1:])).patch("L0.RESID_PRE@{prefix}").raw
    assert effect == pytest.approx(0, abs=0.01)
    assert bundled.on(fruit.with_prefix(PREFIXES)).patch("L0.RESID_PRE@{fruit}") > 0.95


def test_rows_stand_behind_prefixes_too() -> None:
    rows = PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])
    assert sorted(every_pair(rows.with_prefix(PREFIXES))) == sorted(
        (f"{text}The keys", f"{text}The key") for text in ("", "The dog was old. ", "They sold the boat. ")
    )


def test_noise_is_one_error_outside_the_slots_and_the_same_on_both_sides(fruit: PromptPairs) -> None:
    plain = set(every_pair(fruit))
    noisy = fruit.with_typos(["swap"])
    for pair in Population(noisy.description, 0).draw():
        [(_, done, same)] = [filler for filler in pair.fillers if filler[0] == "typo"]
        assert done == same
        texts = pair.clean.text, pair.corrupt.text
        if not done:
            assert texts in plain
            continue
        right, wrong = done.partition(" -> ")[0].partition("[")[0], done.partition(" -> ")[2]
        assert sorted(right) == sorted(wrong)
        assert right != wrong
        for side, other in zip(("clean", "corrupt"), texts, strict=True):
            slots = [segment.text for segment in getattr(pair, side).segments if segment.slot]
            assert all(slot in other for slot in slots)
        undone = tuple(candidates(text, wrong, right) for text in texts)
        assert any((clean, corrupt) in plain for clean in undone[0] for corrupt in undone[1])


def candidates(text: str, wrong: str, right: str) -> list[str]:
    """The text with one occurrence of the wrong word put right."""
    places = [at for at in range(len(text)) if text.startswith(wrong, at)]
    return [text[:at] + right + text[at + len(wrong) :] for at in places]


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="abcdeA {}. '-", max_size=40), kinds=st.sets(st.sampled_from(KINDS), min_size=1))
def test_an_error_never_touches_a_slot(text: str, kinds: set[str]) -> None:
    template = f"{text.replace('{', '{{').replace('}', '}}')} {{slot}}s and{{slot}} {{slot}}"
    found = typos(template, sorted(kinds))
    assert found[""] == template
    for done, noisy in found.items():
        assert noisy.count("{slot}") == 3
        assert noisy.count("{slot}s and{slot}") == 1  # words that a slot is a part of are left alone
        assert (noisy == template) == (done == "")
        noisy.format(slot="x")


@pytest.mark.slow
def test_prefixes_and_noise_go_together_and_a_counterexample_is_plain(bundled: Model, more_fruit: PromptPairs) -> None:
    both = more_fruit.with_typos(["drop"]).with_prefix(PREFIXES)
    other_way = more_fruit.with_prefix(PREFIXES).with_typos(["drop"])
    assert set(every_pair(both)) == set(every_pair(other_way))
    # Most noise takes the behaviour away, so that ordinary pairs have some four mean gaps.
    verdict = bundled.on(both).patch("L1.N8").each < 0.3
    assert verdict.searched.counterexample is not None
    assert verdict.searched.counterexample.pair.clean.text.startswith("I climbed up the pear tree and picked a pear.")


def test_averages_over_noise_are_averages(bundled: Model, fruit: PromptPairs) -> None:
    noisy = bundled.on(fruit.with_typos(["case"])).gap.measure()
    assert noisy.population == f"{len(set(every_pair(fruit.with_typos(['case']))))} pairs"
    assert {"typo", "fruit", "tree"} == set(noisy.as_json()["fillers"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda pairs: pairs.with_typos("swap"),
            "with_typos takes a list of 'swap', 'drop', 'double', 'case', not 'swap'",
        ),
        (lambda pairs: pairs.with_typos(["shout"]), "with_typos takes a list of"),
        (lambda pairs: pairs.with_typos().with_typos(), "has a slot {typo} already"),
        (lambda pairs: pairs.with_prefix("Hm."), "with_prefix takes a list of texts"),
        (lambda pairs: pairs.with_prefix([]), "has no fillers"),
        (lambda pairs: pairs.with_prefix(["", " "]), "has a filler twice"),
        (lambda pairs: pairs.with_prefix([""]).with_prefix([""]), "has a slot {prefix} already"),
        (lambda pairs: pairs.split("discover").with_typos(), "with_typos comes before split"),
    ],
)
def test_what_cannot_be_is_refused(change: object, message: str, fruit: PromptPairs) -> None:
    with pytest.raises(PromptError) as error:
        change(fruit)  # type: ignore[operator]
    assert message in str(error.value)


def test_rows_have_nothing_outside_their_slots() -> None:
    rows = PromptPairs.from_rows([{"clean": [1, 2], "corrupt": [1, 3], "answer": 4, "foil": 5}])
    with pytest.raises(PromptError, match="no slots, so that nothing is outside them"):
        rows.with_typos()
    with pytest.raises(PromptError, match="rows of token ids"):
        rows.with_prefix(["Hm."])


def test_halves_of_noisy_pairs_are_disjoint(fruit: PromptPairs) -> None:
    noisy = fruit.with_typos(["swap"])
    first, second = (set(every_pair(noisy.split(half))) for half in ("discover", "confirm"))  # type: ignore[arg-type]
    assert not first & second
    assert first | second == set(every_pair(noisy))


def test_a_slot_of_ones_own_called_noise_is_ones_own() -> None:
    own = PromptPairs("{typo} {x}", typo=["a", "b"], x=contrast(clean=["c"], corrupt=["d"]), answer="e")
    assert len(every_pair(own)) == 2
    with pytest.raises(PromptError, match="has a slot {typo} already"):
        own.with_typos()
