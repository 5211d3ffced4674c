"""Causal scrubbing beside its definition."""

from itertools import permutations
from typing import Any

import pytest
import torch

from circuitcheck import MethodError, Model, PromptPairs
from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.scrubs.scrubbing import Part, Scrubbing
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import Population
from circuitcheck.sampling.agreeing import Agreeing
from tests import oracle
from tests.experiments.test_interchange import gifts

SIX = ["John", "Mary", "Tom", "Anna", "James", "Emma"]


def donate(agreeing: Agreeing, names: list[tuple[str, ...]]) -> Any:
    def give(pairs: list[AlignedPair], number: int, path: tuple[int, ...]) -> tuple[AlignedPair, ...]:
        return agreeing.donors(pairs, names[number], f"{(*path, number)}")

    return give


def values(pair: Pair, pairs: PromptPairs, names: tuple[str, ...]) -> list[Any]:
    there = pairs.description.algorithm.values({name: clean for name, clean, _ in pair.fillers})
    return [there[name] for name in names]


def test_donors_agree_on_the_variables_and_are_drawn_from_all_that_do(bundled: Model) -> None:
    pairs = gifts()
    run = bundled.on(pairs)
    [one] = run._setup.sample.pairs[:1]
    agreeing = Agreeing(pairs.description, run._setup.sampler.aligner, 0)
    for names in (("order",), ("n1", "order"), ("receiver",), ("n1", "n2", "giver"), ()):
        donors = {agreeing.donors([one], names, str(place))[0].pair.clean.text for place in range(120)}
        wanted = {
            pair.clean.text
            for pair in Population(pairs.description, 0).draw()
            if values(pair, pairs, names) == values(one.pair, pairs, names)
        }
        assert donors == wanted


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (["L2.H2@end"], [("receiver",)]),
        (["L1.H*@end", "L2.H2@end"], [("order",), ("receiver",)]),
        (["L0.MLP", "L1.ATTN@end", "L2.H[0,2]@end"], [("n1", "n2"), ("order",), ()]),
    ],
)
def test_a_scrubbed_run_is_a_tree_of_plain_runs(
    bundled: Model, addresses: list[str], names: list[tuple[str, ...]]
) -> None:
    run = bundled.on(gifts())
    agreeing = Agreeing(run._setup.pairs.description, run._setup.sampler.aligner, 0)
    give = donate(agreeing, names)
    sites = [parse(address, bundled.anatomy) for address in addresses]
    hooks = {"L0.MLP": "blocks.0.hook_mlp_out", "L1.ATTN@end": "blocks.1.hook_attn_out"}

    def scrubbed(pair: AlignedPair, path: tuple[int, ...], parts: list[int], look: str = "") -> torch.Tensor:
        """The logits of a run in which these parts are scrubbed, or what is there at a hook point."""
        edits, seen = [], []
        for number in parts:
            [donor] = give([pair], number, path)
            hook = hooks.get(addresses[number], f"blocks.{addresses[number][1]}.attn.hook_z")
            there = scrubbed(donor, (*path, number), list(range(number)), hook)

            def write(activation: torch.Tensor, hook: Any, there: torch.Tensor = there, number: int = number) -> Any:
                position = slice(None) if sites[number][0].position.everywhere else slice(-1, None)
                for site in sites[number]:
                    component = ... if site.index < 0 else site.index
                    activation[:, position][:, :, component] = there[:, position][:, :, component]
                return activation

            edits.append((hook, write))
        if look:
            edits.append((look, lambda activation, hook: seen.append(activation.clone())))
        logits = oracle.run(bundled, pair.clean, edits)
        return seen[0] if look else logits

    pairs = run._setup.sample.pairs[:6]
    sample = run._setup.sample.first(6)
    parts = tuple(map(Part, sites))
    writing = Scrubbing(parts=parts, donate=give, said=f"test {addresses}")
    [found] = bundled._loaded.answers.each(
        sample, [[site for some in sites for site in some]], writing, run._setup.readout
    )
    wanted = [oracle.logit_difference(bundled, pair, scrubbed(pair, (), list(range(len(parts))))) for pair in pairs]
    assert found.values == pytest.approx(wanted, abs=1e-3)


def test_all_that_is_there_keeps_all_and_nothing_of_it_less(bundled: Model) -> None:
    run = bundled.on(gifts(SIX))
    assert run.scrub({"L2.H2@end": ("n1", "n2", "giver")}).measure().estimate == pytest.approx(1.0)
    receiver, nothing = (run.scrub({"L2.H2@end": names}).measure() for names in ("giver", ()))
    assert receiver.estimate > nothing.estimate + 0.1
    assert not receiver.exact
    assert receiver.method.universe == "all else as it is"
    within = run.scrub({"L2.H2@end": "receiver"}, within="L2.H*").measure()
    assert within.method.universe == "L2.H*, resampled"


def test_paths_are_scrubbed(bundled: Model) -> None:
    measured = bundled.on(gifts(SIX)).scrub({"L1.H0 -> L2.H2@end": ("n1", "n2", "giver")}).measure()
    assert measured.estimate == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("hypothesis", "message"),
    [
        ({}, "scrub takes sites with the variables that each carries"),
        ("L2.H2@end", "scrub takes sites with the variables that each carries"),
        ({"L2.H2@end": "oder"}, "'oder' is no variable and no slot of"),
        ({"L2.H2@end": "order", "L2.H[1,2]@end": "n1"}, "a site is in two of the hypothesis' parts"),
        ({"L*.H*": "n1", "L*.MLP": "n1", "L*.N0": "n1"}, "twice as many runs for each further place"),
    ],
)
def test_what_cannot_be_scrubbed_is_said(bundled: Model, hypothesis: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        bundled.on(gifts()).scrub(hypothesis)


def test_there_are_as_many_prompts_as_this_module_takes_for_granted() -> None:
    assert len(list(Population(gifts().description, 0).draw())) == 2 * len(list(permutations("abc", 2)))


def test_donors_that_are_hard_to_draw_are_other_prompts_all_the_same(bundled: Model) -> None:
    """Of all prompts three in a thousand have the same receiver, and the pair itself is one of them."""
    letters = [chr(ord("a") + number) for number in range(26)]
    pairs = PromptPairs(
        "{n1} {n2} {giver}",
        n1=letters,
        n2=letters,
        giver=letters,
        where=lambda n1, n2, giver: giver in (n1, n2) and n1 != n2,
        variables={"receiver": lambda n1, n2, giver: n2 if giver == n1 else n1},
        answer=" {receiver}",
    )
    run = bundled.on(pairs)
    [one] = run._setup.sample.pairs[:1]
    agreeing = Agreeing(pairs.description, run._setup.sampler.aligner, 0)
    donors = [agreeing.donors([one], ("receiver",), str(place))[0] for place in range(6)]
    assert len({donor.clean for donor in donors}) > 3
    assert {values(donor.pair, pairs, ("receiver",))[0] for donor in donors} == {one.pair.answer[0].strip()}
