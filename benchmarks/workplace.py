"""What the benchmark works on: random weights of GPT-2's shapes, and the founding prompt's pairs as token ids."""

import copy
import tempfile
from typing import Any

import torch

from circuitcheck import Model, PromptPairs, load
from circuitcheck.settings import Settings

SHAPES = {
    "GPT-2 Large": {"n_layer": 36, "n_embd": 1280, "n_head": 20},
    "GPT-2 small": {"n_layer": 12, "n_embd": 768, "n_head": 12},
}
AN, A = 281, 257
_BOS, _STOP = 50256, 13
_CLIMBED, _AND_PICKED_A, _TREE, _AND_PICKED = [40, 19952, 510, 262], [290, 6497, 257], [5509], [290, 6497]
# pear, plum, fig, cherry, maple, oak, palm, mango, in GPT-2's vocabulary
_TREES = [25286, 22802, 2336, 23612, 31377, 26210, 18057, 49364]
# (apple, lemon), (orange, banana), (olive, peach), (avocado, lime), (almond, cocoa), (onion, pepper), (egg, date), (oil, coffee)
_FRUITS = [
    (17180, 18873),
    (10912, 25996),
    (19450, 47565),
    (40377, 28738),
    (26948, 35845),
    (21670, 13385),
    (5935, 3128),
    (3056, 6891),
]


def prompts(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean and corrupted token ids, each [pair, 20], which differ in the fourth token from the end: "I climbed up the
    pear tree and picked a pear. I climbed up the apple tree and picked"."""

    def prompt(tree: int, fruit: int) -> list[int]:
        first = [_BOS, *_CLIMBED, tree, *_TREE, *_AND_PICKED_A, tree, _STOP]
        return [*first, *_CLIMBED, fruit, *_TREE, *_AND_PICKED]

    pairs = [(prompt(tree, clean), prompt(tree, corrupt)) for tree in _TREES for clean, corrupt in _FRUITS][:count]
    return torch.tensor([clean for clean, _ in pairs]), torch.tensor([corrupt for _, corrupt in pairs])


def as_pairs(clean: torch.Tensor, corrupt: torch.Tensor) -> PromptPairs:
    rows = zip(clean.tolist(), corrupt.tolist(), strict=True)
    return PromptPairs.from_rows([{"clean": c, "corrupt": d, "answer": AN, "foil": A} for c, d in rows])


def random_models(shape: str, device: str) -> tuple[Any, Any]:
    """A TransformerBridge and a plain Hugging Face model, of the same random weights, on a device."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(**SHAPES[shape], bos_token_id=_BOS, eos_token_id=_BOS)
    config.architectures = ["GPT2LMHeadModel"]
    plain = GPT2LMHeadModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(
            folder, hf_model=copy.deepcopy(plain), device=device, dtype=torch.float32
        )
    return bridge.eval(), plain.to(device)


def model_of(bridge: Any, memory: int | None = None) -> Model:
    """circuitcheck's view of a bridge, with nothing kept yet."""
    return load(bridge, weights="raw", settings=Settings(memory=memory))
