"""Paths, a head's parts and held normalisations against plain hooks, which freeze every head and MLP by name."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.auto import AutoModelForCausalLM

from circuitcheck import AddressError, ClaimRefuted, MethodError, Model, PromptPairs, Run, load
from circuitcheck.addresses.kinds import LOGITS, is_part, lacking
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site, read, written
from circuitcheck.engine.ablations import Held
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.making import Patching
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.trust import Trust
from circuitcheck.prompts.aligned_pairs import AlignedPair
from tests import oracle
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, shared_model
from tests.engine.test_cone import BIG_ENOUGH, addresses, close, populations, quietly
from tests.grouped import GROUPED

Activations = dict[str, torch.Tensor]
FROZEN = Held(norms=True)
# Post-norms, with the scales of all of them held, in another number of groups.
MODELS = {**ARCHITECTURES, "Gemma 2 in 3 groups": GROUPED["Gemma 2, 6 heads in 3 groups"]}


@pytest.fixture(
    scope="module", params=each([*MODELS, "bundled"], ("bundled", "Llama", "Gemma 2 in 3 groups", "GPT-NeoX"))
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    if request.param == "bundled":
        yield request.getfixturevalue("bundled")
        return
    folder = saved(tmp_path_factory.mktemp("small"), MODELS[request.param], BIG_ENOUGH)
    yield oracle.share(load(folder, weights="raw"))


class ByPlainHooks:
    """One pair's run of one side; every step is one whole hooked run in which all heads and MLPs but those of the step are
    put back to what they were."""

    def __init__(self, model: Model, pair: AlignedPair, into: str, held: Held):
        self.model, self.pair, self.held = model, pair, held
        self.tokens = pair.tokens(into)  # type: ignore[arg-type]
        self.base = oracle.activations(model, self.tokens)
        self.other = oracle.activations(model, pair.corrupt if into == "clean" else pair.clean)

    def holding(self) -> list[tuple[str, Any]]:
        """Hooks that put every normalisation's scale back, but those inside attention."""

        def back(name: str) -> tuple[str, Any]:
            return name, lambda activation, hook: self.base[name].reshape(activation.shape)

        return [back(name) for name in self.base if name.endswith("hook_scale") and "attn" not in name]

    def written(self, sites: Sequence[Site]) -> float:
        """The logit difference with the other run's activations put in at some parts, and every scale held."""
        put = [
            (hook_name(site.layer, site.kind), self._putting(site, self.other[hook_name(site.layer, site.kind)]))
            for site in sites
        ]
        logits = oracle.run(self.model, self.tokens, [*put, *self.holding()])
        return oracle.logit_difference(self.model, self.pair, logits)

    def result(self, path: Site) -> float:
        """The logit difference with what arrives at the end of a path put there."""
        last, value = self._steps(path)[-1]
        logits, arrived = self._frozen_run(last, value, path)
        if path.kind != LOGITS:
            put = [(hook_name(path.layer, path.kind), self._putting(path, arrived))]
            logits = oracle.run(self.model, self.tokens, put)
        return oracle.logit_difference(self.model, self.pair, logits)

    def _steps(self, path: Site) -> list[tuple[Site, torch.Tensor]]:
        """Each part that is written on the way, with the whole activation that is put at its hook point."""
        sender, *rest = path.via
        steps = [(sender, self.other[hook_name(sender.layer, sender.kind)])]
        for site in rest:
            steps.append((site, self._frozen_run(*steps[-1], site)[1]))
        return steps

    def _frozen_run(self, site: Site, value: torch.Tensor, look: Site) -> tuple[torch.Tensor, torch.Tensor]:
        """A run with ``value`` at a part and everything else frozen, and what is seen at another part before it is."""
        seen: Activations = {}
        looked_at = hook_name(look.layer, look.kind)

        def see(activation: torch.Tensor, hook: Any) -> None:
            seen["it"] = activation.clone()

        put = (hook_name(site.layer, site.kind), self._putting(site, value))
        hooks = [(looked_at, see), *self._freezing(site, look), put]
        logits = oracle.run(self.model, self.tokens, hooks)
        return logits, seen["it"]

    def _freezing(self, site: Site, look: Site) -> list[tuple[str, Any]]:
        hooks: list[tuple[str, Any]] = []
        anatomy = self.model.anatomy
        for layer in range(anatomy.n_layers):
            moving: set[int] = set()
            if layer == site.layer and is_part(site.kind):
                size = anatomy.layers[0].n_heads // (anatomy.layers[0].n_groups or anatomy.layers[0].n_heads)
                of_group = {head for head in range(anatomy.layers[0].n_heads) if head // size == site.index}
                moving = of_group if site.letter == "KV" else {site.index}
            if layer == look.layer and look.kind == "ATTN":
                moving = set(range(anatomy.layers[0].n_heads))  # what is looked at is behind them
            name = hook_name(layer, "H")
            hooks.append(
                (name, self._back(name, [head for head in range(anatomy.layers[0].n_heads) if head not in moving]))
            )
            mlp = hook_name(layer, "MLP")
            if anatomy.layers[0].d_mlp is None or not self.held.mlps:
                continue
            if layer == site.layer and site.kind == "N":
                continue  # its own MLP says what the neuron adds
            hooks.append((mlp, self._back(mlp, None)))
        return [*hooks, *(self.holding() if self.held.norms else [])]

    def _back(self, name: str, heads: list[int] | None) -> Any:
        def back(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            entries = (slice(None), slice(None), heads) if heads is not None else slice(None)
            activation[entries] = self.base[name][entries]
            return activation

        return back

    def _putting(self, site: Site, value: torch.Tensor) -> Any:
        def put(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            at: list[int] = self.pair.positions(site.position)
            index: tuple[Any, ...] = (0, at) if site.index < 0 else (0, at, site.index)
            index = (0, site.index, at) if site.kind == "H.PATTERN" else index
            activation[index] = value[index]
            return activation

        return put


def patched(run: Run, sets: Sequence[Sequence[Site]], patching: Patching) -> Any:
    """What the first of some sets of sites brings back in each pair."""
    setup = run._setup
    return setup.model.answers.each(setup.sample, sets, patching, setup.readout)[0].values


@st.composite
def paths(draw: st.DrawFn, model: Model) -> str:
    """A path of two to four parts, each of which reads what the one before it writes."""
    anatomy = model.anatomy
    keys = ["H.K", "H.V"] if anatomy.layers[0].n_groups is None else ["KV.K", "KV.V"]
    kinds = ["H", "ATTN", "MLP", "H.Q", *keys, *([] if lacking("N", anatomy.layers[0]) else ["N"])]
    sites = [Site(layer, kind) for layer in range(anatomy.n_layers) for kind in kinds]
    beginnings = [Site(-1, "EMBED"), *(site for site in sites if site.kind in ("H", "ATTN", "MLP", "N"))]
    path = [draw(st.sampled_from(beginnings))]
    for _ in range(draw(st.integers(1, 3))):
        later = [site for site in [*sites, Site(anatomy.n_layers - 1, LOGITS)] if _follows(path[-1], site, model)]
        if not later:
            break
        path.append(draw(st.sampled_from(later)))
    if len(path) == 1:
        path.append(Site(anatomy.n_layers - 1, LOGITS))
    named = []
    for site in path:
        index = draw(st.integers(0, anatomy.layers[0].count(site.kind) - 1)) if site.letter in ("H", "N", "KV") else -1
        position = draw(st.sampled_from(["", "", "@end", "@-2"])) if site.kind != LOGITS else ""
        named.append(str(Site(site.layer, site.kind, index)) + position)
    return " -> ".join(named)


def _follows(site: Site, receiver: Site, model: Model) -> bool:
    if site.kind == LOGITS or not written(site) < read(receiver, model.anatomy.n_layers):
        return False
    same = site.layer == receiver.layer and receiver.kind != LOGITS
    return not (same and model.anatomy.layers[0].parallel and site.traits.attends)


@pytest.mark.filterwarnings("ignore:A forward hook edited hook_scale")  # the oracle's hooks
@pytest.mark.thorough
@quietly
@given(data=st.data())
def test_what_arrives_by_a_path_is_what_freezing_everything_else_gives(model: Model, data: st.DataObject) -> None:
    pairs, address = data.draw(populations()), data.draw(paths(model))
    into = data.draw(st.sampled_from(["clean", "corrupt"]))
    held = Held(mlps=data.draw(st.booleans()), norms=model.anatomy.layers[0].post_norm or data.draw(st.booleans()))
    run, [path] = model.on(pairs), parse(address, model.anatomy)
    found = patched(run, [[path]], Patching(into, held))
    for pair, number in zip(run._setup.sample.pairs, found, strict=True):
        close(model, pair, float(number), ByPlainHooks(model, pair, into, held).result(path))
    assert model._loaded.answers.describe() == "cone"


@pytest.mark.filterwarnings("ignore:A forward hook edited hook_scale")  # the oracle's hooks
@pytest.mark.thorough
@quietly
@given(data=st.data())
def test_held_scales_are_those_of_the_run_that_is_written_in(model: Model, data: st.DataObject) -> None:
    pairs, address = data.draw(populations()), data.draw(addresses(model, patterns=False))
    into = data.draw(st.sampled_from(["clean", "corrupt"]))
    run, sites = model.on(pairs), parse(address, model.anatomy)
    found = patched(run, [sites], Patching(into, FROZEN))
    for pair, number in zip(run._setup.sample.pairs, found, strict=True):
        close(model, pair, float(number), ByPlainHooks(model, pair, into, FROZEN).written(sites))
    assert model._loaded.answers.describe() == "cone"


def test_an_ablation_goes_by_a_path_too(bundled: Model, fruit: PromptPairs) -> None:
    """The head's output set to zero (but at BOS), as far as L1.N8 reads it."""
    run = bundled.on(fruit)
    [path] = parse("L0.H2 -> L1.N8", bundled.anatomy)
    wanted = []
    for pair in run._setup.sample.pairs:
        by_hooks = ByPlainHooks(bundled, pair, "clean", Held())
        zeros = torch.zeros_like(by_hooks.base["blocks.0.attn.hook_z"])
        zeros[:, 0] = by_hooks.base["blocks.0.attn.hook_z"][:, 0]
        by_hooks.other = {**by_hooks.base, "blocks.0.attn.hook_z": zeros}
        clean = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean))
        wanted.append(clean - by_hooks.result(path))
    found = run.ablate("L0.H2 -> L1.N8", "zero")
    assert found._estimand.shift_of(run._setup.described) == pytest.approx(np.array(wanted), abs=1e-3)
    assert found.measure().method.frozen == "heads and MLPs on the way"


def test_what_comes_to_one_part_by_several_paths_adds_up(bundled: Model, fruit: PromptPairs) -> None:
    """All heads of a layer by themselves bring what their sum, the sublayer's output, brings."""
    run = bundled.on(fruit)
    heads, sublayer = (run.patch(f"L0.{sender} -> L1.N8").measure().estimate for sender in ("H*", "ATTN"))
    assert heads == pytest.approx(sublayer, abs=1e-5)
    both = run.patch("L0.ATTN -> L1.N8 | L0.MLP -> L1.N8").measure().estimate
    assert both > heads
    with pytest.raises(AddressError, match="L1.N8 is both addressed itself and the end of a path"):
        run.patch("L0.ATTN -> L1.N8 | L1.N8").measure()


@pytest.mark.slow
def test_all_that_is_written_comes_to_the_logits_by_itself(bundled: Model, fruit: PromptPairs) -> None:
    """The stream behind the last block is the sum of what is written into it, and no part of it is counted twice."""
    run, writers = bundled.on(fruit), ["EMBED", *(f"L{layer}.{part}" for layer in range(3) for part in ("H*", "MLP"))]
    together = run.patch(" | ".join(f"{writer} -> LOGITS" for writer in writers)).measure()
    assert together.per_pair == pytest.approx(run._setup.gaps / run._setup.gaps.mean(), abs=1e-4)
    alone = [run.patch(f"{writer} -> LOGITS", ln="frozen").measure().per_pair for writer in writers]
    held = run.patch(" | ".join(f"{writer} -> LOGITS" for writer in writers), ln="frozen").measure().per_pair
    assert sum(alone) == pytest.approx(held, abs=1e-4)


def test_a_head_whose_pattern_is_only_shown_is_refused(tmp_path: Path) -> None:
    model = load(saved(tmp_path, ARCHITECTURES["OPT"], BIG_ENOUGH), weights="raw")
    pairs = PromptPairs.from_rows([{"clean": [5, 6, 7, 8], "corrupt": [5, 9, 7, 8], "answer": 3, "foil": 4}])
    run = model.on(pairs)
    with pytest.raises(MethodError, match=r"L1.H2.PATTERN cannot be written in this model: .* address the head"):
        patched(run, [parse("L1.H2.PATTERN", model.anatomy)], Patching("corrupt"))
    patched(run, [parse("L1.H2.Q", model.anatomy)], Patching("corrupt"))


def test_paths_behind_norms_that_divide_by_everything_need_them_held(tmp_path: Path) -> None:
    model = load(saved(tmp_path, ARCHITECTURES["Gemma 2"], BIG_ENOUGH), weights="raw")
    run = model.on(PromptPairs.from_rows([{"clean": [5, 6, 7], "corrupt": [5, 9, 7], "answer": 3, "foil": 4}]))
    with pytest.raises(MethodError, match=r"what L0.H1 adds depends on all that is added beside it: .*ln=.frozen."):
        run.patch("L0.H1 -> L1.H2.Q")
    run.patch("L0.H1 -> L1.H2.Q", ln="frozen")
    run.patch("L0.ATTN -> L1.H2.Q")


def test_what_cannot_be_meant_is_refused(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    with pytest.raises(MethodError, match="through= is 'mlps'"):
        run.patch("L0.H2 -> L1.N8", through="heads")
    with pytest.raises(MethodError, match="ln= is 'frozen'"):
        run.patch("L0.H2", ln="live")
    with pytest.raises(MethodError, match="L0.H2 has none"):
        run.patch("L0.H2", through="mlps")
    with pytest.raises(MethodError, match="there is no resample of attention patterns"):
        run.ablate("L0.H2.PATTERN", "resample")
    with pytest.raises(MethodError, match=r"search a path against\('coordinate'\)"):
        run.patch("L0.H2 -> L1.N8")._estimand.experiment.slopes(run._setup.sample.pairs[0])


def test_a_path_is_told_apart_in_every_report(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    plain = run.patch("L0.ATTN -> L1.N8").measure()
    moving = run.patch("L0.ATTN -> L1.N8", through="mlps", ln="frozen").measure()
    assert plain.label == "patch L0.ATTN -> L1.N8"
    assert moving.label == "patch L0.ATTN -> L1.N8 through mlps (ln frozen)"
    assert moving.method.frozen == "heads on the way and normalisation scales"
    assert plain.method.granularity == "path"
    with pytest.raises(ClaimRefuted, match="frozen: heads and MLPs on the way"):
        bool(run.patch("L0.ATTN -> L1.N8") > 0.9)
    sweep = run.sweep("L0.H* -> L1.N8")
    assert sweep.coords == {"site": [f"L0.H{head} -> L1.N8" for head in range(4)]}
    assert sweep["L0.H1 -> L1.N8"].estimate == pytest.approx(sweep.values[1])


@pytest.fixture(scope="module")
def induction() -> Model:
    return load(shared_model("gbmi_induction") / "finetuned_model_0.pt")


def test_the_textbook_s_induction_is_a_path_through_keys(induction: Model) -> None:
    """A trained model of two layers: the head that looks back reaches the induction head by its keys alone."""
    seed, rows = random.Random(0), []
    for _ in range(40):
        a, b, c, *others = seed.sample(range(26), 6)
        clean, corrupt = [others[0], a, b, others[1], c, others[2], a], [others[0], c, b, others[1], a, others[2], a]
        rows.append({"clean": clean, "corrupt": corrupt, "answer": b, "foil": others[2]})
    run = induction.on(PromptPairs.from_rows(rows))
    head = run.patch("L0.H0").measure().estimate
    keys, queries, values, straight = (
        run.patch(f"L0.H0 -> {end}").measure().estimate for end in ("L1.H0.K", "L1.H0.Q", "L1.H0.V", "LOGITS")
    )
    assert head > 0.8
    assert keys > 0.8 * head
    assert max(map(abs, (queries, values, straight))) < 0.15
    [path], sample = parse("L0.H0 -> L1.H0.K", induction.anatomy), run._setup.sample
    for pair, number in zip(sample.pairs, patched(run, [[path]], Patching("corrupt")), strict=True):
        close(induction, pair, float(number), ByPlainHooks(induction, pair, "corrupt", Held()).result(path))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(saved(tmp_path_factory.mktemp("llama"), ARCHITECTURES["Llama"], BIG_ENOUGH), weights="raw")


# Unit noise at L0.ATTN of these prompts, with all scales held, rounds the logits apart by 1e-4 of the largest.
LOUD = PromptPairs.from_rows(
    [
        {
            "clean": [341, 643, 443, 721, 63, 408, 250],
            "corrupt": [341, 390, 443, 721, 63, 408, 250],
            "answer": 3,
            "foil": 4,
        }
    ]
)


def test_rounding_under_held_scales_is_no_fault_of_a_cone(llama: Model) -> None:
    run = llama.on(LOUD)
    patched(run, [parse("L0.ATTN", llama.anatomy)], Patching("clean", FROZEN))
    assert llama._loaded.answers.describe() == "cone"


def test_a_cone_that_leaves_out_what_is_written_under_held_scales_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run_cone = load(saved(tmp_path, ARCHITECTURES["Llama"], BIG_ENOUGH), weights="raw"), Cone.run

    def forgetful(cone: Cone, batch: Batch) -> torch.Tensor:
        found = run_cone(cone, batch)  # all hooks fire
        return run_cone(cone, replace(batch, writes=[], holds=[])) if batch.holds else found

    monkeypatch.setattr(Cone, "run", forgetful)
    run = model.on(LOUD)
    patched(run, [parse("L0.ATTN", model.anatomy)], Patching("clean", FROZEN))
    assert "a cone's logits were off" in model._loaded.answers.describe()


@pytest.mark.parametrize("through", ["", "mlps"])
def test_paths_that_are_found_wrong_are_followed_by_plain_runs_at_once(
    fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch, through: Any
) -> None:
    """Also those of the very claim whose look ended the trust in cones."""
    wanted = load("bundled").on(fruit).patch("L0.H2@{fruit} -> LOGITS", through=through).measure()
    monkeypatch.setattr(Trust, "check_paths", lambda trust, *_: trust.distrust("for this test"))
    model = load("bundled")
    found = model.on(fruit).patch("L0.H2@{fruit} -> LOGITS", through=through).measure()
    assert found.per_pair == pytest.approx(wanted.per_pair, abs=1e-5)
    assert "for this test" in model._loaded.answers.describe()


@pytest.mark.parametrize(("units", "is_rounding"), [(4, True), (4000, False)])
def test_a_small_change_in_large_streams_is_rounded_as_these_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: int, is_rounding: bool
) -> None:
    """What comes to the logits is a difference of streams, of which one dimension may be thousands: a few units in its last place are no
    fault of a cone, and thousands of them are."""
    folder, arriving = saved(tmp_path, ARCHITECTURES["Llama"], BIG_ENOUGH), Paths.arriving
    network = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        network.get_input_embeddings().weight[:, 0] += 3000
    network.save_pretrained(folder)
    model = load(folder, weights="raw")

    def off(paths: Paths, *given: Any) -> torch.Tensor:
        found = arriving(paths, *given)
        return found + units * 3000 * torch.finfo(torch.float32).eps if isinstance(paths.runner, Cone) else found

    monkeypatch.setattr(Paths, "arriving", off)
    run, path = model.on(LOUD), parse("L0.H1@5 -> LOGITS", model.anatomy)
    patched(run, [path], Patching("clean", Held(mlps=False)))
    assert (model._loaded.answers.describe() == "cone") == is_rounding
