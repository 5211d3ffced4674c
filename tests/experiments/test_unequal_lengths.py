"""What is claimed of pairs of unequal length: patches, means and donors, directions and searches, beside plain hooks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from circuitcheck import MethodError, Model, PromptError, PromptPairs, contrast, load
from circuitcheck.addresses.parsing import parse
from circuitcheck.claims.effects import Effect
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side, other_side, sides
from circuitcheck.records.store import Store
from tests import oracle
from tests.conftest import examples

Counted = Literal["first", "last"]
# {x} has one, two or ten tokens ("xylophone" is spelt out), {y} two.
PAIRS = PromptPairs(
    "We saw the {y}. We looked for the {x} and found",
    x=contrast(clean=["apple", "olive", "empty apple"], corrupt=["lemon", "big lemon", "xylophone"]),
    y=["big dog"],
    answer=" an",
    foil=" a",
)
ONLY_UNEQUAL = PromptPairs(
    "We looked for the {x} and found",
    x=contrast(clean=["apple", "olive"], corrupt=["big lemon", "xylophone"]),
    answer=" an",
    foil=" a",
)

# Most pairs of which have prompts of one length, and most two tokens of {x}.
MOST_EVEN = PromptPairs(
    "We looked for the {x} and found",
    x=contrast(clean=["old apple", "big olive"], corrupt=["big lemon", "old peach", "old big fig", "pear"]),
    answer=" an",
    foil=" a",
)


def shifts(effect: Effect) -> "tuple[tuple[AlignedPair, ...], np.ndarray]":
    """The pairs that an effect is of, and what is shifted in each, in logits."""
    stages = effect._estimand.run.described
    return tuple(pair for stage in stages for pair in stage.sample.pairs), effect._estimand.shift_of(stages)


def put_in(model: Model, pair: AlignedPair, into: Side, hook: str, values: dict[int, torch.Tensor]) -> float:
    """What a pair's run loses or gets back with values put in at some tokens of one hook point."""

    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        for place, value in values.items():
            activation[0, place] = value
        return activation

    tokens = pair.tokens(into)
    before, after = (
        oracle.logit_difference(model, pair, oracle.run(model, tokens, hooks)) for hooks in ([], [(hook, write)])
    )
    return after - before if into == "corrupt" else before - after


def slot(pair: AlignedPair, side: Side, name: str) -> list[int]:
    """The tokens of a slot that stands there once."""
    segment = pair.slots.index(name)
    return [place for place, owner in enumerate(pair.segments_of(side)) if owner == segment]


@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_a_patch_is_of_all_pairs_where_each_has_what_corresponds(bundled: Model, into: Side) -> None:
    hook = "blocks.1.hook_resid_pre"
    places: dict[str, Callable[[AlignedPair, Side], int]] = {
        "@{x}.first": lambda pair, side: slot(pair, side, "x")[0],
        "@{x}.last": lambda pair, side: slot(pair, side, "x")[-1],
        "@{x}+1": lambda pair, side: slot(pair, side, "x")[-1] + 1,
        "@{y}.last": lambda pair, side: slot(pair, side, "y")[-1],
        "@-2": lambda pair, side: len(pair.tokens(side)) - 2,
    }
    for where, place in places.items():
        pairs, found = shifts(bundled.on(PAIRS).patch(f"L1.RESID_PRE{where}", into=into))
        assert len(pairs) == 9
        for pair, moved in zip(pairs, found, strict=True):
            there = oracle.activations(bundled, pair.tokens(other_side(into)))[hook][0]
            values = {place(pair, into): there[place(pair, other_side(into))]}
            assert moved == pytest.approx(put_in(bundled, pair, into, hook, values), abs=1e-4)


def test_pairs_without_a_counterpart_are_left_out_and_told_by_the_claim_that_asks_for_one(bundled: Model) -> None:
    run = bundled.on(MOST_EVEN)
    assert {run.accuracy.measure().n, run.gap.measure().n, run.patch("L1.N8@end").measure().n} == {8}
    for site, n in (
        ("L1.N8", 4),
        ("L1.N8@{x}", 4),
        ("L1.N8@{x}.last-1", 6),
        ("L0.H1 -> L1.N8", 4),
        ("L1.H0.PATTERN@end", 4),
    ):
        found = run.patch(site).measure()
        assert (found.n, found.rejected) == (n, 8 - n)
        assert "whose prompts differ in token count in {x}" in found.rejections
    assert run.patch("L1.N8").measure().estimate == pytest.approx(float(run.patch("L1.N8").measure().per_pair.mean()))
    assert len(run.sweep("L*.RESID_PRE@*").pairs) == len(run.sweep("L1.N*").pairs) == 4
    assert len(run.sweep("L*.RESID_PRE@{x}.last").pairs) == 8
    with pytest.raises(MethodError, match="not of the same pairs .*: compare them at one position"):
        _ = run.patch("L1.N8@end") > run.patch("L1.N3")


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda run: run.patch("L1.N8").measure(), PromptError, "whose prompts differ in token count in {x}, e.g. "),
        (lambda run: run.patch("L0.H1@{x}").measure(), PromptError, "in {x}, so that @{x} has no counterpart"),
        (lambda run: run.patch("L0.H1@-4").measure(), PromptError, "in {x}, so that @-4 has no counterpart"),
        (lambda run: run.patch("L0.H1 -> L1.N8").measure(), PromptError, "whose prompts differ in token count in {x}"),
        (
            lambda run: run.patch("L0.H1.PATTERN@end").measure(),
            PromptError,
            "whose prompts differ in token count in {x}",
        ),
        (lambda run: run.ablate("L1.N8@end", "counterfactual").measure(), PromptError, "differ in token count in {x}"),
        (
            lambda run: run.keep("L1.N8", "counterfactual").measure(),
            PromptError,
            "whose prompts differ in token count in {x}",
        ),
        (lambda run: run.independence("L1.N8").measure(), PromptError, "whose prompts differ in token count in {x}"),
        (lambda run: run.sweep("L*.RESID_PRE@*"), PromptError, "whose prompts differ in token count in {x}"),
        (
            lambda run: run.sweep("L*.RESID_PRE@*", verb="ablate"),
            PromptError,
            "whose prompts differ in token count in {x}",
        ),
        (
            lambda run: run.attention("L0.H0", "@{x}", "@{x}", "corrupt").measure(),
            MethodError,
            "@{x} is 10 in 'We looked for the xylophone",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(
    bundled: Model, ask: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        ask(bundled.on(ONLY_UNEQUAL))
    assert said in str(caught.value)
    if error is PromptError:
        assert "@end, @{x}.first and @{x}.last have one)" in str(caught.value)


def test_what_is_about_one_side_by_itself_is_asked_at_all_positions(bundled: Model) -> None:
    run = bundled.on(ONLY_UNEQUAL)
    for side in sides("both"):
        direct, lens = run.direct("L1.MLP", side=side), run.lens("L2.RESID_POST", side=side)
        for pair, written, read in zip(
            run._setup.sample.pairs, shifts(direct)[1], lens._estimand.shift_of(run._setup.described), strict=True
        ):
            there = oracle.activations(bundled, pair.tokens(side))
            assert read == pytest.approx(
                oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.tokens(side))), abs=1e-3
            )
            scale = there["ln_final.hook_scale"][0, -1]
            along = (bundled.bridge.W_U[:, pair.answer[0]] - bundled.bridge.W_U[:, pair.foil[0]]).detach()
            normed = there["blocks.1.hook_mlp_out"][0, -1] / scale
            assert written == pytest.approx(float((normed - normed.mean()) @ along), abs=2e-3)
        paid = run.attention("L0.H1", source="@{x}", side=side)._estimand.shift_of(run._setup.described)
        for pair, share in zip(run._setup.sample.pairs, paid, strict=True):
            pattern = oracle.activations(bundled, pair.tokens(side))["blocks.0.attn.hook_pattern"][0, 1, -1]
            assert share == pytest.approx(float(pattern[slot(pair, side, "x")].sum()), abs=1e-5)
    pairs, lost = shifts(run.ablate("L0.ATTN", "zero"))
    for pair, one in zip(pairs, lost, strict=True):
        zeros = {place: torch.zeros(128) for place in range(1, len(pair.clean))}
        assert one == pytest.approx(put_in(bundled, pair, "clean", "blocks.0.hook_attn_out", zeros), abs=1e-4)


def by_role(pair: AlignedPair, side: Side, counted: Counted) -> list[tuple[int, int]]:
    segments = pair.segments_of(side)
    before = [(segment, segments[:place].count(segment)) for place, segment in enumerate(segments)]
    after = [(segment, segments[place + 1 :].count(segment)) for place, segment in enumerate(segments)]
    return before if counted == "first" else after


def nearest(role: tuple[int, int], known: Any) -> tuple[int, int]:
    segment, distance = role
    return next((segment, nearer) for nearer in range(distance, -1, -1) if (segment, nearer) in known)


@pytest.mark.parametrize(
    ("where", "counted"), [("", "last"), ("@{x}.last-1", "last"), ("@{x}.first", "first"), ("@{x}.first+1", "first")]
)
def test_means_are_over_the_tokens_of_both_prompts_that_have_the_same_role(
    bundled: Model, where: str, counted: Counted
) -> None:
    hook = "blocks.1.hook_mlp_out"
    effect = bundled.on(PAIRS).ablate(f"L1.MLP{where}", "mean")
    pairs, found = shifts(effect)
    there: dict[tuple[int, int], list[torch.Tensor]] = {}
    for pair in pairs:
        for side in sides("both"):
            activation = oracle.activations(bundled, pair.tokens(side))[hook][0]
            for role, value in zip(by_role(pair, side, counted), activation, strict=True):
                there.setdefault(role, []).append(value)
    [site] = parse(f"L1.MLP{where}", bundled.anatomy)
    for pair, lost in zip(pairs, found, strict=True):
        roles = by_role(pair, "clean", counted)
        places = pair.positions(site.position, "clean")
        values = {place: torch.stack(there[nearest(roles[place], there)]).mean(0) for place in places}
        assert lost == pytest.approx(put_in(bundled, pair, "clean", hook, values), abs=1e-4)


@pytest.mark.parametrize(("where", "counted"), [("", "last"), ("@{x}.first", "first")])
def test_donors_give_what_they_have_at_the_same_role(bundled: Model, where: str, counted: Counted) -> None:
    hook = "blocks.1.hook_mlp_out"
    run = bundled.on(PAIRS)
    pairs, found = shifts(run.ablate(f"L1.MLP{where}", "resample"))
    [site] = parse(f"L1.MLP{where}", bundled.anatomy)
    for pair, lost in zip(pairs, found, strict=True):
        donors = run._setup.sampler.donors(run._setup.pairs, run._setup.sample, "both")
        row, side = donors.source(pair)
        donor = donors.sample.pairs[row]
        there = dict(
            zip(by_role(donor, side, counted), oracle.activations(bundled, donor.tokens(side))[hook][0], strict=True)
        )
        roles = by_role(pair, "clean", counted)
        values = {place: there[nearest(roles[place], there)] for place in pair.positions(site.position, "clean")}
        assert lost == pytest.approx(put_in(bundled, pair, "clean", hook, values), abs=1e-4)


def test_a_direction_found_at_a_slots_last_token_is_patched_there(bundled: Model) -> None:
    hook, halves = "blocks.1.hook_resid_post", [PAIRS.split("discover"), PAIRS.split("confirm")]
    direction = bundled.on(halves[0]).mean_difference("L1.RESID_POST@{x}.last")
    found = [
        torch.stack(
            [
                oracle.activations(bundled, pair.tokens(side))[hook][0, slot(pair, side, "x")[-1]]
                for pair in direction.pairs
            ]
        )
        for side in sides("both")
    ]
    wanted = (found[0] - found[1]).double().mean(0)
    assert direction.vector == pytest.approx((wanted / wanted.norm()).numpy(), abs=1e-5)
    pairs, moved = shifts(bundled.on(halves[1]).patch("L1.RESID_POST@{x}.last", along=direction))
    vector = torch.tensor(direction.vector, dtype=torch.float32)
    for pair, one in zip(pairs, moved, strict=True):
        clean, corrupt = (
            oracle.activations(bundled, pair.tokens(side))[hook][0, slot(pair, side, "x")[-1]] for side in sides("both")
        )
        put = corrupt + ((clean - corrupt) @ vector) * vector
        assert one == pytest.approx(
            put_in(bundled, pair, "corrupt", hook, {slot(pair, "corrupt", "x")[-1]: put}), abs=1e-4
        )
    steered = bundled.on(halves[1]).steer("L1.RESID_POST@{x}.first", direction, 3.0)
    for pair, one in zip(*shifts(steered), strict=True):
        place = slot(pair, "corrupt", "x")[0]
        there = oracle.activations(bundled, pair.corrupt)[hook][0, place]
        assert one == pytest.approx(put_in(bundled, pair, "corrupt", hook, {place: there + 3 * vector}), abs=1e-4)


def test_every_pair_is_searched_and_shrunk_among_those_in_which_all_corresponds(bundled: Model) -> None:
    effect = bundled.on(MOST_EVEN).patch("L0.RESID_POST@{x}.last-1")
    pairs, found = shifts(effect)
    numbers = found / effect._estimand.base_of(effect._estimand.run.described).mean()
    verdict = effect.each < float(np.sort(numbers)[-2]) + 1e-3
    assert verdict.decision == "refuted"
    assert verdict.searched.tried == len(pairs) == 6
    assert verdict.searched.counterexample is not None
    assert verdict.searched.found == pytest.approx(numbers.max(), abs=1e-4)
    every = bundled.on(PAIRS).patch("L2.RESID_POST@end").each > 0.0
    assert (every.decision, every.searched.tried) == ("supported", 9)


@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_slopes_are_the_derivatives_of_each_prompts_tokens(bundled: Model, into: Side) -> None:
    effect = bundled.on(PAIRS).patch("L1.RESID_PRE@{x}.last", into=into)
    pair = next(pair for pair in effect._estimand.run.sample.pairs if len(pair.clean) < len(pair.corrupt) - 3)
    hook, vector = (
        "blocks.1.hook_resid_pre",
        torch.tensor(np.random.default_rng(0).normal(size=128), dtype=torch.float32),
    )
    slopes = effect._estimand.experiment.slopes(pair)  # type: ignore[attr-defined]
    for side in sides("both"):
        assert slopes[side].shape == (len(pair.tokens(side)), 128)
        for place in (slot(pair, side, "x")[-1], len(pair.tokens(side)) - 1):
            wanted = [_shift(bundled, pair, into, hook, side, place, vector * step) for step in (1e-2, -1e-2)]
            slope = float(slopes[side][place] @ vector.double().numpy())
            assert slope == pytest.approx((wanted[0] - wanted[1]) / 2e-2, abs=0.02 + 0.02 * abs(slope))


def _shift(
    model: Model, pair: AlignedPair, into: Side, hook: str, moved: Side, place: int, step: torch.Tensor
) -> float:
    """What a patch at the last token of {x} shifts, with one token's embedding a step away."""

    def embed(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation[0, place] += step
        return activation

    def run(side: Side, *hooks: Any) -> torch.Tensor:
        return oracle.run(model, pair.tokens(side), [*([("hook_embed", embed)] if side == moved else []), *hooks])

    kept: list[torch.Tensor] = []
    source = other_side(into)
    run(source, (hook, lambda activation, hook: kept.append(activation[0, slot(pair, source, "x")[-1]].clone())))

    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation[0, slot(pair, into, "x")[-1]] = kept[0]
        return activation

    before, after = (oracle.logit_difference(model, pair, run(into, *hooks)) for hooks in ([], [(hook, write)]))
    return after - before if into == "corrupt" else before - after


WORDS = st.lists(st.sampled_from(["big", "dog", "apple", "old", "xylophone"]), min_size=1, max_size=3).map(" ".join)


@pytest.mark.thorough
@settings(deadline=None, max_examples=examples(3, 150), suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3, unique=True),
    st.sampled_from(["{x}.first", "{x}.last", "{x}+1", "{x}-1", "end", "{x}"]),
    st.sampled_from(["L0.RESID_PRE", "L1.MLP", "L1.H1", "L0.N8"]),
    st.sampled_from(["corrupt", "clean"]),
    st.sampled_from(["We saw the {x} and the dog near the {x2}", "the {x2} {x} was", "{x} and {x2} found"]),
)
def test_any_templates_patches_are_those_of_plain_hooks(
    bundled: Model, couples: list[tuple[str, str]], where: str, part: str, into: Side, template: str
) -> None:
    fillers = [(one, other) for one, other in couples if one != other]
    if not fillers:
        return
    second = contrast.pairs([("dog", "old dog"), ("dog", "dog")])
    described = PromptPairs(template, x=contrast.pairs(fillers), x2=second, answer=" an", foil=" a")
    try:
        pairs, found = shifts(bundled.on(described).patch(f"{part}@{where}", into=into))
    except PromptError:  # of most pairs nothing corresponds, or it lies outside
        event("refused")
        return
    hook, entries = {
        "L0.RESID_PRE": ("blocks.0.hook_resid_pre", slice(None)),
        "L1.MLP": ("blocks.1.hook_mlp_out", slice(None)),
        "L1.H1": ("blocks.1.attn.hook_z", 1),
        "L0.N8": ("blocks.0.mlp.out.hook_in", 8),
    }[part]
    for pair, moved in zip(pairs, found, strict=True):
        clean, corrupt = (_named(pair, side, where) for side in sides("both"))
        here, there = (clean, corrupt) if into == "clean" else (corrupt, clean)
        own, source = (oracle.activations(bundled, pair.tokens(side))[hook][0] for side in (into, other_side(into)))
        values = {}
        for place, other in zip(here, there, strict=True):
            values[place] = own[place].clone()
            values[place][entries] = source[other][entries]
        assert moved == pytest.approx(put_in(bundled, pair, into, hook, values), abs=1e-4)


def _named(pair: AlignedPair, side: Side, where: str) -> list[int]:
    own = slot(pair, side, "x")
    last = len(pair.tokens(side)) - 1
    return {
        "{x}.first": own[:1],
        "{x}.last": own[-1:],
        "{x}+1": [own[-1] + 1],
        "{x}-1": [own[0] - 1],
        "end": [last],
    }.get(where, own)


def test_numbers_of_unequal_pairs_are_remembered_with_the_roles_of_their_tokens(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        model = load("bundled", store=Store(tmp_path / "store"))
        run = model.on(ONLY_UNEQUAL)
        effects = [run.patch(f"L1.MLP@{where}").raw for where in ("{x}.first", "{x}.last", "end")]
        found.append([effect.measure().per_pair.tolist() for effect in effects])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]
    assert "_engine" not in vars(model._loaded.answers)
