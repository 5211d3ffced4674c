"""Interchange interventions beside plain transformers with PyTorch's own hooks, pair by pair."""

import re
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitcheck import MethodError, Model, PromptPairs, load
from circuitcheck.bundled import PATH
from circuitcheck.engine.chunks import chunks_of
from circuitcheck.engine.cone.base_runs import BaseRuns
from circuitcheck.ledger import opened
from circuitcheck.session.mutation import outcomes
from circuitcheck.settings import Settings

NAMES = ["John", "Mary", "Tom"]
Prompt = tuple[str, str, str]


def gifts(names: list[str] = NAMES, **changed: Any) -> PromptPairs:
    said: dict[str, Any] = {
        "variables": {
            "order": lambda n1, giver: "first" if giver == n1 else "second",
            "receiver": lambda n1, n2, order: n2 if order == "first" else n1,
        },
        "answer": " {receiver}",
        "foil": " {giver}",
    }
    return PromptPairs(
        "When {n1} and {n2} went to the store, {giver} gave a book to",
        n1=names,
        n2=names,
        giver=names,
        distinct=("n1", "n2"),
        where=lambda giver, n1, n2: giver in (n1, n2),
        **(said | changed),
    )


def text(prompt: Prompt) -> str:
    n1, n2, giver = prompt
    return f"When {n1} and {n2} went to the store, {giver} gave a book to"


def receiver(prompt: Prompt, order: bool | None = None) -> str:
    """Who is given the book, where the giver is the first of the two, the second, or whom the prompt says."""
    n1, n2, giver = prompt
    return n2 if (giver == n1 if order is None else order) else n1


def couples(variable: str) -> Iterator[tuple[Prompt, Prompt, str]]:
    """Base and source with the counterfactual receiver, where that is another one than both of theirs."""
    prompts = [(n1, n2, giver) for n1, n2 in permutations(NAMES, 2) for giver in (n1, n2)]
    for base, source in product(prompts, prompts):
        there = receiver(base, source[2] == source[0]) if variable == "order" else receiver(source)
        if variable == "giver":
            if source[2] not in base[:2]:
                continue
            there = receiver((*base[:2], source[2]))
        if there not in (receiver(base), receiver(source)):
            yield base, source, there


class Plain:
    """The same GPT-2 in transformers, whose heads of a layer are what goes into ``attn.c_proj``."""

    def __init__(self, tokens: dict[str, tuple[int, ...]], names: dict[str, int]):
        self.model = AutoModelForCausalLM.from_pretrained(PATH).eval()
        self.tokens, self.names = tokens, names

    def run(self, prompt: Prompt, put: torch.Tensor | None = None) -> tuple[dict[str, float], torch.Tensor]:
        """The logits of the names, and what L2.H2 has at the last token; there ``put`` is put in."""
        seen: list[torch.Tensor] = []
        width = self.model.config.n_embd // self.model.config.n_head

        def hook(module: Any, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            seen.append(given[0][0, -1, 2 * width : 3 * width].clone())
            if put is not None:
                given[0][0, -1, 2 * width : 3 * width] = put
            return given

        handle = self.model.transformer.h[2].attn.c_proj.register_forward_pre_hook(hook)
        with torch.no_grad():
            logits = self.model(torch.tensor([self.tokens[text(prompt)]])).logits[0, -1]
        handle.remove()
        return {name: float(logits[token]) for name, token in self.names.items()}, seen[0]


@pytest.mark.parametrize("variable", ["order", "giver"])
def test_an_interchange_is_what_plain_hooks_give_pair_by_pair(bundled: Model, variable: str) -> None:
    run = bundled.on(gifts())
    effect = run.interchange("L2.H2@end", variable)
    measured, margin = effect.measure(), effect.of_gap.measure()
    there = run._setup.sample.pairs
    names = {str(pair.pair.answer[0]).strip(): pair.answer[0] for pair in there if isinstance(pair.answer[0], int)}
    plain = Plain({pair.pair.clean.text: pair.clean for pair in there}, names)
    right, hits, moved, gap = set(), 0, 0.0, 0.0
    for base, source, wanted in couples(variable):
        (before, _), (theirs, put) = plain.run(base), plain.run(source)
        if before[receiver(base)] <= before[base[2]] or theirs[receiver(source)] <= theirs[source[2]]:
            continue
        after, _ = plain.run(base, put)
        own = {receiver(base), receiver(source)}
        least = [min(logits[wanted] - logits[name] for name in own) for logits in (before, after)]
        right.add((text(source), text(base)))
        hits, moved, gap = hits + (least[1] > 0), moved + least[1] - least[0], gap - 2 * least[0]
    assert {(pair.pair.clean.text, pair.pair.corrupt.text) for pair in measured.pairs} == right
    assert measured.exact
    assert measured.estimate == pytest.approx(hits / len(right))
    assert margin.estimate == pytest.approx(moved / gap, abs=1e-4)
    assert any(f"margin {moved / gap:.3g} of the gap" in note for note in measured.notes)


def test_what_is_left_out_is_told(bundled: Model) -> None:
    [note] = [
        note for note in bundled.on(gifts()).interchange("L2.H2@end", "giver").measure().notes if "left out" in note
    ]
    prompts = [(n1, n2, giver) for n1, n2 in permutations(NAMES, 2) for giver in (n1, n2)]
    every = [(base, source) for base, source in product(prompts, prompts) if base != source]
    admitted = [(base, source) for base, source in every if source[2] in base[:2]]
    assert f"left out of {len(every)} ordered pairs of prompts" in note
    assert f"{len(every) - len(admitted)} which where= or distinct= do not admit" in note


def test_pairs_of_which_several_answers_are_read_are_run_once(bundled: Model) -> None:
    run, rows = bundled.on(gifts(["Anna", "James", "Emma"])), list[int]()
    effect = run.interchange("L2.H3@end", "order")
    before = bundled._loaded.answers.progress
    bundled._loaded.answers.progress = lambda what, done, total: rows.append(total) if what == "L2.H" else None
    try:
        measured = effect._estimand.run.sample
        experiment = effect._estimand.experiment
        experiment.shifts(measured, [experiment.sites])
    finally:
        bundled._loaded.answers.progress = before
    each = experiment._against(measured)[0]  # type: ignore[attr-defined]
    assert len(each.pairs) > len(measured.pairs)
    assert sum(dict.fromkeys(rows)) <= len(measured.pairs)
    assert len(chunks_of(each, 10**9)) == len(chunks_of(measured, 10**9))


def test_the_runs_that_answers_are_read_in_are_those_that_are_written_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether base and source are right costs no run of its own: the prompts are run as a patch between them runs them."""
    ran, plain = list[int](), BaseRuns._run

    def counted(self: BaseRuns, tokens: torch.Tensor, *others: Any) -> Any:
        ran.append(tokens.numel())
        return plain(self, tokens, *others)

    monkeypatch.setattr(BaseRuns, "_run", counted)
    model = load("bundled", settings=Settings())
    effect = model.on(gifts(["Anna", "James", "Emma"])).interchange("L2.H3@end", "order")
    effect._estimand.experiment.gather(effect._estimand.run.sample)
    interchanged, ran[:] = sum(ran), []
    rows = [pair.pair.as_row() for pair in effect._estimand.run.sample.pairs]
    patch = load("bundled", settings=Settings()).on(PromptPairs.from_rows(rows)).patch("L2.H3@end")
    patch._estimand.experiment.gather(patch._estimand.run.sample)
    assert interchanged == sum(ran) > 0


def test_where_the_answer_is_the_variable_copying_is_told_to_pass(bundled: Model) -> None:
    effect = bundled.on(gifts()).interchange("L2.RESID_POST@end", "receiver")
    measured = effect.measure()
    assert measured.estimate == 1.0
    assert any("a site that copies the source's answer would pass" in note for note in measured.notes)
    assert all(set(pair.pair.foil).isdisjoint(pair.pair.answer) for pair in measured.pairs)


def test_all_that_the_last_token_has_is_the_source_s_answer_and_no_variable_alone(bundled: Model) -> None:
    assert bundled.on(gifts()).interchange("L2.RESID_POST@end", "order").measure().estimate == 0.0


def test_a_source_that_is_written_nowhere_moves_nothing(bundled: Model) -> None:
    effect = bundled.on(gifts()).interchange("L0.RESID_PRE@end", "order")
    assert effect.of_gap.measure().estimate == pytest.approx(0.0, abs=1e-6)


def test_a_population_that_is_not_taken_whole_has_an_interval(bundled: Model) -> None:
    many = ["John", "Mary", "Tom", "Anna", "James", "Emma", "Mark", "Sarah"]
    measured = bundled.on(gifts(many)).interchange("L2.H2@end", "order").measure()
    assert not measured.exact
    assert measured.low is not None
    assert measured.low <= measured.estimate


ROWS = PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])


@pytest.mark.parametrize(
    ("pairs", "variable", "message"),
    [
        (ROWS, "order", "has no algorithm to interchange variables of"),
        (gifts(), "oder", "'oder' is no variable and no slot of .*; it has order, receiver, n1, n2, giver"),
        (gifts(), (), "an interchange names its variables, each once"),
        (gifts(), ("order", "order"), "an interchange names its variables, each once"),
        (gifts(variables={"order": lambda n1: 1}, answer=" a", foil=" b"), "order", "nothing to interchange of order"),
    ],
)
def test_what_cannot_be_interchanged_is_said(bundled: Model, pairs: PromptPairs, variable: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        bundled.on(pairs).interchange("L2.H2@end", variable)


def test_base_and_source_are_no_new_fillers(bundled: Model) -> None:
    with pytest.raises(MethodError, match="base and source have fillers of their own"):
        bundled.on(gifts(), generalise="n1").interchange("L2.H2@end", "order")


def test_a_claim_says_what_agreeing_sources_and_other_variables_do_there(bundled: Model) -> None:
    run = bundled.on(gifts(["John", "Mary", "Tom", "Anna"]))
    everything = " ".join(run.interchange("L2.RESID_POST@end", "order").measure().notes)
    changed = re.search(
        r"sources that agree on order, and have other answers: (\d+) of (\d+) change the base", everything
    )
    assert changed is not None
    assert changed[1] == changed[2]
    assert re.search(r"other variables at the same site: receiver in (\d+) of \1\b", everything)
    nothing = " ".join(run.interchange("L0.RESID_PRE@end", "order").measure().notes)
    assert re.search(r"sources that agree on order, and have other answers: 0 of \d+ change the base", nothing)
    assert re.search(r"other variables at the same site: receiver in 0 of \d+", nothing)


def test_another_variable_is_a_mutant(bundled: Model) -> None:
    def claim() -> None:
        assert bundled.on(gifts()).interchange("L2.H2@end", "giver") > 0.5

    with opened() as asked:
        claim()
    assert outcomes(claim, asked.verdicts)["variable"] == "killed"


def test_interchanges_are_compared_pair_by_pair(bundled: Model) -> None:
    run = bundled.on(gifts())
    assert run.interchange("L2.H2@end", "giver") > run.interchange("L2.H1@end", "giver")
    assert run.interchange("L2.H2@end", "giver").beats("L2.H*")
