"""Answers of several tokens by plain transformers and PyTorch's hooks: prompt + answer is run, and nothing of the engine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2TokenizerFast,
    LlamaConfig,
    LlamaForCausalLM,
)

from circuitcheck import Model, load
from circuitcheck.bundled import PATH
from circuitcheck.prompts.aligned_pairs import AlignedPair
from tests.conftest import shared_model
from tests.tokenizers_for_tests import metaspace

WORDS = ["I", "picked", "ate", "the", "a", "an", "apple", "lemon", "orange", "fig", "tree", "and", "then", "red"]


class Plain:
    """A model by its folder; what its MLPs write is recorded and written by PyTorch's hooks."""

    def __init__(self, folder: Path):
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
        body = getattr(self.model, "transformer", None) or self.model.model
        self.mlps = [block.mlp for block in (body.h if hasattr(body, "h") else body.layers)]
        self._written: dict[tuple[tuple[int, ...], int], torch.Tensor] = {}
        self._read: dict[tuple[int, ...], torch.Tensor] = {}

    def mlp(self, tokens: Sequence[int], layer: int) -> torch.Tensor:
        """What an MLP writes, of shape [position, d_model]."""
        key = tuple(tokens), layer
        if key not in self._written:
            seen: list[torch.Tensor] = []
            with self.mlps[layer].register_forward_hook(lambda module, given, output: seen.append(output[0].clone())):
                self._run(tokens)
            self._written[key] = seen[0]
        return self._written[key]

    def log_probability(self, prompt: Sequence[int], answer: Sequence[int], written: "Written | None" = None) -> float:
        """Of an answer after a prompt, with values put in at an MLP while both are run."""
        tokens = [*prompt, *answer[:-1]]
        if written is None:
            logits = self.logits(tokens)
        else:
            layer, values = written(tuple(answer[:-1]))

            def write(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
                for position, value in values.items():
                    output[0, position] = value
                return output

            with self.mlps[layer].register_forward_hook(write):
                logits = self._run(tokens)
        logarithms = logits.double().log_softmax(-1)
        return sum(float(logarithms[len(prompt) - 1 + place, token]) for place, token in enumerate(answer))

    def difference(self, pair: AlignedPair, prompt: Sequence[int], written: "Written | None" = None) -> float:
        """Log-sum-exp over the answers minus that over the foils."""
        answer, foil = (
            np.logaddexp.reduce([self.log_probability(prompt, one, written) for one in members_of(side)])
            for side in (pair.answer, pair.foil)
        )
        return float(answer - foil)

    def logits(self, tokens: Sequence[int]) -> torch.Tensor:
        """Of shape [position, token]."""
        if tuple(tokens) not in self._read:
            self._read[tuple(tokens)] = self._run(tokens)
        return self._read[tuple(tokens)]

    def _run(self, tokens: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = self.model(torch.tensor([list(tokens)]), use_cache=False).logits[0]
        return found


# What is written while an answer's first tokens are run: the layer, and values by position.
Written = Callable[[tuple[int, ...]], tuple[int, dict[int, torch.Tensor]]]


def members_of(members: Sequence[int | tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [one if isinstance(one, tuple) else (one,) for one in members]


def family(name: str, folder: Path) -> tuple[Model, Plain]:
    """A model of a tokenizer family, by the product and plainly."""
    if name == "words":
        return load("bundled", weights="raw"), Plain(PATH)
    torch.manual_seed(0)
    tokenizer: Any
    if name == "byte-level BPE":
        tokenizer = GPT2TokenizerFast.from_pretrained(str(shared_model("gpt2_bpe")))
        made: Any = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=3, n_head=2, n_positions=64))
    else:
        tokenizer = metaspace(*WORDS)
        sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
        made = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes))
    with torch.no_grad():
        for weights in made.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.4)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder, weights="raw"), Plain(folder)
