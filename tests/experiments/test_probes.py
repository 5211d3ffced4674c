"""Probes: against scikit-learn on plain hooks, on planted concepts, and where there is nothing to read."""

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformer_lens.tools.analysis.interchange import probe_basis

from circuitcheck import ClaimRefuted, MethodError, Model, ModelError, PromptError, PromptPairs, contrast
from circuitcheck.experiments.probing.concepts import task_of
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.types import Floats
from tests import oracle
from tests.conftest import first
from tests.linear_words import WIDTH, Channel, centred, linear_words

ONES, OTHERS = ([f"{kind}{number}" for number in range(24)] for kind in ("a", "b"))
NOUNS = PromptPairs(
    "see {other} and {noun} now",
    noun=contrast.pairs(list(zip(ONES, OTHERS, strict=True))),
    other=["e0", "e1", "e2"],
    answer=" yes",
    foil=" no",
)
CONCEPT = np.array([0.0] * 4 + [1, -1, 1, -1] + [0] * 8) / 2


def kind(fillers: Mapping[str, str]) -> str:
    return fillers["noun"][0]


def words(size: float, seed: int = 0) -> dict[str, Floats]:
    """Vectors that scatter about a concept along a direction."""
    chance = np.random.default_rng(seed)
    found = {word: centred(chance.normal(0, 1, WIDTH)) for word in ("e0", "e1", "e2")}
    for sign, nouns in ((1, ONES), (-1, OTHERS)):
        found |= {word: centred(chance.normal(0, 1, WIDTH)) + sign * size * CONCEPT for word in nouns}
    return found


@pytest.fixture(scope="module")
def planted() -> Model:
    """The nouns' kind stands along a direction, and is read along it at the last token."""
    return linear_words(words(6.0), [Channel(0, CONCEPT, 10.0)])


@pytest.fixture(scope="module")
def nothing() -> Model:
    """The nouns' vectors have nothing of their kind."""
    return linear_words(words(0.0), [Channel(0, CONCEPT, 10.0)])


FOUND = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    "He forgot the {other} but remembered the {noun}, so he brought",
    noun=contrast(
        clean=["onion", "umbrella", "elephant", "owl"],
        corrupt=["table", "lamp", "river", "dog", "horse", "book", "candle", "drum"],
    ),
    other=["window", "train", "airplane"],
    answer=" an",
    foil=" a",
)


def vowel(fillers: Mapping[str, str]) -> bool:
    return fillers["noun"][0] in "aeiou"


@pytest.mark.parametrize(
    ("site", "hook", "index"),
    first(
        2,
        [
            ("EMBED@{noun}", "hook_embed", (0, None)),
            ("L0.RESID_POST@end", "blocks.0.hook_resid_post", (0, -1)),
            ("L0.RESID_MID@{other}", "blocks.0.hook_resid_mid", (0, 4)),
            ("L2.H1@end", "blocks.2.attn.hook_z", (0, -1, 1)),
            ("L0.N[1,3,40]@end", "blocks.0.mlp.out.hook_in", (0, -1, [1, 3, 40])),
        ],
    ),
)
def test_it_is_what_scikit_learn_makes_of_plain_hooks(bundled: Model, site: str, hook: str, index: Any) -> None:
    """Classes of different size: the mean over nouns within each class, then over the classes."""
    run = bundled.on(FOUND)
    prompts: dict[tuple[int, ...], tuple[str, int]] = {}
    for pair in run._setup.sample.pairs:
        for side in (0, 1):
            noun = next(sides[side] for name, *sides in pair.pair.fillers if name == "noun")
            tokens = (pair.clean, pair.corrupt)[side]
            place = pair.positions(run._setup.sites(site)[0].position)[-1]
            prompts.setdefault(tokens, (noun, place))
    features = []
    for tokens, (_, place) in prompts.items():
        where = tuple(place if at is None or (n == 1 and at == 4) else at for n, at in enumerate(index))
        features.append(oracle.activations(bundled, tokens)[hook][where].double().numpy())
    nouns = [noun for noun, _ in prompts.values()]
    labels = np.array([noun[0] in "aeiou" for noun in nouns])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=10_000))
    groups = np.unique(nouns, return_inverse=True)[1]
    order = {noun: place for place, noun in enumerate(dict.fromkeys(nouns))}
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    table = np.array(features)
    read = cross_val_predict(pipeline, table, labels, groups=[order[noun] for noun in nouns], cv=folds)
    accuracy = {group: (read == labels)[groups == group].mean() for group in set(groups)}
    of_class = {group: labels[groups == group][0] for group in accuracy}
    expected = np.mean([np.mean([accuracy[g] for g in accuracy if of_class[g] == one]) for one in (True, False)])
    probe = run.probe(site, vowel)
    measured = probe.accuracy.measure()
    assert measured.estimate == pytest.approx(expected, abs=1e-9)
    right = dict(zip(prompts, read == labels, strict=True))
    pairs = [(float(right[pair.clean]) + float(right[pair.corrupt])) / 2 for pair in run._setup.sample.pairs]
    assert measured.per_pair == pytest.approx(np.array(pairs))
    fitted = pipeline.fit(table, labels)
    if site == "L0.RESID_MID@{other}":  # which comes before the noun
        with pytest.raises(MethodError, match="reads nothing, so that it has no direction"):
            _ = probe.direction
        return
    basis = probe_basis(torch.tensor(fitted[1].coef_ / fitted[0].scale_)).numpy()
    assert abs(basis[:, 0] @ probe.direction.basis[:, 0]) == pytest.approx(1, abs=1e-4)
    ahead = table[labels].mean(0) - table[~labels].mean(0)
    assert ahead @ probe.direction.basis[:, 0] > 0


def test_a_planted_concept_is_read_and_its_direction_found(planted: Model) -> None:
    """Of nouns that the probe has not seen; and what is patched along its direction is what the vectors say."""
    probe = planted.on(NOUNS.split("discover")).probe("EMBED@{noun}", kind)
    assert probe.accuracy > 0.8
    measured = planted.on(NOUNS).probe("EMBED@{noun}", kind).accuracy.measure()
    assert measured.estimate > 0.98
    assert measured.low is not None
    assert measured.low > 0.85
    assert (measured.high, measured.exact) == (1, False)
    assert measured.population == "72 pairs, as of new fillers of {noun}"
    assert planted.on(NOUNS).probe("EMBED@{noun}", kind).beats_controls()
    assert abs(planted.on(NOUNS).probe("EMBED@{noun}", kind).direction.basis[:, 0] @ CONCEPT) > 0.9
    assert planted.on(NOUNS).mean_difference("EMBED@{noun}").basis[:, 0] @ CONCEPT > 0.98
    along = planted.on(NOUNS.split("confirm")).patch("EMBED@{noun}", along=probe.direction).measure()
    d, vectors = probe.direction.basis[:, 0], words(6.0)
    deltas = np.array(
        [
            vectors[clean] - vectors[corrupt]
            for pair in along.pairs
            for name, clean, corrupt in pair.pair.fillers
            if name == "noun"
        ]
    )
    assert along.estimate == pytest.approx((deltas @ d).sum() * (d @ CONCEPT) / (deltas @ CONCEPT).sum(), abs=1e-4)


def arbitrary(seed: int) -> Callable[[Mapping[str, str]], int]:
    """A concept that is none: half of the nouns, drawn at random."""
    chance = random.Random(seed)
    half = set(chance.sample(ONES + OTHERS, len(ONES)))
    return lambda fillers: int(fillers["noun"] in half)


@pytest.mark.slow
def test_arbitrary_labels_are_not_read(nothing: Model) -> None:
    """Of 60 labellings at most a few are decided to be read above chance, and of 8 at most one to beat controls."""
    run = nothing.on(NOUNS)
    estimates, passed = [], 0
    for seed in range(60):
        evidence = run.probe("EMBED@{noun}", arbitrary(seed)).evidence()
        estimates.append(evidence.estimate)
        passed += evidence.above(0.5)
    assert np.mean(estimates) == pytest.approx(0.5, abs=0.03)
    assert passed <= 4
    decisions = [run.probe("EMBED@{noun}", arbitrary(seed)).beats_controls().decision for seed in range(8)]
    assert decisions.count("supported") <= 1
    assert decisions.count("refuted") <= 1


@pytest.mark.slow
@pytest.mark.parametrize("site", ["EMBED@{noun}", "L0.H0@end"])
def test_nouns_that_were_learnt_by_heart_are_not_read(site: str) -> None:
    """A probe whose folds share nouns reads arbitrary labels almost always; ours does not, at the noun or behind it."""
    few = PromptPairs(
        "see {other} and {noun} now",
        noun=contrast.pairs(list(zip(ONES[:4], OTHERS[:4], strict=True))),
        other=["e0", "e1", "e2"],
        answer=" yes",
        foil=" no",
    )
    nouns = ONES[:4] + OTHERS[:4]
    model = linear_words(words(0.0), [Channel(0, row, 1.0) for row in np.eye(WIDTH)[:8]])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=100, max_iter=10_000))
    ours, by_heart = [], []
    for seed in range(12):
        half = set(random.Random(seed).sample(nouns, 4))
        probe = model.on(few).probe(site, lambda fillers, half=half: fillers["noun"] in half)
        features, labels = probe.features(model._loaded), probe.task.labels
        read = cross_val_predict(pipeline, features, labels, cv=KFold(6, shuffle=True, random_state=0))
        by_heart.append((read == labels).mean())
        ours.append(probe.accuracy.measure().estimate)
    assert np.mean(by_heart) > 0.9
    assert np.mean(ours) < 0.6


@pytest.mark.slow
def test_what_any_model_has_does_not_beat_controls(planted: Model) -> None:
    """Which noun it is can be read wherever it was seen before, of any labelling and in any model."""
    pairs = PromptPairs(
        "see {other} and {noun} now",
        noun=contrast.pairs([("a0", "b0"), ("a1", "b1"), ("a2", "b2")]),
        other=[f"a{number}" for number in range(10, 20)],
        answer=" yes",
        foil=" no",
    )
    probe = planted.on(pairs, generalise="other").probe("EMBED@{noun}", "noun")
    assert probe.accuracy.measure().estimate == pytest.approx(1)
    with pytest.raises(ClaimRefuted, match="among 42 controls == 1: it is 43") as refused:
        assert probe.beats_controls()
    for text in ((probe.accuracy > 0.5).explain(), str(refused.value)):
        assert "chance 0.167; 10 fillers of {other} were given" in text
        assert "labels given at random are read nearly as well" in text
        assert "a model that was never trained has it too" in text


def test_a_multi_class_direction_spans_the_classes(planted: Model) -> None:
    probe = planted.on(NOUNS).probe("EMBED@{noun}", lambda f: int(f["noun"][1:]) % 3)
    assert probe.direction.basis.shape == (WIDTH, 2)
    assert probe.direction.basis.T @ probe.direction.basis == pytest.approx(np.eye(2), abs=1e-5)
    assert "rank 2" in str(probe.direction)
    assert "a function of {noun}: 0 (16), 1 (16), 2 (16)" in probe.method.value


def test_the_side_is_a_concept(bundled: Model) -> None:
    """Clean against corrupted is vowel against consonant here."""
    by_side = bundled.on(FOUND).probe("L0.RESID_POST@end", "side")
    by_letter = bundled.on(FOUND).probe("L0.RESID_POST@end", vowel)
    assert by_side.accuracy.measure().estimate == by_letter.accuracy.measure().estimate
    assert by_side.direction.basis == pytest.approx(by_letter.direction.basis, abs=1e-6)
    assert by_side.task.classes == ("corrupt", "clean")


def test_one_probe_is_compared_with_another(planted: Model) -> None:
    run = planted.on(NOUNS)
    assert run.probe("EMBED@{noun}", kind).accuracy > run.probe("EMBED@{other}", kind).accuracy


@pytest.mark.parametrize(
    ("concept", "generalise", "message"),
    [
        (lambda f: True, "", "looks at no slot"),
        (lambda f: True, "noun", "is True of every prompt"),
        (lambda f: f["nuon"], "", "asks for the slot 'nuon', which is not given (given: other, noun)"),
        (lambda f: f["noun"] < f["other"], "", "looks at {noun} and {other}: say of what"),
        ("noun", "", "each filler of {noun} is a class of its own"),
        ("nuon", "", "'nuon' is no slot and no column of these prompts; they have other, noun"),
        (3, "", "a concept is a slot's name"),
        (kind, "other", "3 are too few to make it: it takes at least 6"),
        (kind, "template", "new templates, and 1 are too few"),
        (kind, "nuon", "generalise='nuon' is no slot"),
        (lambda f: f["noun"] == "a0", "", "True for one of the fillers of {noun} alone, 'a0'"),
        ("other", "noun", None),
    ],
)
def test_what_cannot_be_asked_is_said(planted: Model, concept: Any, generalise: str, message: str | None) -> None:
    import re

    probe = planted.on(NOUNS, generalise=generalise).probe("EMBED@{noun}", concept)
    if message is None:
        assert probe.accuracy.measure().estimate == pytest.approx(1 / 3, abs=0.1)
        return
    with pytest.raises((MethodError, PromptError), match=re.escape(message)):
        probe.accuracy.measure()


def test_a_prompt_has_one_class() -> None:
    model = linear_words(words(0.0), [])
    either = PromptPairs(
        "see {noun} now",
        noun=contrast.pairs([couple for n in range(4) for couple in ((f"a{n}", f"b{n}"), (f"b{n}", f"a{n}"))]),
        answer=" yes",
        foil=" no",
    )
    with pytest.raises(
        MethodError, match="'see [ab]\\d now' is '(clean|corrupt)' in one pair and '(clean|corrupt)' in an"
    ):
        model.on(either).probe("EMBED@{noun}", "side").accuracy.measure()
    assert len(task_of(model.on(either)._setup.sample.pairs, kind, "", either.description.algorithm).sources) == 8
    rows = PromptPairs.from_rows([{"clean": "see a0", "corrupt": "see b0", "answer": " yes", "foil": " no"}])
    with pytest.raises(MethodError, match="these prompts have no slots"):
        model.on(rows).probe("L0.RESID_POST@end", "side").accuracy.measure()


def test_it_is_of_all_prompts_together(planted: Model) -> None:
    probe = planted.on(NOUNS).probe("EMBED@{noun}", kind)
    with pytest.raises(MethodError, match="of single pairs there is nothing to claim"):
        assert probe.accuracy.each > 0.5
    with pytest.raises(MethodError, match="not a share of anything"):
        _ = probe.accuracy.of_gap
    with pytest.raises(MethodError, match="lies between 0 and 1"):
        assert probe.accuracy > 90
    with pytest.raises(MethodError, match="one token of each prompt"):
        planted.on(NOUNS).probe("L0.RESID_POST", kind)
    assert "probe at EMBED@{noun}" in repr(probe)


def test_without_scikit_learn_it_says_what_to_install(planted: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MethodError, match=r"pip install 'circuitcheck\[probes\]'"):
        planted.on(NOUNS).probe("EMBED@{noun}", kind).accuracy.measure()


def test_wrong_recordings_are_caught(planted: Model) -> None:
    """What is only looked at is compared with what a plain run has there, too."""
    model = linear_words(words(6.0), [Channel(0, CONCEPT, 10.0)])
    cone = model._loaded.answers.engine.trust.cone
    assert cone is not None
    activation = cone.activation
    cone.activation = lambda *where: activation(*where) * 1.1  # type: ignore[method-assign]
    found, right = (one.on(NOUNS).probe("L0.H0@end", kind).features(one._loaded) for one in (model, planted))
    assert found == pytest.approx(right, abs=1e-4)
    assert "what was recorded at blocks.0.attn.hook_z is not" in model._loaded.answers.describe()


def test_of_several_tokens_the_last_is_read(planted: Model) -> None:
    pairs = PromptPairs(
        "see {noun} now",
        noun=contrast.pairs([(f"e0 {one}", f"e1 {other}") for one, other in zip(ONES, OTHERS, strict=True)]),
        answer=" yes",
        foil=" no",
    )
    probe = planted.on(pairs).probe("EMBED@{noun}", lambda f: f["noun"].split()[1][0])
    fillers = [planted.on(pairs)._setup.sample.pairs[row].pair.fillers[0] for row, _ in probe.task.sources]
    read = [
        words(6.0)[(clean if side == "clean" else corrupt).split()[1]]
        for (_, clean, corrupt), (_, side) in zip(fillers, probe.task.sources, strict=True)
    ]
    assert probe.features(planted._loaded) == pytest.approx(np.array(read), abs=1e-5)


def test_controls_can_be_left_out_and_may_not_be_there(
    planted: Model, bundled: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(model: LoadedModel, seed: int) -> LoadedModel:
        raise ModelError("none here")

    monkeypatch.setattr("circuitcheck.claims.probes.untrained", cannot)
    probe = planted.on(NOUNS).probe("EMBED@{noun}", kind)
    text = (probe.accuracy > 0.5).explain()
    assert "no model with random weights: none here" in text
    assert "random weights: median" not in text
    verdict = probe.beats_controls()
    assert verdict
    assert "among 39 controls" in verdict.claim
    assert "no model with random weights: none here" in verdict.explain()
