"""From a question to candidates: attribution of all, exact effects of the best of each kind, beside plain hooks."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import BehaviourAbsent, MethodError, Model, PromptError, PromptPairs, contrast
from circuitcheck.finding.candidates import Candidates
from tests import oracle

EVERYTHING = "L*.N* | L*.H* | L*.MLP | L*.ATTN"
TEMPLATES = PromptPairs(
    "I climbed up the {fruit} tree and picked",
    "They looked at the {fruit} and saw",
    fruit=contrast(clean=["apple", "orange", "olive", "egg"], corrupt=["lemon", "banana", "peach", "pear"]),
    answer=" an",
    foil=" a",
)


@pytest.fixture(scope="module")
def candidates(bundled: Model, more_fruit: PromptPairs) -> Candidates:
    return bundled.on(more_fruit).find(EVERYTHING, top=5)


def test_the_best_of_each_kind_are_found_and_measured_as_plain_hooks_measure_them(
    bundled: Model, candidates: Candidates
) -> None:
    assert candidates.kinds == ("neurons", "heads", "sublayers")
    neuron, *others = candidates.top("neurons")
    assert (neuron.address, len(others)) == ("L1.N8@end", 4)

    def edit(there: torch.Tensor, source: torch.Tensor) -> None:
        there[0, -1, 8] = source[0, -1, 8]

    expected = oracle.patched_share(bundled, candidates.pairs, "blocks.1.mlp.hook_post", edit)
    assert neuron.exact == pytest.approx(expected, abs=1e-4)
    assert neuron.shift.shape == (len(candidates.pairs),)
    assert [abs(one.exact) for one in others] == sorted((abs(one.exact) for one in others), reverse=True)
    assert candidates.top("N", 2) == candidates.top("neurons")[:2]
    assert {one.site.kind for one in candidates.top("sublayers")} == {"MLP", "ATTN"}
    assert min(one for kind, one in candidates.agreement.items() if kind != "sublayers") > 0.95


def test_nothing_of_a_kind_has_a_larger_effect_than_what_was_found(bundled: Model, candidates: Candidates) -> None:
    """Against a sweep of all neurons, with as many as were measured."""
    run = bundled.on(candidates.run.pairs)
    sweep = run.sweep("L*.N*@end")
    best = [address for address, _ in sorted(sweep.top(999), key=lambda one: -abs(one[1]))[:5]]
    assert {one.address for one in candidates.top("neurons")} >= set(best[:3])
    assert sum(address in {one.address for one in candidates.top("neurons")} for address in best) >= 4


def test_sublayers_are_measured_where_the_prompts_first_differ_however_little_they_are_attributed(
    candidates: Candidates,
) -> None:
    first = {one.address for one in candidates.top("sublayers") if one.address.endswith("@{fruit}")}
    assert first == {f"L{layer}.{kind}@{{fruit}}" for layer in range(3) for kind in ("MLP", "ATTN")}


def test_a_position_that_is_written_is_the_one_that_is_looked_at(bundled: Model, more_fruit: PromptPairs) -> None:
    run = bundled.on(more_fruit)
    found = run.find("L*.H*@{fruit} | L1.N*@end", top=3)
    assert {one.address.partition("@")[2] for one in found.top("heads")} == {"{fruit}"}
    assert {one.address.partition("@")[2] for one in found.top("neurons")} == {"end"}
    assert run.find("L1.N*", top=3).top()[0].address == "L1.N8@end"


def test_a_position_that_is_written_stays_where_nothing_is_attributed(bundled: Model, more_fruit: PromptPairs) -> None:
    """Before the prompts differ all attributions are 0, and the largest of them is anywhere."""
    found = bundled.on(more_fruit).find("L1.N*@end | L1.H*@{tree}[1]", top=4)
    assert {one.attributed for one in found.top("heads")} == {0.0}
    assert {one.address.partition("@")[2] for one in found.top("heads")} == {"{tree}[1]"}


def test_another_address_does_not_move_where_components_are_found(bundled: Model) -> None:
    """Of several templates each component is named at one position, unless all of them together carry far more."""
    run = bundled.on(TEMPLATES)
    alone, both = (run.find(address, top=4).top("neurons") for address in ("L*.N*", "L*.N* | L1.H0@{fruit}.last"))
    assert [one.address for one in both] == [one.address for one in alone]


def test_streams_are_a_map_and_are_not_ranked(bundled: Model, more_fruit: PromptPairs) -> None:
    found = bundled.on(more_fruit).find("L*.RESID_POST | L1.H*", top=2)
    assert (found.kinds, found.top("streams"), len(found.top("heads"))) == (("streams", "heads"), [], 2)
    assert "streams, attributed alone: 3" in str(found)
    assert "@{fruit}" in str(found)


def test_into_the_clean_run_what_is_lost_is_found(bundled: Model, more_fruit: PromptPairs) -> None:
    run = bundled.on(more_fruit)
    best = run.find("L1.N*", top=3, into="clean").top()[0]
    assert best.address == "L1.N8@end"
    assert best.exact == pytest.approx(run.patch(best.address, into="clean").measure().estimate)
    steps = run.find("L1.N*", top=3, steps=4)
    assert "integrated gradients in 4 steps" in str(steps)
    assert steps.top()[0].attributed != run.find("L1.N*", top=3).top()[0].attributed


def test_of_several_templates_positions_that_all_have_are_named(bundled: Model) -> None:
    found = bundled.on(TEMPLATES).find("L*.N* | L*.ATTN", top=4)
    named = {one.address.partition("@")[2] for one in found.measured}
    assert named <= {"end", "{fruit}", "{fruit}+1", "-2", ""}
    assert "end" in named
    assert "other templates" in str(found)


def test_how_stable_the_top_is_can_be_claimed(candidates: Candidates) -> None:
    stable = candidates.stable.measure()
    assert stable.exact
    assert 0.5 < stable.estimate <= 1
    assert stable.n == len(candidates.pairs)
    assert (candidates.stable > 0.5).decision == "supported"
    [neurons] = [one for one in candidates.attributed if one.kind == "neurons"]
    same, other = neurons.overlaps(5)
    assert (len(same), other) == (6, [])  # each two of four parts
    groups = np.abs(neurons.groups).max(2)
    one, two = (set(np.argsort(-group)[:5].tolist()) for group in groups[:2])
    assert same[0] == len(one & two) / 5


def test_candidates_are_shown_and_saved(candidates: Candidates, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert "neurons: 5 measured of 144; attributed and exact effects correlate at" in str(candidates)
    picture = candidates._repr_html_()
    assert picture.startswith("<svg")
    assert "L1.N8@end" in picture
    drawn = ET.fromstring(picture)
    texts = [one for one in drawn.iter() if one.tag.endswith("}text")]
    assert "".join(one.text or "" for one in texts).count("attributed and exact effects correlate at") == 3
    ends = [float(one.get("x", 0)) + 7 * len(one.text or "") for one in texts if one.get("text-anchor") == "start"]
    assert max(ends) < float(drawn.get("width", 0)), "no title is cut"
    for name in ("x.svg", "x.png", "x.csv"):
        candidates.save(tmp_path / name)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    header, first, *_ = (tmp_path / "x.csv").read_text().splitlines()
    assert (header, first.startswith("neurons,L1.N8@end,")) == ("kind,site,exact,attributed", True)
    with pytest.raises(MethodError, match=r"x.txt is saved as .svg or .png \(the picture\) or .csv"):
        candidates.save(tmp_path / "x.txt")


def test_a_claim_in_the_same_test_is_told_that_its_site_was_found_on_the_same_pairs(
    bundled: Model, more_fruit: PromptPairs
) -> None:
    from circuitcheck import ledger

    with ledger.opened():
        run = bundled.on(more_fruit)
        best = run.find("L1.N*", top=2).top()[0]
        verdict = run.patch(best.address) > 0.1
    assert "pairs are also in the sweep of find L1.N*" in " ".join(verdict.measurement.notes)


def test_what_cannot_be_found_is_refused(bundled: Model, more_fruit: PromptPairs, candidates: Candidates) -> None:
    run = bundled.on(more_fruit)

    def refused(words: str, *given: Any, on: Any = run, **named: Any) -> None:
        with pytest.raises(MethodError, match=words):
            on.find(*given, **named)

    refused("accuracy moves in steps", "L1.N*", on=bundled.on(more_fruit, readout="accuracy"))
    refused("is a path: find looks for components, such as L0.H2", "L0.H2 -> L1.N8")
    refused("top= is a whole number of at least 1, not 0", "L1.N*", top=0)
    refused("steps= is a whole number", "L1.N*", steps=1.5)
    refused("into='corrupt' .denoising. or into='clean'", "L1.N*", into="both")
    with pytest.raises(
        MethodError, match="'queries' is no kind of what was looked for in .*: neurons, heads, sublayers"
    ):
        candidates.top("queries")
    rows = PromptPairs.from_rows([{"clean": "The keys", "answer": " are", "foil": " is"}], corrupt=None)
    refused("attribution patching needs corrupted prompts", "L1.N*", on=bundled.on(rows))
    alike = PromptPairs(
        "I climbed up the {fruit} tree and picked",
        fruit=contrast.pairs([("apple", "olive"), ("olive", "orange")]),
        answer=" an",
        foil=" a",
    )
    with pytest.raises(BehaviourAbsent, match="the mean gap of 2 pairs is .*, not above the floor of 0.5"):
        bundled.on(alike).find("L1.N*")


LONGER = PromptPairs(
    "We looked for the {x} by the {place} and found",
    x=contrast(clean=["apple", "olive", "engine", "island"], corrupt=["big lemon", "heavy book", "small red boat"]),
    place=["river", "lake"],
    answer=" an",
    foil=" a",
)


@pytest.mark.parametrize("address", ["L*.N* | L*.H*", "L*.N*@{x} | L*.H*"])
def test_prompts_of_unequal_length_are_told_where_to_look(bundled: Model, address: str) -> None:
    with pytest.raises(
        PromptError, match="two prompts do not both have, since they are not of equal length"
    ) as refused:
        bundled.on(LONGER).find(address)
    assert "' is 1 token, '" in str(refused.value)
    assert "--address 'L*.N*@end | L*.H*@end'" in str(refused.value)
    assert bundled.on(LONGER).find("L*.N*@end | L*.H*@end", top=1).top("neurons")[0].address == "L1.N8@end"


def test_a_missing_contrast_names_what_else_there_is(bundled: Model) -> None:
    alike = PromptPairs("I saw the {noun} and picked", noun=["apple", "lemon"], answer=" an", foil=" a")
    with pytest.raises(PromptError, match=r"say what differs, contrast\(.*variables=, for interchanges"):
        bundled.on(alike)
    clean = PromptPairs.from_rows([{"clean": "I saw the apple and picked", "answer": " an", "foil": " a"}])
    with pytest.raises(MethodError, match=r"needs corrupted prompts.*with variables=, about any two \(interchange\)"):
        bundled.on(clean).find("L*.H*")
