"""Answers of several tokens after prompts of unequal length, beside plain hooks."""

from typing import Any

import pytest
import torch

from circuitcheck import Model, PromptPairs, contrast
from tests import oracle
from tests.experiments.test_unequal_lengths import shifts, slot


@pytest.mark.parametrize("where", ["{x}.last", "end", "answer"])
def test_answers_of_several_tokens_follow_prompts_of_unequal_length(bundled: Model, where: str) -> None:
    described = PromptPairs(
        "We looked for the {x} and found",
        x=contrast(clean=["apple", "olive"], corrupt=["big lemon"]),
        answer=" an {x}",
        foil=" a lemon",
    )
    hook = "blocks.1.hook_mlp_out"
    pairs, found = shifts(bundled.on(described).patch(f"L1.MLP@{where}"))
    assert len(pairs) == 2
    for pair, moved in zip(pairs, found, strict=True):
        wanted = 0.0
        for [member], sign in ((pair.answer, 1), (pair.foil, -1)):
            assert isinstance(member, tuple)
            run, source = (pair.tokens(side) + member[:-1] for side in ("corrupt", "clean"))
            spots = {"{x}.last": [slot(pair, side, "x")[-1] for side in ("corrupt", "clean")]}
            spots["end"] = [len(pair.corrupt) - 1, len(pair.clean) - 1]
            spots["answer"] = [len(pair.corrupt), len(pair.clean)]
            here, there = spots[where]
            value = oracle.activations(bundled, source)[hook][0, there]

            def write(
                activation: torch.Tensor, hook: Any, here: int = here, value: torch.Tensor = value
            ) -> torch.Tensor:
                activation[0, here] = value
                return activation

            before, after = (
                oracle.run(bundled, run, hooks)[0, -len(member) :].double().log_softmax(-1)
                for hooks in ([], [(hook, write)])
            )
            forced = torch.arange(len(member)), torch.tensor(member)
            wanted += sign * float((after[forced] - before[forced]).sum())
        assert moved == pytest.approx(wanted, abs=1e-4)
