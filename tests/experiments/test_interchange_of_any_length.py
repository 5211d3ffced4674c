"""Interchanges between prompts of other lengths, and with answers of several tokens, beside plain hooks."""

from typing import Any

import pytest
import torch

from circuitcheck import Model, PromptPairs
from circuitcheck.prompts.interchange.interchanges import InterchangePair
from tests import oracle


def who(**changed: Any) -> PromptPairs:
    said: dict[str, Any] = {
        "answer": lambda gender: " She" if gender == "girl" else " He",
        "foil": lambda gender: " He" if gender == "girl" else " She",
    }
    return PromptPairs(
        "Once upon a time, there was a little {who} named {name}.",
        who=["girl", "boy"],
        name=["Lily", "Tim", "Max", "Anna"],
        variables={"gender": lambda who: who},
        **(said | changed),
    )


def put(there: torch.Tensor, head: slice) -> Any:
    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation[:, -1, head] = there[:, -1, head]
        return activation

    return write


def test_prompts_of_other_lengths_are_interchanged_where_tokens_correspond(stories: Model) -> None:
    measured = stories.on(who()).interchange("L4.ATTN@end", "gender").measure()
    assert len({len(pair.clean) - len(pair.corrupt) for pair in measured.pairs}) > 1
    hook = "blocks.4.hook_attn_out"
    for pair, ours in zip(measured.pairs, measured.per_pair, strict=True):
        there = oracle.activations(stories, pair.clean)[hook]
        logits = oracle.run(stories, pair.corrupt, [(hook, put(there, slice(None)))])[0, -1]
        [answer], [foil] = pair.answer, pair.foil
        assert bool(logits[answer] > logits[foil]) == bool(ours)


def test_answers_of_several_tokens_are_read_as_a_whole(bundled: Model) -> None:
    names = {"John": " a book", "Mary": " the ring"}
    pairs = PromptPairs(
        "When {n1} and {n2} went to the store, {n1} gave",
        n1=list(names),
        n2=["Tom", "Anna"],
        variables={"what": lambda n1: names[n1], "whom": lambda n2: n2},
        answer=lambda what, whom: f" {whom}{what}",
    )
    effect = bundled.on(pairs).interchange("L1.RESID_POST@end", "whom")
    sample = effect._estimand.run.sample
    experiment: Any = effect._estimand.experiment
    [margins] = experiment._margins(sample, [experiment.sites])
    hook = "blocks.1.hook_out"
    for pair, ours in zip(sample.pairs, margins.values, strict=True):
        assert isinstance(pair.pair, InterchangePair)

        def said(tokens: tuple[int, ...], pair: Any = pair) -> float:
            there = oracle.activations(bundled, pair.clean + tokens[:-1])[hook]
            place = len(pair.corrupt) - 1

            def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
                activation[:, place] = there[:, len(pair.clean) - 1]
                return activation

            logits = oracle.run(bundled, pair.corrupt + tokens[:-1], [(hook, write)])[0].double().log_softmax(-1)
            return float(sum(logits[place + n, token] for n, token in enumerate(tokens)))

        [answer] = pair.answer
        assert isinstance(answer, tuple)
        wanted = min(said(answer) - said(foil) for foil in pair.foil if isinstance(foil, tuple))
        assert ours == pytest.approx(wanted, abs=1e-3)
