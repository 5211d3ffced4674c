"""Direct attribution, logit lens and attention: against plain hooks, TransformerLens' own tools and closed forms."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis import direct_logit_attribution

from circuitcheck import AddressError, Circuit, ClaimRefuted, MethodError, Model, PromptPairs, contrast, load
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS
from tests import oracle
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each

Cache = dict[str, torch.Tensor]


SIDES: tuple[Side, ...] = ("clean", "corrupt")


def pairs_of(model: Model, pairs: PromptPairs) -> tuple[AlignedPair, ...]:
    return model.on(pairs)._setup.sample.pairs


def written(model: Model, site: str, cache: Cache) -> torch.Tensor:
    """What a component adds to the stream at the last token."""
    layer, _, part = site.partition(".")
    block, number = f"blocks.{layer[1:]}", int(layer[1:]) if part else 0
    if part.startswith("H"):
        index = int(part[1:])
        return cache[f"{block}.attn.hook_z"][0, -1, index] @ model.bridge.blocks[number].attn.W_O[index].detach()
    if part.startswith("N"):
        index = int(part[1:])
        return cache[f"{block}.mlp.out.hook_in"][0, -1, index] * model.bridge.blocks[number].mlp.W_out[index].detach()
    name = {"ATTN": f"{block}.hook_attn_out", "MLP": f"{block}.hook_mlp_out", "": "hook_embed"}[part]
    return cache[name][0, -1]


def read_by_hand(model: Model, pair: AlignedPair, site: str, side: str) -> float:
    """A write's part of the logit difference, by the norm's formula with the scale of the run."""
    there, norm = oracle.activations(model, pair.tokens(side)), model.bridge.ln_final
    write = written(model, site, there).double()
    if not norm.uses_rms_norm:
        write = write - write.mean()
    normed = write / there["ln_final.hook_scale"][0, -1].double() * norm.weight.detach().double()
    unembedding = model.bridge.W_U.detach().double()
    return float(normed @ (unembedding[:, pair.answer[0]] - unembedding[:, pair.foil[0]]))


@pytest.mark.parametrize("weights", ["processed", "raw"])
@pytest.mark.parametrize("site", each(["L1.N8", "L0.H2", "L1.MLP", "L2.ATTN", "EMBED"], ("L1.N8", "L0.H2")))
def test_direct_attribution_is_what_the_norms_formula_makes_of_a_write(
    bundled: Model, raw: Model, fruit: PromptPairs, weights: Any, site: str
) -> None:
    model = bundled if weights == "processed" else raw
    found = {
        side: [read_by_hand(model, pair, site, side) for pair in pairs_of(model, fruit)]
        for side in ("clean", "corrupt")
    }
    run = model.on(fruit)
    measured = run.direct(site).measure()
    assert (measured.unit, measured.exact, measured.n) == ("logits", True, 12)
    assert measured.per_pair == pytest.approx(np.array(found["clean"]), abs=1e-4)
    assert run.direct(site, side="corrupt").measure().estimate == pytest.approx(np.mean(found["corrupt"]), abs=1e-4)
    difference = np.mean(found["clean"]) - np.mean(found["corrupt"])
    assert run.direct(site).of_gap.measure().estimate == pytest.approx(difference / run._setup.gaps.mean(), abs=1e-5)
    assert run.direct(site).of_gap.raw.measure().estimate == pytest.approx(difference, abs=1e-4)
    clean = np.mean(
        [oracle.logit_difference(model, pair, oracle.run(model, pair.clean)) for pair in pairs_of(model, fruit)]
    )
    assert run.direct(site).of_clean.measure().estimate == pytest.approx(np.mean(found["clean"]) / clean, abs=1e-5)


@pytest.mark.parametrize("unit", ["component", "head"])
def test_it_is_what_transformer_lens_attributes(bundled: Model, fruit: PromptPairs, unit: str) -> None:
    """On processed weights, which TransformerLens' own tool needs."""
    names = {"component": {"1_mlp_out": "L1.MLP", "0_attn_out": "L0.ATTN", "embed": "EMBED"}}
    names["head"] = {f"L{layer}H{index}": f"L{layer}.H{index}" for layer in range(3) for index in range(4)}
    theirs: dict[str, list[float]] = {name: [] for name in names[unit]}
    for pair in pairs_of(bundled, fruit):
        found = direct_logit_attribution(
            bundled.bridge,
            torch.tensor([pair.clean]),
            answer_tokens=torch.tensor(pair.answer),
            incorrect_tokens=torch.tensor(pair.foil),
            unit=unit,
        )
        for label, value in zip(found.labels, found.attribution.flatten().tolist(), strict=True):
            if label in theirs:
                theirs[label].append(value)
    for label, site in names[unit].items():
        assert bundled.on(fruit).direct(site).measure().per_pair == pytest.approx(np.array(theirs[label]), abs=1e-4)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """Random models by their architectures, each loaded once."""
    return cache(lambda name: load(saved(tmp_path_factory.mktemp("small"), ARCHITECTURES[name], scale=0.2)))


@pytest.mark.parametrize("name", each(["Llama", "Qwen 3", "OLMo 2", "GPT-NeoX", "Phi", "Mixtral"], ("OLMo 2", "Phi")))
def test_all_writes_add_up_to_the_gap(small: Callable[[str], Model], fruit: PromptPairs, name: str) -> None:
    """Where nothing but the embedding and the sublayers writes, whatever the norms: grouped queries, gates, parallel blocks."""
    model = small(name)
    run = model.on(fruit)
    whole = run.direct("EMBED | L*.ATTN | L*.MLP").of_gap.raw.measure()
    assert whole.per_pair == pytest.approx(run._setup.gaps, abs=1e-3 * max(1.0, float(np.abs(run._setup.gaps).max())))
    assert np.abs(run._setup.gaps).max() > 0.05
    if name != "OLMo 2":
        heads = run.direct("L1.H*").of_gap.raw.measure().per_pair
        assert heads == pytest.approx(run.direct("L1.ATTN").of_gap.raw.measure().per_pair, abs=1e-4)


@pytest.mark.parametrize("site", ["L1.H0", "L1.N3"])
def test_behind_a_norm_no_part_writes_by_itself(small: Callable[[str], Model], fruit: PromptPairs, site: str) -> None:
    model = small("OLMo 2")
    whole = "L1.ATTN" if "H" in site else "L1.MLP"
    with pytest.raises(
        MethodError, match=f"what {whole} writes is not the sum of what its parts write .*attribute {whole}"
    ):
        model.on(fruit).direct(site).measure()


def test_under_a_soft_cap_logits_are_no_sum(small: Callable[[str], Model], fruit: PromptPairs) -> None:
    model = small("Gemma 2")
    with pytest.raises(MethodError, match="no linear function of its last stream after the final norm"):
        model.on(fruit).direct("L1.MLP").measure()


def stopped_before(model: Model, layer: int, tokens: tuple[int, ...], middle: bool = False) -> torch.Tensor:
    """The model's logits with nothing written from a layer on: what the lens reads, by plain hooks."""

    def nothing(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        return torch.zeros_like(activation)

    n_layers = model.anatomy.n_layers
    names = [f"blocks.{at}.hook_attn_out" for at in range(layer + middle, n_layers)]
    names += [f"blocks.{at}.hook_mlp_out" for at in range(layer, n_layers)]
    return oracle.run(model, tokens, [(name, nothing) for name in names])


@pytest.mark.parametrize(
    ("site", "layer", "middle"),
    [
        ("L0.RESID_PRE", 0, False),
        ("L1.RESID_MID", 1, True),
        ("L1.RESID_POST@end", 2, False),
        ("L2.RESID_POST", 3, False),
    ],
)
@pytest.mark.parametrize("which", each(["bundled", "raw", "stories"], ("raw",)))
def test_the_lens_reads_what_the_model_says_if_nothing_more_is_written(
    request: pytest.FixtureRequest,
    fruit: PromptPairs,
    named: PromptPairs,
    which: str,
    site: str,
    layer: int,
    middle: bool,
) -> None:
    model = request.getfixturevalue(which)
    pairs = named if which == "stories" else fruit
    readouts = {
        side: [
            oracle.logit_difference(model, pair, stopped_before(model, layer, pair.tokens(side), middle))
            for pair in pairs_of(model, pairs)
        ]
        for side in ("clean", "corrupt")
    }
    run = model.on(pairs)
    assert run.lens(site).measure().per_pair == pytest.approx(np.array(readouts["clean"]), abs=2e-4)
    assert run.lens(site, side="corrupt").measure().per_pair == pytest.approx(np.array(readouts["corrupt"]), abs=2e-4)
    difference = np.mean(readouts["clean"]) - np.mean(readouts["corrupt"])
    assert run.lens(site).of_gap.measure().estimate == pytest.approx(difference / run._setup.gaps.mean(), abs=1e-4)


@pytest.mark.parametrize("name", each(["Gemma 2", "OLMo 2", "Phi", "OPT"], ("Gemma 2",)))
def test_the_lens_sees_through_caps_and_norms_behind(
    small: Callable[[str], Model], fruit: PromptPairs, name: str
) -> None:
    model = small(name)
    for layer in (1, 2):
        plain = [
            oracle.logit_difference(model, pair, stopped_before(model, layer + 1, pair.clean))
            for pair in pairs_of(model, fruit)
        ]
        assert model.on(fruit).lens(f"L{layer}.RESID_POST").measure().per_pair == pytest.approx(
            np.array(plain), abs=1e-4
        )
    assert np.ptp(plain) > 0.01


def test_at_the_end_the_lens_reads_everything(stories: Model, named: PromptPairs) -> None:
    run = stories.on(named)
    for share in (run.lens("L4.RESID_POST").of_gap, run.lens("L4.RESID_POST").of_clean):
        assert share == pytest.approx(1, abs=1e-4)
    accuracy = stories.on(named, readout="accuracy").lens("L4.RESID_POST").measure()
    assert (accuracy.estimate, accuracy.unit) == (run.accuracy.measure().estimate, "accuracy")


@pytest.mark.parametrize("readout", ["accuracy", "probability", "log_probability", "rank", "kl"])
@pytest.mark.parametrize("side", ["clean", "corrupt"])
def test_at_the_end_the_lens_reads_what_the_run_is_read_by(
    bundled: Model, fruit: PromptPairs, readout: Any, side: Any
) -> None:
    run = bundled.on(fruit, readout=readout)
    base = bundled._loaded.answers.base(run._setup.sample, side, run._setup.readout).values
    assert run.lens("L2.RESID_POST", side=side)._estimand.shift_of(run._setup.described) == pytest.approx(
        base, abs=1e-4
    )


@pytest.mark.parametrize("kind", each(["H.PATTERN", "N", "RESID_POST"], ("N",)))
def test_what_a_cone_shows_wrongly_is_seen_in_plain_runs(
    fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    looks: dict[str, Callable[[Any], Any]] = {
        "H.PATTERN": lambda run: run.attention("L0.H2", source="{fruit}"),
        "N": lambda run: run.direct("L1.N8"),
        "RESID_POST": lambda run: run.lens("L0.RESID_POST"),
    }
    model = load("bundled")
    truth = looks[kind](model.on(fruit)).measure().estimate
    assert model._loaded.answers.describe() == "cone"
    plain = Cone.activation

    def wrong(self: Cone, chunk: Any, side: Any, layer: int, which: str, start: int) -> torch.Tensor:
        return plain(self, chunk, side, layer, which, start) * (0.9 if which == kind else 1)

    monkeypatch.setattr(Cone, "activation", wrong)
    broken = load("bundled")
    assert looks[kind](broken.on(fruit)).measure().estimate == pytest.approx(truth, abs=1e-4)
    assert broken._loaded.answers.describe().startswith("plain hooked runs")


def test_parts_add_up_and_a_circuit_is_their_sum(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    parts = [run.direct(site).measure().per_pair for site in ("L1.N8", "L0.H2")]
    assert run.direct(Circuit("L1.N8", head="L0.H2@end")).measure().per_pair == pytest.approx(sum(parts))
    heads = run.direct("L2.H*").of_gap.measure().estimate
    assert heads == pytest.approx(
        run.direct("L2.ATTN").of_gap.measure().estimate, abs=1e-3
    )  # but for the bias at two scales
    with pytest.raises(MethodError, match=r"L1.N8 is a part of L1.MLP, and would be counted twice"):
        run.direct("L1.N8 | L1.MLP")


def test_a_directly_read_neuron_is_compared_with_others(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    alone = {f"L1.N{n}": run.direct(f"L1.N{n}").of_gap.measure().estimate for n in range(48)}
    best = sorted(alone, key=lambda site: -alone[site])
    assert best[0] == "L1.N8"
    assert run.direct("L1.N8").of_gap.beats("L1.N*")
    assert run.direct(best[2]).of_gap.rank_within("L1.N*") == 3
    controls = run.direct("L1.N8").of_gap.measure().controls
    assert controls is not None
    assert controls.rank == 1
    assert controls.whole == pytest.approx(run.direct("L1.MLP").of_gap.measure().estimate, abs=1e-6)
    heads = {head: run.attention(head, source="{fruit}").measure().estimate for head in (f"L0.H{n}" for n in range(4))}
    best = sorted(heads, key=lambda site: -heads[site])
    assert run.attention(best[0], source="{fruit}").beats("L0.H*")
    assert run.attention(best[1], source="{fruit}").rank_within("L0.H*") == 2
    controls = run.attention(best[0], source="{fruit}").measure().controls
    assert controls is not None
    assert controls.highest == pytest.approx(heads[best[1]], abs=1e-6)
    assert controls.whole is None


def test_reading_is_lazy_and_says_what_it_read(anew: Callable[..., Model], bundled: Model, fruit: PromptPairs) -> None:
    model = anew()
    run = model.on(PromptPairs.from_rows([{"clean": [1, 2], "corrupt": [1, 3], "answer": 4, "foil": 5}]))
    assert repr(run.direct("L1.N8")).startswith("<effect: direct L1.N8, logits, on ")
    assert repr(run.lens("L1.RESID_POST").of_gap).startswith(
        "<effect: lens L1.RESID_POST (clean - corrupted run), of the gap"
    )
    assert vars(model._loaded.answers).get("_engine") is None  # nothing was run
    method = bundled.on(fruit).direct("L1.N8", side="corrupt").measure().method
    assert (method.direction, method.value, method.frozen, method.positions) == (
        "direct logit attribution",
        "corrupted run",
        "the final norm's scale",
        "@end",
    )
    with pytest.raises(ClaimRefuted) as caught:
        assert bundled.on(fruit).attention("L2.H2", source="{fruit}") > 0.9
    assert "  method   attention: from @end to @{fruit}, clean run; positions: @end" in str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda run: run.direct("L1.RESID_POST"), r"read it by lens\('L1.RESID_POST'\)"),
        (lambda run: run.direct("L1.N8@{fruit}"), "logits are read at the last token, and L1.N8@{fruit} is at another"),
        (lambda run: run.direct("L1.N8", side="left"), "the 'clean' or the 'corrupt' run, not 'left'"),
        (lambda run: run.direct("L1.N8", side="corrupt").of_clean, "has no unit 'of the clean readout', but 'logits'"),
        (lambda run: run.direct("L1.H0.Q"), "L1.H0.Q writes nothing into the stream by itself"),
        (lambda run: run.direct("L0.H0 -> L1.MLP"), "writes nothing into the stream by itself"),
        (lambda run: run.attention("L1.H0.PATTERN", source="{fruit}"), "is not one head"),
        (lambda run: run.attention("L0.H0 -> L1.H0", source="{fruit}"), "is not one head"),
        (lambda run: run.lens("L1.MLP"), "a lens reads one place of the stream, such as L0.RESID_POST, and not L1.MLP"),
        (lambda run: run.lens("L*.RESID_POST"), "a lens reads one place of the stream"),
        (lambda run: run.lens("L1.RESID_POST@-2"), "logits are read at the last token"),
        (lambda run: run.attention("L0.H[0,1]", source="{fruit}"), "is not one head: write one, such as L2.H0"),
        (lambda run: run.attention("L0.H0@end", source="{fruit}"), "names a position"),
        (lambda run: run.attention("L0.H0", source="*"), "all tokens together get all of a head's attention"),
        (lambda run: run.attention("L0.H0", source=3), "a position is text such as"),
        (
            lambda run: run.attention("L0.H0", source="{fruit}").of_gap,
            "has no unit 'of the gap', but 'of the attention'",
        ),
        (lambda run: run.attention("L0.H0", source="{fruit}") > 60, "lies between 0 and 1; 60 does not"),
        (lambda run: run.attention("L0.H0", source="@end", destination="{fruit}") > 0.5, "no head looks ahead"),
        (lambda run: run.attention("L0.H0", source="{fruit}").beats("L1.N*"), "compared with other heads'"),
        (lambda run: run.direct("L1.N8").across(values=["zero"]) > 1, "nothing is put in where a run is read"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_why(
    bundled: Model, fruit: PromptPairs, look: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises((MethodError, AddressError), match=words):
        look(bundled.on(fruit))


def test_the_log_odds_of_sets_and_other_readouts_are_no_sum(bundled: Model, fruit: PromptPairs) -> None:
    either = PromptPairs(
        "{a} {b}", a=["a", "the"], b=contrast(clean=["pear"], corrupt=["plum"]), answer=[" an", " the"], foil=" a"
    )
    with pytest.raises(MethodError, match="of one answer and one foil: the log-odds of sets are no sum of parts"):
        bundled.on(either).direct("L1.MLP").measure()
    with pytest.raises(
        MethodError, match="direct logit attribution is of the logit difference, and here the readout is accuracy"
    ):
        bundled.on(fruit, readout="accuracy").direct("L1.MLP")
    plain = [
        oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean)) for pair in pairs_of(bundled, either)
    ]
    assert bundled.on(either).lens("L2.RESID_POST").measure().per_pair == pytest.approx(np.array(plain), abs=1e-4)


def test_a_sweep_reads_by_layer(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    for verb, sites, one in (("lens", "L*.RESID_POST", run.lens), ("direct", "L*.H*", run.direct)):
        swept = run.sweep(sites, verb=verb)  # type: ignore[arg-type]
        alone = [one(str(site)).measure().estimate for site in swept.sites]  # type: ignore[operator]
        assert swept.values.flatten() == pytest.approx(np.array(alone), abs=1e-5)
    assert str(swept).splitlines()[0] == "12 effects of direct L*.H*, in logits (exact, n=12)"


def test_every_pair_can_be_searched(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    assert run.attention("L0.H2", source="{fruit}").each > 0.8
    with pytest.raises(ClaimRefuted, match="12 of 12 pairs tried"):
        assert run.direct("L1.N8").of_gap.each > 0.65


def test_no_gradient_leads_through_what_is_only_seen(bundled: Model) -> None:
    many = PromptPairs(
        "They sold the {other}. We looked for the {noun} and found",
        other=["window", "train", "airplane", "island", "spoon", "anchor"],
        noun=contrast(clean=AN_NOUNS[:40], corrupt=A_NOUNS[:24]),
        answer=" an",
        foil=" a",
    )
    with pytest.raises(MethodError, match=r"search this against\('coordinate'\)"):
        _ = bundled.on(many).attention("L0.H0", source="{noun}").each.against("gradient") > -0.0
