"""Ways to change what a loaded model says, each a context manager that puts back what it changed; ``WAYS`` has all of them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

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
