"""A number belongs to the model that gave it: whatever changes what a loaded model says, nothing of that is remembered as its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitcheck import Model, PromptPairs, load
from circuitcheck.records.store import Store
from circuitcheck.settings import Settings
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import Claims, each
from tests.engine.ways_to_change import WAYS


def asked(model: Model, fruit: PromptPairs) -> float:
    return model.on(fruit).patch("L1.N8").raw.measure().estimate


USUAL = (
    "one entry through data",
    "a hook of transformer lens",
    "other code of the same function",
    "another epsilon",
    "autocast",
)


@pytest.mark.parametrize("how", each(WAYS, USUAL))
def test_what_a_changed_model_says_is_not_remembered_and_nothing_else_is_recalled(
    how: str, bundled: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.sqlite"
    model = load("bundled", store=Store(path))
    effect, intact = model.on(fruit).patch("L1.N8").raw, asked(bundled, fruit)
    with WAYS[how](model.bridge):
        said = effect.measure().estimate
        assert model._loaded.answers.questions.changes.words
    assert Store(path).models() == []
    assert effect.measure().estimate == pytest.approx(intact, abs=1e-5)
    assert asked(model, fruit) == pytest.approx(intact, abs=1e-5)
    assert Store(path).models() != []
    # And now that the intact model's numbers are there: they are not recalled for a changed one.
    with WAYS[how](model.bridge):
        wanted = pytest.approx(said, abs=1e-5) if how != "dropout" else pytest.approx(said, abs=20)
        assert effect.measure().estimate == wanted
        assert asked(model, fruit) == wanted


@pytest.mark.slow
def test_most_of_these_ways_do_change_what_the_model_says(fruit: PromptPairs) -> None:
    """Or the test above would say little."""
    model = load("bundled")
    intact, moved = asked(model, fruit), 0
    for change in WAYS.values():
        with change(model.bridge):
            moved += asked(model, fruit) != pytest.approx(intact, abs=1e-4)
    assert moved > 0.7 * len(WAYS)


def test_a_hook_whose_mind_changes_is_asked_again(fruit: PromptPairs) -> None:
    model, factor = load("bundled"), [0.0]
    handle = model.bridge.blocks[1].mlp.register_forward_hook(lambda module, given, output: output * factor[0])
    silenced = asked(model, fruit)
    factor[0] = 1.0
    assert asked(model, fruit) != pytest.approx(silenced, abs=1e-3)
    handle.remove()


def test_a_model_that_is_put_back_is_the_model_that_it_was(fruit: PromptPairs, tmp_path: Path) -> None:
    model = load("bundled", store=Store(tmp_path / "evidence.sqlite"))
    before = model.fingerprint
    with WAYS["a row through data"](model.bridge):
        assert model.fingerprint != before
    assert model.fingerprint == before
    asked(model, fruit)
    assert Store(tmp_path / "evidence.sqlite").models()


@pytest.mark.parametrize(
    "how", each(["a forward hook", "another forward", "a hook of transformer lens"], ("another forward",))
)
def test_what_was_on_a_bridge_when_it_was_handed_over_is_not_its_own(
    how: str, fruit: PromptPairs, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.sqlite"
    with WAYS[how](bridge := load("bundled").bridge):
        changed = load(bridge, weights="raw", store=Store(path))
        said = asked(changed, fruit)
        assert "not as it was loaded" in changed._loaded.answers.describe()
    assert Store(path).models() == []
    assert asked(load("bundled"), fruit) != pytest.approx(said, abs=1e-4)


@pytest.mark.parametrize("how", each(["autocast", "a hook on all modules", "a torch function mode"], ("autocast",)))
def test_settings_in_which_a_model_was_loaded_are_not_the_standard_ones(
    how: str, bundled: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.sqlite"
    with WAYS[how](bundled.bridge):
        asked(load("bundled", store=Store(path)), fruit)
    assert Store(path).models() == []


def test_numbers_of_another_precision_are_kept_apart(fruit: PromptPairs, tmp_path: Path) -> None:
    path = tmp_path / "evidence.sqlite"
    for precision in ("highest", "medium", "highest"):
        torch.set_float32_matmul_precision(precision)
        try:
            asked(load("bundled", store=Store(path)), fruit)
        finally:
            torch.set_float32_matmul_precision("highest")
    [there] = Store(path).models()
    assert there.experiments == 2 * 3  # clean, corrupted and patched


@pytest.mark.parametrize("how", ["another activation", "another epsilon"])
def test_other_modules_on_a_bridge_that_is_handed_over_are_another_model(how: str) -> None:
    bridges = [load("bundled").bridge for _ in range(3)]
    plain, again = (load(bridge, weights="raw").fingerprint for bridge in bridges[:2])
    with WAYS[how](bridges[2]):
        assert load(bridges[2], weights="raw").fingerprint != plain == again


@pytest.mark.parametrize("name", each(["GPT-2", "Llama", "Gemma 2", "Mixtral", "OPT", "GPT-NeoX"], ("Gemma 2",)))
def test_what_runs_change_by_themselves_is_no_change(name: str, tmp_path: Path, fruit: PromptPairs) -> None:
    model = load(saved(tmp_path, ARCHITECTURES[name]), settings=Settings(floor_logits=0.0))
    run = model.on(fruit)
    for effect in (run.patch("L1.H1"), run.ablate("L1.MLP"), run.patch("L1.ATTN@end", ln="frozen"), run.gap):
        effect.raw.measure()
        assert model._loaded.answers.questions.changes.words == ""


def test_the_closing_section_says_which_tests_changed_the_model(claims: Claims) -> None:
    result = claims(
        """
        def test_intact(model):
            assert model.on(FRUIT).patch("L1.N8") > 0.4

        def test_silenced(model):
            handle = model.bridge.blocks[1].mlp.register_forward_hook(lambda module, given, output: output * 0)
            try:
                assert model.on(FRUIT).patch("L1.N8") < 0.1
            finally:
                handle.remove()

        def test_again(model):
            assert model.on(FRUIT).patch("L1.N8") > 0.4
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["bundled was not as it was loaded (a hook or forward of *blocks.1.mlp*) in *::test_silenced: nothing*"]
    )
    assert result.stdout.str().count("was not as it was loaded") == 1


OWN: dict[str, Callable[[Any, torch.Tensor], object]] = {
    "a forward": lambda bridge, tokens: bridge(tokens),
    "a cache of activations": lambda bridge, tokens: bridge.run_with_cache(tokens),
    "generation": lambda bridge, tokens: bridge.generate(tokens, max_new_tokens=2, verbose=False),
    "transformers' own outputs": lambda bridge, tokens: bridge.original_model(tokens, output_hidden_states=True),
    "a hook for one run": lambda bridge, tokens: bridge.run_with_hooks(
        tokens, fwd_hooks=[("blocks.1.hook_mlp_out", lambda activation, hook: activation * 0)]
    ),
    "a backward pass": lambda bridge, tokens: bridge(tokens).sum().backward(),
    "a gradient switch": lambda bridge, tokens: bridge.requires_grad_(False),
}


@pytest.mark.parametrize("what", each(OWN, ("a cache of activations", "a backward pass")))
@pytest.mark.parametrize("first", [True, False])
def test_runs_of_somebody_elses_that_leave_nothing_behind_are_no_change(
    what: str, first: bool, fruit: PromptPairs
) -> None:
    model, tokens = load("bundled"), torch.tensor([[0, 41, 620, 834]])
    if not first:
        asked(model, fruit)
    OWN[what](model.bridge, tokens)
    asked(model, fruit)
    assert model._loaded.answers.questions.changes.words == ""
    assert model._loaded.answers.describe() == "cone"


@pytest.mark.parametrize("what", ["attention_scaling", "original_inv_freq"])
def test_what_a_length_does_not_move_in_a_rotary_module_is_looked_at(
    what: str, tmp_path: Path, fruit: PromptPairs
) -> None:
    from tests.models.test_base_run import long_rope

    model = load(saved(tmp_path, long_rope(3.0), scale=0.25), weights="raw", settings=Settings(floor_logits=0.0))
    before = asked(model, fruit)
    assert model._loaded.answers.questions.changes.words == ""
    rotary = next(module for module in model.bridge.modules() if hasattr(module, what))
    setattr(rotary, what, getattr(rotary, what) * 2)
    moved = what == "attention_scaling"  # these prompts are beyond the original length
    assert (asked(model, fruit) != pytest.approx(before, abs=1e-5)) == moved
    assert "rotary" in model._loaded.answers.questions.changes.words
