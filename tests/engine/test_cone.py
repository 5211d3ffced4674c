"""Cone execution against plain hooked runs, one pair at a time, on random interventions in many architectures."""

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from circuitcheck import Model, PromptPairs, load
from circuitcheck.addresses.kinds import lacking
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.cone import base_runs
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.cone.decoder import CannotFork, Decoder
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.making import Patching
from circuitcheck.engine.shapes import Shape
from circuitcheck.models.bos import token_of
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.settings import Settings
from tests import oracle
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, examples

# Random weights have no behaviour: numbers are compared in logits.
BIG_ENOUGH = 0.15


# Large models take other ways: blocks are recorded one by one (some of them: behind their attention), common beginnings
# are run by themselves, memory is short.
LARGE = ["GPT-2", "Gemma 2", "OLMo 2", "GPT-NeoX", "OPT"]
MIDDLING = ["GPT-2", "OLMo 2", "GPT-NeoX"]
SIZES = [*(f"{name}, as if large" for name in LARGE), *(f"{name}, as if middling" for name in MIDDLING)]


# Learned positions and a sequential block; norms behind sublayers, windows and shared keys; parallel blocks.
USUAL = ("bundled", "Gemma 2", "GPT-NeoX", "GPT-2, as if large")


@pytest.fixture(scope="module", params=each([*ARCHITECTURES, "bundled", *SIZES], USUAL))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    if request.param == "bundled":
        yield request.getfixturevalue("bundled")
        return
    name, _, size = request.param.partition(", ")
    large = size == "as if large"
    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr(base_runs, "_LITTLE", 0)
            patch.setattr(base_runs, "_SMALL_WORK", 0)
        elif size:
            patch.setattr(Shape, "recorded_per_token", lambda _, depth: 1e18 if depth > 1 else 0)
        folder = saved(tmp_path_factory.mktemp("small"), ARCHITECTURES[name], BIG_ENOUGH)
        yield oracle.share(load(folder, weights="raw", settings=Settings(memory=2**16 if large else None)))


@st.composite
def populations(draw: st.DrawFn) -> PromptPairs:
    """Pairs of token ids of one or two lengths, some with common beginnings, that differ from anywhere on."""
    seed, rows = random.Random(draw(st.integers(0, 10**6))), []
    for length in draw(st.lists(st.integers(3, 11), min_size=1, max_size=2, unique=True)):
        beginning = [seed.randrange(850) for _ in range(length)]
        for _ in range(draw(st.integers(1, 3))):
            shared = seed.randrange(length)
            clean = beginning[:shared] + [seed.randrange(850) for _ in range(length - shared)]
            corrupt = list(clean)
            for place in range(draw(st.integers(0, length - 1)), length):
                corrupt[place] = (clean[place] + seed.randrange(1, 850)) % 850 if seed.random() < 0.7 else clean[place]
            if corrupt == clean:
                corrupt[-1] = (clean[-1] + 1) % 850
            answer, foil = seed.sample(range(850), 2)
            rows.append({"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil})
    return PromptPairs.from_rows(rows)


@st.composite
def addresses(draw: st.DrawFn, model: Model, patterns: bool) -> str:
    """One to three sites of any kind, layer and position."""
    anatomy, found = model.anatomy, []
    kinds = ["H", "ATTN", "MLP", "RESID_PRE", "RESID_POST"]
    kinds += [] if lacking("N", anatomy.layers[0]) else ["N"]
    kinds += [] if anatomy.layers[0].parallel else ["RESID_MID"]
    kinds += ["H.Q", *(("H.K", "H.V") if anatomy.layers[0].n_groups is None else ("KV.K", "KV.V"))]
    kinds += ["H.PATTERN"] if patterns else []
    for kind in draw(st.lists(st.sampled_from([*kinds, "EMBED"]), min_size=1, max_size=3)):
        index = draw(st.integers(0, anatomy.layers[0].count(kind) - 1)) if kind[0] in "NH" or kind[:2] == "KV" else -1
        layer = -1 if kind == "EMBED" else draw(st.integers(0, anatomy.n_layers - 1))
        found.append(str(Site(layer, kind, index)) + draw(st.sampled_from(["", "@end", "@-2", "@-3"])))
    return " | ".join(dict.fromkeys(found))


def written(
    model: Model,
    pair: AlignedPair,
    tokens: tuple[int, ...],
    sites: tuple[Site, ...],
    source: Callable[[str], torch.Tensor],
    spared: int | None = None,
) -> float:
    """The logit difference of a plain hooked run of one prompt with the source's activations at the sites, but at a token
    that is spared."""

    def put(site: Site) -> Callable[..., torch.Tensor]:
        def hook_function(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            positions = [place for place in pair.positions(site.position) if tokens[place] != spared]
            index = (0, positions) if site.index < 0 else (0, positions, site.index)
            index = (0, site.index, positions) if site.kind == "H.PATTERN" else index
            activation[index] = source(hook_name(site.layer, site.kind))[index]
            return activation

        return hook_function

    hooks = [(hook_name(site.layer, site.kind), put(site)) for site in sites]
    return oracle.logit_difference(model, pair, oracle.run(model, tokens, hooks))


def close(model: Model, pair: AlignedPair, found: float, wanted: float) -> None:
    scale = float(oracle.run(model, pair.clean)[0, -1].abs().max())
    assert abs(found - wanted) < 1e-4 * max(
        1.0, scale, abs(wanted)
    )  # held scales can make logits larger than any clean one


def _writes_patterns(model: Model) -> bool:
    """OPT's attention only shows its pattern."""
    return model.bridge.cfg.architecture != "OPTForCausalLM"


quietly = settings(
    max_examples=examples(2, 12),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.thorough
@quietly
@given(data=st.data())
def test_a_patch_in_a_cone_is_what_plain_hooks_give(model: Model, data: st.DataObject) -> None:
    pairs, address = data.draw(populations()), data.draw(addresses(model, patterns=_writes_patterns(model)))
    into = data.draw(st.sampled_from(["clean", "corrupt"]))
    run = model.on(pairs)
    found = model._loaded.answers.each(
        run._setup.sample, [parse(address, model.anatomy)], Patching(into), run._setup.readout
    )[0].values
    for pair, number in zip(run._setup.sample.pairs, found, strict=True):
        there = oracle.activations(model, pair.corrupt if into == "clean" else pair.clean)
        wanted = written(model, pair, pair.tokens(into), parse(address, model.anatomy), there.__getitem__)
        close(model, pair, float(number), wanted)
    assert model._loaded.answers.describe() == "cone"
    assert isinstance(model._loaded.answers.engine.trust.cone, Cone)
    assert model._loaded.answers.engine.trust.cone.replaying


@pytest.mark.thorough
@quietly
@given(data=st.data())
def test_an_ablation_in_a_cone_is_what_plain_hooks_give(model: Model, data: st.DataObject) -> None:
    pairs, address = data.draw(populations()), data.draw(addresses(model, patterns=False))
    value = data.draw(st.sampled_from([0.0, 0.3, "mean", "resample"]))
    run = model.on(pairs)
    lengths = {len(pair.tokens(side)) for pair in run._setup.sample.pairs for side in ("clean", "corrupt")}
    if value == "resample" and (len(run._setup.sample.pairs) < 2 or len(lengths) > 1):
        value = "mean"  # a pair is resampled from another one with tokens in the same places
    shift = run.ablate(address, value)._estimand.shift_of(
        run._setup.described
    )  # the behaviour may be absent: no measurement
    sites = parse(address, model.anatomy)
    prompts = [
        side
        for pair in run._setup.sample.pairs
        for side in (pair.clean, pair.corrupt)
        for _ in range(int(pair.pair.weight))
    ]
    all_there = {tokens: oracle.activations(model, tokens) for tokens in prompts}
    for pair, number in zip(run._setup.sample.pairs, shift, strict=True):

        def source(hook: str, pair: AlignedPair = pair) -> torch.Tensor:
            own = all_there[pair.clean][hook]
            if isinstance(value, float):
                return torch.full_like(own, value)
            if value == "resample":
                donors = run._setup.sampler.donors(run._setup.pairs, run._setup.sample, "both")
                row, side = donors.source(pair)
                return all_there[donors.sample.pairs[row].tokens(side)][hook]
            by_place = [
                [all_there[tokens][hook][0, -to_end] for tokens in prompts if len(tokens) >= to_end]
                for to_end in range(len(pair.clean), 0, -1)
            ]
            return torch.stack([torch.stack(here).mean(0) for here in by_place]).unsqueeze(0)

        clean = oracle.logit_difference(model, pair, oracle.run(model, pair.clean))
        spared = token_of(model.bridge) if isinstance(value, float) else None
        close(model, pair, float(number), clean - written(model, pair, pair.clean, sites, source, spared))


def test_what_cannot_be_forked_is_run_plainly_and_says_so(bundled: Model, fruit: PromptPairs) -> None:
    """A model whose cone gives other numbers (here: broken on purpose) is caught the first time, and still right."""
    whole = load("bundled")
    right = bundled.on(fruit).patch("L1.MLP").measure()
    cone = whole._loaded.answers.engine.trust.cone
    assert cone is not None
    run = cone.run
    cone.run = lambda batch: run(batch) + bool(batch.writes) * 0.1 * torch.arange(2)  # type: ignore[method-assign]
    wrong = whole.on(fruit).patch("L1.MLP").measure()
    assert wrong.estimate == pytest.approx(right.estimate, abs=1e-5)
    ablated = [model.on(fruit).ablate("L1.MLP").measure().estimate for model in (whole, bundled)]
    assert ablated[0] == pytest.approx(ablated[1], abs=1e-5)
    assert "plain hooked runs" in whole._loaded.answers.describe()
    assert "off by" in whole._loaded.describe()["engine"]


def test_batches_are_halved_where_memory_is_short(
    anew: Callable[..., Model], fruit: PromptPairs, bundled: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = anew(), []
    model.on(fruit).gap.measure()
    cone = model._loaded.answers.engine.trust.cone
    assert cone is not None
    run = cone.decoder.run

    def short_of_memory(tokens: torch.Tensor, *given: Any) -> torch.Tensor:
        if len(tokens) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        rows.append(len(tokens))
        return run(tokens, *given)

    monkeypatch.setattr(cone.decoder, "run", short_of_memory)
    found = model.on(fruit).patch("L1.RESID_PRE@end").measure()
    assert np.allclose(found.per_pair, bundled.on(fruit).patch("L1.RESID_PRE@end").measure().per_pair, atol=1e-5)
    assert max(rows) <= 5


def test_wrong_recordings_are_caught_too(fruit: PromptPairs, bundled: Model) -> None:
    """What is put in is compared with what a plain run has there, not only what comes of it."""
    model = load("bundled")
    cone = model._loaded.answers.engine.trust.cone
    assert cone is not None
    activation = cone.activation
    cone.activation = lambda *where: activation(*where) * 1.1  # type: ignore[method-assign]
    found = model.on(fruit).patch("L1.N8").measure().estimate
    assert found == pytest.approx(bundled.on(fruit).patch("L1.N8").measure().estimate, abs=1e-5)
    assert "what was recorded at blocks.1.mlp.hook_post is not" in model._loaded.answers.describe()


def test_a_version_of_transformers_that_calls_the_past_otherwise_is_named() -> None:
    class Network:
        def forward(self, input_ids: torch.Tensor, cache: Any = None) -> None: ...

    cfg = SimpleNamespace(n_layers=2, device="cpu")
    with pytest.raises(CannotFork, match=r"pip install 'transformers<5\.24'"):
        Decoder(SimpleNamespace(cfg=cfg, hook_dict={}, original_model=Network()))
