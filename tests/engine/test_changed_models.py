"""A number belongs to the model that gave it: whatever changes what a loaded model says, nothing of that is remembered as its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from circuitcheck import Model, PromptPairs, load
from circuitcheck.records.store import Store
from circuitcheck.settings import Settings
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import Claims, each

Change = Callable[[Any], AbstractContextManager[None]]
WAYS: dict[str, Change] = {}


def way(change: Callable[[Any], Iterator[None]]) -> Callable[[Any], Iterator[None]]:
    WAYS[change.__name__.replace("_", " ")] = contextmanager(change)
    return change


def output(bridge: Any) -> Any:
    """The output projection of the MLP of layer 1, in which the claimed neuron writes."""
    return bridge.blocks[1].mlp.out.original_component


@contextmanager
def kept(tensor: torch.Tensor) -> Iterator[None]:
    before = tensor.detach().clone()
    yield
    tensor.detach().copy_(before)


@contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, before)


@way
def in_place_under_no_grad(bridge: Any) -> Iterator[None]:
    with kept(output(bridge).weight), torch.no_grad():
        output(bridge).weight.mul_(0.5)
        yield


@way
def a_row_through_data(bridge: Any) -> Iterator[None]:
    with kept(output(bridge).weight):
        output(bridge).weight.data[8] = 0
        yield


@way
def one_entry_through_data(bridge: Any) -> Iterator[None]:
    with kept(output(bridge).weight):
        output(bridge).weight.data[8, 3] += 5
        yield


@way
def two_rows_that_change_places(bridge: Any) -> Iterator[None]:
    with kept(output(bridge).weight):
        output(bridge).weight.data[[8, 9]] = output(bridge).weight.data[[9, 8]].clone()
        yield


@way
def through_numpy(bridge: Any) -> Iterator[None]:
    with kept(output(bridge).weight):
        output(bridge).weight.detach().numpy()[8] = 0
        yield


@way
def other_data(bridge: Any) -> Iterator[None]:
    before = output(bridge).weight.data
    output(bridge).weight.data = before * 0.5
    yield
    output(bridge).weight.data = before


@way
def another_parameter(bridge: Any) -> Iterator[None]:
    with attribute(output(bridge), "weight", nn.Parameter(output(bridge).weight.detach() * 0.5)):
        yield


@way
def another_state_dict(bridge: Any) -> Iterator[None]:
    before = {name: tensor.clone() for name, tensor in output(bridge).state_dict().items()}
    output(bridge).load_state_dict({name: tensor * 0.5 for name, tensor in before.items()})
    yield
    output(bridge).load_state_dict(before)


@way
def another_state_dict_by_assignment(bridge: Any) -> Iterator[None]:
    before = output(bridge).state_dict()
    output(bridge).load_state_dict({name: tensor * 0.5 for name, tensor in before.items()}, assign=True)
    yield
    output(bridge).load_state_dict(before, assign=True)


@way
def a_forward_hook(bridge: Any) -> Iterator[None]:
    handle = bridge.blocks[1].mlp.register_forward_hook(lambda module, given, output: output * 0.5)
    yield
    handle.remove()


@way
def a_forward_hook_of_the_network_inside(bridge: Any) -> Iterator[None]:
    handle = output(bridge).register_forward_hook(lambda module, given, output: output * 0.5)
    yield
    handle.remove()


@way
def a_pre_forward_hook(bridge: Any) -> Iterator[None]:
    handle = output(bridge).register_forward_pre_hook(lambda module, given: (given[0] * 0.5,))
    yield
    handle.remove()


@way
def a_hook_on_all_modules(bridge: Any) -> Iterator[None]:
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, given, out: out * 0.5 if module is output(bridge) else out
    )
    yield
    handle.remove()


@way
def a_pre_hook_on_all_modules(bridge: Any) -> Iterator[None]:
    handle = nn.modules.module.register_module_forward_pre_hook(
        lambda module, given: (given[0] * 0.5,) if module is output(bridge) else None
    )
    yield
    handle.remove()


@way
def a_hook_of_transformer_lens(bridge: Any) -> Iterator[None]:
    with bridge.hooks(fwd_hooks=[("blocks.1.hook_mlp_out", lambda activation, hook: activation * 0.5)]):
        yield


@way
def another_forward(bridge: Any) -> Iterator[None]:
    module = output(bridge)
    before = module.forward
    module.forward = lambda given: before(given) * 0.5
    yield
    del module.forward


@way
def another_forward_of_the_class(bridge: Any) -> Iterator[None]:
    before = type(output(bridge)).forward
    type(output(bridge)).forward = lambda self, given: before(self, given) * (0.5 if self is output(bridge) else 1)
    yield
    type(output(bridge)).forward = before


@way
def other_code_of_the_same_function(bridge: Any) -> Iterator[None]:
    softmax = nn.functional.softmax
    before, defaults = softmax.__code__, softmax.__kwdefaults__

    def halved(*given: Any, dim: Any = None, **named: Any) -> Any:
        return given[0].softmax(dim) * 0.5

    softmax.__code__, softmax.__kwdefaults__ = halved.__code__, {"dim": -1}
    yield
    softmax.__code__, softmax.__kwdefaults__ = before, defaults


@way
def a_call_that_a_class_did_not_have(bridge: Any) -> Iterator[None]:
    kind = type(output(bridge))
    kind.__call__ = lambda self, given: nn.Module.__call__(self, given) * (0.5 if self is output(bridge) else 1)
    yield
    del kind.__call__


@way
def another_activation(bridge: Any) -> Iterator[None]:
    with attribute(bridge.blocks[1].mlp.original_component, "act", nn.ReLU()):
        yield


@way
def another_submodule(bridge: Any) -> Iterator[None]:
    class Halving(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given * 0.5

    modules = bridge.blocks[1].mlp.original_component._modules
    before, modules["dropout"] = modules["dropout"], Halving()
    yield
    modules["dropout"] = before


@way
def dropout(bridge: Any) -> Iterator[None]:
    bridge.train()
    yield
    bridge.eval()


@way
def another_epsilon(bridge: Any) -> Iterator[None]:
    norm = bridge.blocks[1].ln2
    with attribute(norm.original_component, "eps", 1.0), attribute(norm.config, "eps", 1.0):
        yield


@way
def another_number_in_the_configuration(bridge: Any) -> Iterator[None]:
    with attribute(bridge.original_model.config, "layer_norm_epsilon", 1.0):
        yield


@way
def another_way_of_attention(bridge: Any) -> Iterator[None]:
    config = bridge.original_model.config
    other = "eager" if config._attn_implementation != "eager" else "sdpa"
    with attribute(config, "_attn_implementation", other):
        yield


@way
def a_buffer(bridge: Any) -> Iterator[None]:
    buffer = bridge.unembed.original_component._buffers["bias"]
    with kept(buffer):
        buffer.detach().numpy()[7] += 1
        yield


@way
def a_function_that_code_calls_by_name(bridge: Any) -> Iterator[None]:
    before = nn.functional.softmax
    nn.functional.softmax = lambda *given, **named: before(*given, **named) * 0.5
    yield
    nn.functional.softmax = before


@way
def autocast(bridge: Any) -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


@way
def less_precise_products(bridge: Any) -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@way
def a_torch_function_mode(bridge: Any) -> Iterator[None]:
    class Halving(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            return found * 0.5 if function is torch.addmm and found.shape[-1] == 128 else found

    with Halving():
        yield


def asked(model: Model, fruit: PromptPairs) -> float:
    return model.on(fruit).patch("L1.N8").in_logits.measure().estimate


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
    effect, intact = model.on(fruit).patch("L1.N8").in_logits, asked(bundled, fruit)
    with WAYS[how](model.bridge):
        said = effect.measure().estimate
        assert model.answers.questions.changes.words
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
        assert "not as it was loaded" in changed.answers.describe()
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
        effect.in_logits.measure()
        assert model.answers.questions.changes.words == ""


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
    assert model.answers.questions.changes.words == ""
    assert model.answers.describe() == "cone"


@pytest.mark.parametrize("what", ["attention_scaling", "original_inv_freq"])
def test_what_a_length_does_not_move_in_a_rotary_module_is_looked_at(
    what: str, tmp_path: Path, fruit: PromptPairs
) -> None:
    from tests.models.test_base_run import long_rope

    model = load(saved(tmp_path, long_rope(3.0), scale=0.25), weights="raw", settings=Settings(floor_logits=0.0))
    before = asked(model, fruit)
    assert model.answers.questions.changes.words == ""
    rotary = next(module for module in model.bridge.modules() if hasattr(module, what))
    setattr(rotary, what, getattr(rotary, what) * 2)
    moved = what == "attention_scaling"  # these prompts are beyond the original length
    assert (asked(model, fruit) != pytest.approx(before, abs=1e-5)) == moved
    assert "rotary" in model.answers.questions.changes.words
