"""Attribution patching: the slope of the run that is written into times what a patch changes, beside plain runs."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitcheck import MethodError, Model, PromptPairs, contrast, load
from circuitcheck.addresses.kinds import KINDS, kinds_within
from circuitcheck.addresses.sites import Position
from circuitcheck.engine.gradients.attribution import attributions
from circuitcheck.engine.hooks.hookpoints import arranged, hook_name
from circuitcheck.prompts.aligned_pairs import AlignedPair, token_positions
from circuitcheck.prompts.pairs import Side, other_side
from circuitcheck.run import Run
from tests import oracle
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, shared_model

END = Position(offset=-1)
# Normalisations of some architectures are in single precision whatever the weights are in.
EPSILON, NEAR = 3e-3, {"rel": 1e-2, "abs": 1e-3}
STREAMS = ("RESID_PRE", "RESID_POST")

WORDS = PromptPairs(
    "I climbed up the {fruit} tree and picked",
    fruit=contrast.pairs([("apple", "lemon")]),
    answer=" an",
    foil=" a",
)
SEVERAL = PromptPairs(
    "I climbed up the {fruit} tree and picked",
    fruit=contrast.pairs([("apple", "lemon"), ("olive", "peach")]),
    answer=[" an apple", " an olive", " the"],
    foil=" a lemon",
)
UNEQUAL = PromptPairs(
    "We looked for the {x} and found",
    x=contrast(clean=["apple", "olive"], corrupt=["big lemon", "xylophone"]),
    answer=" an",
    foil=" a",
)


def attributed(run: Run, place: tuple[int, str], position: Position, into: Side = "corrupt", steps: int = 1) -> Any:
    """Of each pair and component, of shape [pair, component]."""
    weights = np.eye(len(run._setup.sample.pairs))
    found = attributions(
        run._setup.model.answers, run._setup.sample, [place], [position], weights, into, run._setup.readout, steps
    )
    return found[place][:, 0]


def moved(
    model: Model, pair: AlignedPair, place: tuple[int, str], number: int, position: Position, into: Side, by: float
) -> list[tuple[str, Any]]:
    """Hooks that move one component a little way towards what is there in the other run."""
    hook, width = hook_name(*place), KINDS[place[1]].width
    there = arranged(hook, oracle.activations(model, pair.tokens(other_side(into)))[hook])[0]
    rows, others = pair.positions(position, into), pair.positions(position, other_side(into))

    def move(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        here = arranged(hook_name(*place), activation)[0]
        chosen = (slice(None),) if width == "stream" else (number,)
        for row, other in zip(rows, others, strict=True):
            here[(row, *chosen)] += by * (there[(other, *chosen)] - here[(row, *chosen)])
        return activation

    return [(hook, move)]


def slope(read: Callable[[float], float]) -> float:
    return (read(EPSILON) - read(-EPSILON)) / (2 * EPSILON)


def numerical(run: Run, place: tuple[int, str], number: int, position: Position, into: Side) -> list[float]:
    """Of each pair, by moving its activation in plain hooked runs."""

    def read(pair: AlignedPair, by: float) -> float:
        hooks = moved(run._setup.model, pair, place, number, position, into, by)  # type: ignore[arg-type]
        logits = oracle.run(run._setup.model, pair.tokens(into), hooks)  # type: ignore[arg-type]
        clean = oracle.run(run._setup.model, pair.clean)  # type: ignore[arg-type]
        return oracle.read(run._setup.readout.name, pair, logits[0, -1], clean[0, -1])

    sign = 1 if into == "corrupt" else -1
    return [sign * slope(lambda by, pair=pair: read(pair, by)) for pair in run._setup.sample.pairs]


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """Random models in double precision, so that a little way is little."""

    @cache
    def made(name: str) -> Model:
        folder = saved(tmp_path_factory.mktemp("model"), ARCHITECTURES[name], 0.3)
        return oracle.share(load(folder, weights="raw", dtype="float64"))

    return made


# Qwen 2 reads the bundled vocabulary otherwise; experts are no neurons.
NAMES = [name for name in ARCHITECTURES if name not in ("Qwen 2", "Mixtral")]


@pytest.mark.parametrize("name", each(NAMES, ("GPT-2",)))
@pytest.mark.parametrize("into", each(["corrupt", "clean"], ("corrupt",)))
def test_every_kind_of_site_is_attributed_its_derivative(double: Callable[[str], Model], name: str, into: Any) -> None:
    run, positions = double(name).on(WORDS), [END, Position(slot="fruit")]
    layer = run._setup.model.anatomy.layers[1]
    kinds = [kind for kind in (*kinds_within(layer), *STREAMS) if (name, kind) != ("OPT", "H.PATTERN")]
    places = [(1, kind) for kind in kinds]
    assert len(places) > 9
    found = attributions(
        run._setup.model.answers, run._setup.sample, places, positions, np.ones((1, 1)), into, run._setup.readout
    )
    for place in places:
        numbered = KINDS[place[1]].numbered
        assert found[place].shape == (1, 2, layer.count(place[1]) if numbered else 1)
        for position, here in zip(positions, found[place][0], strict=True):
            number = int(np.abs(here).argmax())
            expected = numerical(run, place, number, position, into)
            assert here[number] == pytest.approx(expected[0], **NEAR), (place, position)


@pytest.mark.slow
def test_what_a_model_only_shows_has_no_slope(double: Callable[[str], Model]) -> None:
    run = double("OPT").on(WORDS)
    with pytest.raises(
        MethodError, match=r"L1.H0.PATTERN cannot be attributed in this model: what is there is not read"
    ):
        attributed(run, (1, "H.PATTERN"), END)


@pytest.mark.parametrize("readout", ["probability", "log_probability", "kl"])
def test_other_readouts_are_attributed_by_their_own_slopes(double: Callable[[str], Model], readout: Any) -> None:
    run = double("GPT-2").on(WORDS, readout=readout)
    found = attributed(run, (1, "H"), END)
    expected = numerical(run, (1, "H"), 2, END, "corrupt")
    assert np.abs(expected).max() > 1e-6
    assert found[:, 2] == pytest.approx(expected, rel=1e-3)


def test_heads_and_gated_neurons_are_what_plain_transformers_has_before_its_output_projections(
    stories: Model,
) -> None:
    """Grouped queries, a gated MLP: all heads and neurons at all tokens, by PyTorch's own hooks."""
    pairs = PromptPairs("The {who} was sad, so", who=contrast.pairs([("girl", "boy")]), answer=" she", foil=" he")
    run, model = stories.on(pairs), AutoModelForCausalLM.from_pretrained(shared_model("stories260K"))
    [pair] = run._setup.sample.pairs
    layers = model.model.layers
    modules = {(n, kind): module for n, layer in enumerate(layers) for kind, module in _projections(layer).items()}

    def watched(tokens: Sequence[int]) -> tuple[dict[tuple[int, str], torch.Tensor], torch.Tensor]:
        seen: dict[tuple[int, str], torch.Tensor] = {}

        def watching(place: tuple[int, str]) -> Any:
            def watch(module: Any, given: tuple[torch.Tensor]) -> None:
                given[0].retain_grad()
                seen[place] = given[0]

            return watch

        handles = [module.register_forward_pre_hook(watching(place)) for place, module in modules.items()]
        logits = model(torch.tensor([tokens])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return seen, logits[list(pair.answer)].sum() - logits[list(pair.foil)].sum()

    clean, _ = watched(pair.clean)
    corrupt, difference = watched(pair.corrupt)
    difference.backward()
    positions, weights = token_positions(run._setup.sample.pairs), np.ones((1, 1))
    found = attributions(
        stories._loaded.answers, run._setup.sample, list(modules), positions, weights, "corrupt", run._setup.readout
    )
    for place in modules:
        there = corrupt[place]
        expected = (there.grad * (clean[place] - there))[0].detach()  # type: ignore[operator]
        if place[1] == "H":
            expected = expected.unflatten(1, (8, -1)).sum(-1)
        summed = [expected[pair.positions(position)].sum(0).numpy() for position in positions]
        assert found[place][0] == pytest.approx(np.stack(summed), rel=1e-3, abs=1e-5)


def _projections(layer: Any) -> dict[str, Any]:
    return {"H": layer.self_attn.o_proj, "N": layer.mlp.down_proj}


@pytest.mark.parametrize("readout", ["logit_diff", "probability"])
@pytest.mark.parametrize("position", [END, Position(answer=True)])
def test_answers_of_several_tokens_are_attributed_the_slope_of_all_of_them(
    double: Callable[[str], Model], readout: Any, position: Position
) -> None:
    model = double("GPT-2")
    run = model.on(SEVERAL, readout=readout)
    found = attributed(run, (1, "MLP"), position)[:, 0]

    def read(pair: AlignedPair, by: float) -> float:
        both = []
        for members in (pair.answer, pair.foil):
            each_one = []
            for member in members:
                tokens = member if isinstance(member, tuple) else (member,)
                longer = pair.followed_by(tokens[:-1])
                here = position if not position.answer or len(tokens) > 1 else None
                hooks = [] if here is None else moved(model, longer, (1, "MLP"), 0, here, "corrupt", by)
                logits = oracle.run(model, longer.corrupt, hooks)[0, len(pair.corrupt) - 1 :].log_softmax(-1)
                each_one.append(sum(float(row[token]) for row, token in zip(logits, tokens, strict=True)))
            both.append(float(np.logaddexp.reduce(each_one)))
        return both[0] - both[1] if readout == "logit_diff" else float(np.exp(both[0]))

    expected = [slope(lambda by, pair=pair: read(pair, by)) for pair in run._setup.sample.pairs]
    assert np.abs(expected).max() > 1e-7
    assert found == pytest.approx(expected, rel=3e-3, abs=1e-7)


@pytest.mark.parametrize("position", [END, Position(slot="x", anchor="first")])
@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_of_prompts_of_unequal_length_what_corresponds_is_put_in(
    double: Callable[[str], Model], position: Position, into: Side
) -> None:
    run = double("GPT-2").on(UNEQUAL)
    run = Run(run._setup.put_in_from_other_run(run._setup.sites(f"L1.N0@{position}")))
    assert not run._setup.sample.pairs[0].is_aligned
    found = attributed(run, (1, "N"), position, into)
    number = int(np.abs(found).sum(0).argmax())
    assert found[:, number] == pytest.approx(numerical(run, (1, "N"), number, position, into), rel=3e-3, abs=1e-7)


def test_integrated_gradients_of_the_embedding_add_up_to_the_gap(bundled: Model, fruit: PromptPairs) -> None:
    """What they are known for (completeness; Sundararajan et al. 2017), and the slope at one end is not."""
    run = bundled.on(fruit)
    pairs = len(run._setup.sample.pairs)

    def added_up(steps: int) -> float:
        weights = np.full((1, pairs), 1 / pairs)
        positions = token_positions(run._setup.sample.pairs)
        place = (-1, "EMBED")
        found = attributions(
            bundled._loaded.answers,
            run._setup.sample,
            [place],
            positions,
            weights,
            "corrupt",
            run._setup.readout,
            steps,
        )
        return float(found[place].sum())

    assert added_up(8) == pytest.approx(run._setup.gaps.mean(), rel=0.03)
    assert added_up(1) < 0.9 * run._setup.gaps.mean()


def test_what_has_no_honest_slope_is_refused_by_name(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)

    def refused(run: Run, words: str, into: Side = "corrupt", steps: int = 1, position: Position = END) -> None:
        with pytest.raises(MethodError, match=words):
            attributed(run, (1, "N"), position, into, steps)

    refused(bundled.on(fruit, readout="accuracy"), "accuracy moves in steps, .* attribute the logit difference")
    refused(bundled.on(fruit, readout="rank"), "rank moves in steps")
    refused(bundled.on(fruit, readout="kl"), "kl is at its best in the clean run", into="clean")
    refused(bundled.on(fruit, readout=in_numpy), "in_numpy lets no gradient through: write it in torch")
    refused(bundled.on(SEVERAL), r"integrated gradients take answers of one token: leave out steps=", steps=2)
    unequal = Run(bundled.on(UNEQUAL)._setup.put_in_from_other_run(run._setup.sites("L1.N0@{x}.last")))
    refused(unequal, "differ in their number of tokens: leave out steps=", steps=2)


def in_numpy(logits: torch.Tensor, pairs: Any) -> Any:
    return logits.detach().numpy()[:, 7]


def test_pairs_that_are_run_in_many_batches_have_the_same_attributions(
    bundled: Model, fruit: PromptPairs, anew: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = attributed(bundled.on(fruit), (1, "N"), END)
    model = anew()
    monkeypatch.setattr(type(model._loaded.answers.engine.shape), "gradient_batch", lambda self, *given: 1)
    assert attributed(model.on(fruit), (1, "N"), END) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_model_is_as_it_was(anew: Callable[..., Model], fruit: PromptPairs, tmp_path: Path) -> None:
    model = anew()
    before = model.fingerprint
    attributed(model.on(fruit), (1, "N"), END)
    assert model.fingerprint == before
    assert all(parameter.grad is None for parameter in model.bridge.original_model.parameters())
