"""The model's own modules, run from one block and one token on.

Nothing of the model is written again: its Hugging Face forward runs, with the blocks outside [first, stop) passed over,
the stream injected where they end, and the earlier tokens' keys and values handed in as its cache. Only the
positions that are read are unembedded, and only the tokens of the vocabulary that are asked for.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from circuitcheck.engine.checking.agreement import agree
from circuitcheck.engine.checking.real_text import few_tokens
from circuitcheck.engine.cone.forks import Fork, Part, Past
from circuitcheck.engine.hooks.writes import Hook, hooked, keeping, last_of, quietly
from circuitcheck.engine.memory import Scratch
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.watching.snapshots import BY_LENGTH
from circuitcheck.errors import EngineError

_RENAMED = (
    "this version of transformers calls past_key_values otherwise than TransformerLens reads it, and runs cannot be taken up in the middle: "
    "pip install 'transformers<5.24'"
)


class CannotFork(EngineError):
    """This architecture's runs cannot be taken up in the middle; the message says why."""


class Decoder:
    """One bridge's modules. Raises ``CannotFork`` where this architecture cannot be taken up in the middle."""

    def __init__(self, bridge: Any):
        self.bridge, self.scratch = bridge, Scratch()
        self.n_layers = int(bridge.cfg.n_layers)
        self._hook_points = bridge.hook_dict
        try:
            self._takes = set(inspect.signature(bridge.original_model.forward).parameters)
            if "past_key_values" not in self._takes:
                why = _RENAMED if "cache" in self._takes else "its forward takes no past_key_values"
                raise CannotFork(why)
            if rope := _length_dependent(bridge):
                raise CannotFork(f"its rotary frequencies ({rope}) depend on how long a run is")
            self.blocks = list(bridge.blocks)
            self._returns: dict[Any, int] = {}
            self._probe()
        except CannotFork:
            raise
        except Exception as error:
            raise CannotFork(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error

    @property
    def device(self) -> torch.device:
        return torch.device(self.bridge.cfg.device)

    def run(
        self,
        tokens: torch.Tensor,
        fork: Fork,
        hooks: Sequence[Hook] = (),
        vocabulary: torch.Tensor | None = None,
        read: int = 1,
    ) -> torch.Tensor:
        """Logits at the last position, of shape [row, token of the vocabulary], after ``tokens`` [row, position]; where more positions
        are ``read``, see ``last_of``."""
        stop = self.n_layers if fork.stop is None else fork.stop
        cache = fork.growing
        if cache is None:
            from circuitcheck.engine.cone.past_layers import cache_of

            cache = cache_of(fork, self.n_layers, self.scratch)
        past = cache.get_seq_length()
        arguments: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        if "position_ids" in self._takes:
            positions = torch.arange(past, past + tokens.shape[1], device=self.device)
            arguments["position_ids"] = positions.expand(tokens.shape[0], -1)
        if "logits_to_keep" in self._takes:
            arguments["logits_to_keep"] = read
        with torch.inference_mode(not fork.has_gradient), quietly(), ExitStack() as stack:
            for number, block in enumerate(self.blocks):
                if number < fork.first or number >= stop:
                    at_the_fork = number == fork.first - 1 and fork.stream is not None
                    stack.enter_context(_instead(block, self._passed_over(block, fork.stream if at_the_fork else None)))
            for module, function in fork.replaced.items():
                stack.enter_context(_instead(module, function))
            stack.enter_context(_instead(self.bridge.unembed.original_component, self._unembedding(vocabulary, read)))
            stack.enter_context(hooked(self._hook_points, hooks))
            logits: torch.Tensor = self.bridge.original_model(input_ids=tokens.to(self.device), **arguments).logits
        return last_of(logits, read)

    def calls(self, module: Any) -> bool:
        """Whether a block calls that module, rather than parts of it or nothing."""
        return module in self._returns

    def returned(self, module: Any, value: torch.Tensor) -> Any:
        """A value in the form in which a block or its attention or feed-forward module returns it."""
        length = self._returns.get(module, 0)
        return (value, *[None] * (length - 1)) if length else value

    @contextmanager
    def watched(self, modules: Mapping[Any, Any], into: dict[Any, torch.Tensor]) -> Iterator[None]:
        """What the modules return is put ``into`` under their keys."""

        def watch(name: Any) -> Callable[..., None]:
            def see(module: Any, given: Any, output: Any) -> None:
                into[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

            return see

        handles = [module.register_forward_hook(watch(name)) for name, module in modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _passed_over(self, block: Any, stream: torch.Tensor | None) -> Callable[..., Any]:
        def passed_over(hidden: torch.Tensor, *_: Any, **__: Any) -> Any:
            return self.returned(block, hidden if stream is None else block.hook_out(stream))

        return passed_over

    def _unembedding(self, vocabulary: torch.Tensor | None, read: int) -> Callable[[torch.Tensor], torch.Tensor]:
        linear = self.bridge.unembed.original_component
        weight, bias = linear.weight, linear.bias
        if vocabulary is not None:
            weight = weight[vocabulary.to(weight.device)]
            bias = None if bias is None else bias[vocabulary.to(weight.device)]
        return lambda hidden: torch.nn.functional.linear(hidden[:, -read:], weight, bias)

    def _probe(self) -> None:
        """Run a few tokens whole, and the last of them taken up at every block with the past of the others."""
        tokens = few_tokens(self.bridge)
        last = tokens.shape[1] - 1
        streams: dict[int, torch.Tensor] = {}
        kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        with torch.inference_mode():
            whole = self.bridge(tokens.to(self.device))[0, -1]
        with self._learning_returns():
            again = self.run(
                tokens,
                Fork(kept=kept),
                [keeping(f"blocks.{number}.hook_in", streams, number) for number in range(self.n_layers)],
            )[0]
        self._see(whole, again)
        if len(kept) != self.n_layers:
            raise CannotFork("its blocks keep no keys and values")
        index = torch.zeros(1, dtype=torch.long)
        keys, values = ([kept[layer][which][:, :, :last] for layer in range(self.n_layers)] for which in (0, 1))
        past = Past((Part(keys, values, index, last),))
        for first in {0, self.n_layers // 2, self.n_layers - 1}:
            stream = streams[first][:, last:] if first else None
            self._see(whole, self.run(tokens[:, last:], Fork(past, first, stream=stream))[0])

    @contextmanager
    def _learning_returns(self) -> Iterator[None]:
        def learn(module: Any, given: Any, output: Any) -> None:
            self._returns[module] = len(output) if isinstance(output, tuple) else 0

        within = [getattr(block, name, None) for block in self.blocks for name in ("attn", "mlp")]
        modules = [*self.blocks, *(module for module in within if hasattr(module, "hook_out"))]
        handles = [module.register_forward_hook(learn) for module in modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, wanted: torch.Tensor, found: torch.Tensor) -> None:
        if not agree(wanted, found):
            raise CannotFork("a run that is taken up in the middle gives other logits")


def _length_dependent(bridge: Any) -> str:
    """The kind of a model's rotary frequencies, where these depend on a run's length; empty where they do not."""
    kinds = {str(vars(module).get("rope_type", "")) for module in bridge.modules()}
    return next((kind for kind in sorted(kinds) if any(name in kind for name in BY_LENGTH)), "")


@contextmanager
def _instead(module: Any, function: Callable[..., Any]) -> Iterator[None]:
    """``function`` in the place of a module's forward; past the bridge's own setattr, which hands names on."""
    own = vars(module)
    before = own.get("forward")
    own["forward"] = function
    try:
        yield
    finally:
        if before is None:
            del own["forward"]
        else:
            own["forward"] = before
