"""Whether two ways of running one model gave the same but for rounding.

agree(logits, again)                # numbers of one size: logits, outputs at one position
agree_at_tokens(stream, recorded)   # activations [row, position, ...], each token in units of its own size
"""

from circuitcheck.engine.on_demand import torch

# The error that rounding makes, as a share of the size of what is compared.
_SHARES = {"torch.float64": 1e-9, "torch.float32": 2e-5}
_HALF = 2e-2
# One token's own numbers round this much worse than all tokens together do by their largest: in SmolLM2 a token's MLP by 1.6 shares.
_ONE_TOKEN = 8.0


def agree(wanted: torch.Tensor, found: torch.Tensor, size: float = 1.0) -> bool:
    """Whether two runs of one model differ by no more than rounding, of numbers as large as these or as ``size``."""
    return _within(wanted, found, torch.clamp(_largest(wanted), min=max(1.0, size)))


def agree_at_tokens(wanted: torch.Tensor, found: torch.Tensor, stream: torch.Tensor | None = None) -> bool:
    """The same of activations [row, position, ...], token by token: a first token's stream is often a thousand times as large as any
    other's, and by its size a fault at all the others would count as rounding.

    ``stream`` [row, position, width] is what each token's size is taken from where ``wanted`` is a difference of such.
    """
    there = wanted if stream is None else stream
    each = there.nan_to_num().abs().reshape(*there.shape[:2], -1).amax(-1)
    sizes = torch.minimum(_ONE_TOKEN * each.clamp(min=1.0), _largest(there).clamp(min=1.0))
    return _within(wanted, found, sizes.reshape(*sizes.shape, *[1] * (wanted.dim() - 2)))


def _within(wanted: torch.Tensor, found: torch.Tensor, sizes: torch.Tensor) -> bool:
    if wanted.shape != found.shape:
        return False
    reach = _SHARES.get(str(wanted.dtype), _HALF) * sizes.to(wanted.device)
    same = (wanted == found) | (wanted.isnan() & found.isnan())
    return bool((same | ((wanted - found).abs() <= reach)).all())


def _largest(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.nan_to_num().abs().amax() if numbers.numel() else numbers.new_zeros(())
