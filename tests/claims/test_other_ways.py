"""Where a reader would take one way for another, the number says what the other gives."""

import re

import pytest

from circuitcheck import ClaimRefuted, Model, PromptPairs


@pytest.mark.parametrize("verb", ["patch", "ablate"])
def test_a_path_says_what_was_frozen_and_what_the_other_choice_gives(
    bundled: Model, fruit: PromptPairs, verb: str
) -> None:
    run, path = bundled.on(fruit), "L0.H* -> LOGITS"
    effect = run.patch if verb == "patch" else run.ablate
    frozen, moving = effect(path).measure(), effect(path, through="mlps").measure()
    assert abs(frozen.estimate - moving.estimate) > 0.01
    [note] = [note for note in frozen.notes if "frozen" in note]
    number = f"it is {moving.estimate:.3g} for {frozen.estimate:.3g}"
    assert note == f'with heads and MLPs on the way frozen; with through="mlps", where the MLPs move, {number}'
    [note] = [note for note in moving.notes if "frozen" in note]
    number = f"it is {frozen.estimate:.3g} for {moving.estimate:.3g}"
    assert note == f"with heads on the way frozen; without through=, where the MLPs are frozen, too, {number}"
    held = effect(path, ln="frozen").measure()
    assert "heads and MLPs on the way and normalisation scales frozen" in " ".join(held.notes)
    with pytest.raises(ClaimRefuted, match="; frozen: heads and MLPs on the way"):
        assert effect(path) > 2
    assert not any("frozen" in note for note in effect("L0.H*").measure().notes)


def test_direct_explains_itself_where_patching_gives_another_number(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    direct, patch = run.direct("L0.ATTN").of_gap.measure(), run.patch("L0.ATTN").measure()
    assert abs(direct.estimate - patch.estimate) > 0.05
    found = f"patch gives {patch.estimate:.3g} of the gap, direct {direct.estimate:.3g}: patching also moves what later"
    assert any(note.startswith(found) for note in direct.notes)
    alike = run.direct("L1.N8").of_gap.measure()
    assert abs(alike.estimate - run.patch("L1.N8").measure().estimate) < 0.05
    assert not any("patch" in note for note in alike.notes)
    [note] = run.direct("L1.N8").measure().notes
    assert note == f"a run by itself says nothing of the gap, of which this writes {alike.estimate:.3g}"
    [note] = run.direct("L0.ATTN", side="corrupt").measure().notes
    assert re.match(r"a run by itself .* this writes .*; patch gives .* of the gap, direct ", note)
