"""The bundled image model's card: `python -m circuitcheck.reference_models.bundled_images.card`."""

import argparse
from pathlib import Path

import numpy as np
from transformers import ViTForImageClassification

from circuitcheck.bundled import IMAGE_MODEL
from circuitcheck.model import Model, load
from circuitcheck.prompts.images.image_pairs import ImagePairs
from circuitcheck.prompts.slots import contrast
from circuitcheck.reference_models.bundled_images.drawing import LABELS, OUTLINES, SHADES, SIZE, fruit, kind_of
from circuitcheck.reference_models.bundled_images.train import Recipe, evaluate

_EXAMINED = 1_200
# Of 255, as the field counts them.
_STEPS_OF_EPS = (2, 4, 6, 12, 20)
_SHIFTED_BY, _SEEDS = (2, 4, 6, 12), (0, 1, 2)


def shape_pairs() -> ImagePairs:
    """Lemons, each with a banana of its shade."""
    shapes = contrast(clean=list(OUTLINES["round"]), corrupt=list(OUTLINES["long"])[:2])
    return ImagePairs(fruit, shape=shapes, shade=list(SHADES["yellow"]), answer="lemon", foil="banana")


def colour_pairs() -> ImagePairs:
    """Lemons, each with a tomato of its shape."""
    shades = contrast(clean=list(SHADES["yellow"]), corrupt=list(SHADES["red"])[:2])
    return ImagePairs(fruit, shape=list(OUTLINES["round"]), shade=shades, answer="lemon", foil="tomato")


def both_shapes() -> ImagePairs:
    """Lemons and bananas, of which a probe tells the shape."""
    return ImagePairs(
        fruit,
        shape=[shape for outlines in OUTLINES.values() for shape in outlines],
        shade=list(SHADES["yellow"])[::2],
        answer=lambda shape: "lemon" if _is_round(shape) else "banana",
        foil=lambda shape: "banana" if _is_round(shape) else "lemon",
    )


def _is_round(shape: str) -> bool:
    return kind_of(shape) == "round"


def _shifts(model: Model) -> list[str]:
    """Rows of the table of what a probe for the shape reads under attack, site by site: lowest to highest of the seeds."""
    pairs, rows = both_shapes(), []
    attacked = [[pairs.attacked(eps=eps / 255, random_start=True, seed=seed) for seed in _SEEDS] for eps in _SHIFTED_BY]
    noisy = [pairs.with_random_signs(eps=_SHIFTED_BY[-1] / 255, seed=seed) for seed in _SEEDS]
    streams = [f"L{layer}.RESID_POST@cls" for layer in range(model.anatomy.n_layers)]
    for site in ("EMBED@patch{1,1}", *streams):
        found = []
        for some in (*attacked, noisy):
            shifts = [model.on(one).probe(site, _is_round).shift.measure().estimate for one in some]
            low, high = (f"{shift:.2f}".replace("-0.00", "0.00") for shift in (min(shifts), max(shifts)))
            found.append(low if low == high else f"{low} to {high}")
        rows.append(f"| `{site}` | {' | '.join(found)} |")
        print(rows[-1], flush=True)
    return rows


def card(model: Model, parameters: int, accuracies: dict[str, float]) -> str:
    """The whole text."""
    both = {"shape (lemon, banana)": shape_pairs(), "colour (lemon, tomato)": colour_pairs()}
    where, attacks = [], []
    for name, pairs in both.items():
        shares = [
            model.on(pairs).patch(f"L{layer}.RESID_POST@cls").measure().estimate
            for layer in range(model.anatomy.n_layers)
        ]
        gap = model.on(pairs).gap.measure().estimate
        where.append(f"| {name} | {gap:.1f} | {' | '.join(f'{share:.2f}' for share in shares)} |")
        print(where[-1], flush=True)
        fooled = [_fooled(model, pairs.attacked(eps=eps / 255)) for eps in _STEPS_OF_EPS]
        attacks.append(f"| {name} | {' | '.join(f'{share:.0%}' for share in fooled)} |")
        print(attacks[-1], flush=True)
    return _TEXT.format(
        recipe=Recipe(),
        size=SIZE,
        parameters=parameters,
        fingerprint=model.fingerprint,
        examined=_EXAMINED,
        accuracies="\n".join(
            f"| {label} | {colour}, {kind} | {accuracies[label]:.1%} |" for (colour, kind), label in LABELS.items()
        ),
        layers=" | ".join(f"L{layer}" for layer in range(model.anatomy.n_layers)),
        rule="---|" * model.anatomy.n_layers,
        where="\n".join(where),
        eps=" | ".join(f"{eps}/255" for eps in _STEPS_OF_EPS),
        eps_rule="---|" * len(_STEPS_OF_EPS),
        attacks="\n".join(attacks),
        shifted_by=" | ".join(f"{eps}/255" for eps in _SHIFTED_BY),
        shifted_rule="---|" * (len(_SHIFTED_BY) + 1),
        farthest=_SHIFTED_BY[-1],
        shifts="\n".join(_shifts(model)),
    )


def _fooled(model: Model, pairs: ImagePairs) -> float:
    """The share of attacked pictures whose class is the foil."""
    found = [getattr(pair, "fooled", None) for pair in model.on(pairs)._setup.sample.pairs]
    return float(np.mean([bool(one) for one in found]))


_TEXT = """# The bundled image model

A ViT of {recipe.layers} layers, {recipe.heads} heads, d_model {recipe.width}, d_mlp {recipe.neurons} ({parameters:,} parameters), fingerprint
{fingerprint}, for pictures of {size} x {size} pixels in patches of {recipe.patch} x {recipe.patch}. Trained from scratch in {recipe.steps:,} steps on
pictures that `circuitcheck/reference_models/bundled_images/drawing.py` draws at random. Nothing is planted in it, and nothing makes it robust: all
below is what training happened to find.

Written by `python -m circuitcheck.reference_models.bundled_images.card`; `make bundled-image-model` trains again and writes it anew.

## Accuracy

Of {examined:,} random pictures that training never saw, the share whose top class is right.

| class | colour, shape | right |
|---|---|---|
{accuracies}

## Where it is decided

Share of the mean gap (in logits) that comes back when the class token's clean stream behind a layer is put into the corrupted run.

| what differs | gap | {layers} |
|---|---|{rule}
{where}

## Attacks

Share of pictures whose class an attack makes the foil: iterated FGSM on this model, 8 steps. Shape is easy to attack, colour is not.

| towards the foil of | {eps} |
|---|{eps_rule}
{attacks}

## What an attack does where

By how much the probability falls that a probe for the shape gives to a picture's own shape (`probe.shift`; PGD towards the other shape, 8 steps from a random
start, three seeds, lowest to highest), by site and eps. Each picture is read by a probe that was fitted to clean pictures of other shapes. Before the
first block hardly anything has moved, and random signs do nothing anywhere.

| site | {shifted_by} | random signs, {farthest}/255 |
|---|{shifted_rule}
{shifts}
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the bundled image model's card.")
    parser.add_argument("--model", type=Path, default=IMAGE_MODEL)
    folder: Path = parser.parse_args().model
    trained = ViTForImageClassification.from_pretrained(folder)
    text = card(load(folder), trained.num_parameters(), evaluate(trained, _EXAMINED))
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
