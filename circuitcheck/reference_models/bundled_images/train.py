"""Train the bundled image model from scratch: `python -m circuitcheck.reference_models.bundled_images.train [--out FOLDER] [--steps N]`.

A small ViT that tells six drawn fruits by colour and shape. It is trained on pictures that are drawn at random, nothing is planted in it,
and nothing makes it robust.
"""

import argparse
import json
import math
import pathlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

from circuitcheck.bundled import IMAGE_MODEL
from circuitcheck.reference_models.bundled_images.drawing import LABELS, SIZE, random_pictures

# What pixels are normalised by, as ViT's own image processor does it.
MEAN = STD = 0.5


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights."""

    seed: int = 1
    steps: int = 1600
    batch: int = 64
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.05
    layers: int = 6
    width: int = 64
    heads: int = 4
    neurons: int = 128
    patch: int = 8


def new_model(recipe: Recipe) -> ViTForImageClassification:
    """The model before training."""
    names = dict(enumerate(LABELS.values()))
    torch.manual_seed(recipe.seed)
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=recipe.neurons,
            image_size=SIZE,
            patch_size=recipe.patch,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            id2label=names,
            label2id={name: number for number, name in names.items()},
        )
    )


def normalised(pictures: np.ndarray) -> torch.Tensor:
    """Pictures [picture, row, column, colour] in [0, 1] as the model reads them, [picture, colour, row, column]."""
    return (torch.tensor(pictures, dtype=torch.float32).permute(0, 3, 1, 2) - MEAN) / STD


def fit(model: ViTForImageClassification, recipe: Recipe) -> None:
    """Train the model in place."""
    random, started = np.random.default_rng(recipe.seed), time.monotonic()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    model.train()
    for step in range(recipe.steps):
        pictures, labels = random_pictures(recipe.batch, random)
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
            group["lr"] = recipe.rate * min(1.0, (step + 1) / recipe.warmup) * cosine
        loss: Any = functional.cross_entropy(model(pixel_values=normalised(pictures)).logits, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 0 or step == recipe.steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.monotonic() - started:5.0f} s", flush=True)
    model.eval()


@torch.no_grad()
def evaluate(model: ViTForImageClassification, count: int = 600) -> dict[str, float]:
    """The share of new random pictures of each fruit that is told rightly."""
    pictures, labels = random_pictures(count, np.random.default_rng(10_000))
    right = model(pixel_values=normalised(pictures)).logits.argmax(-1).numpy() == labels
    return {name: float(right[labels == number].mean()) for number, name in enumerate(LABELS.values())}


def save(model: ViTForImageClassification, folder: pathlib.Path) -> None:
    """Write an ordinary Hugging Face folder, with what pixels are normalised by."""
    model.save_pretrained(folder)
    said = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIZE, "width": SIZE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(said, indent=2) + "\n")


def train(folder: pathlib.Path, recipe: Recipe) -> dict[str, float]:
    """Build, fit, save, and return the held-out accuracy of every fruit."""
    torch.set_num_threads(1)  # so that the same weights come out whatever the number of cores
    torch.use_deterministic_algorithms(True)
    model = new_model(recipe)
    fit(model, recipe)
    save(model, folder)
    shares = evaluate(model)
    for label, share in shares.items():
        print(f"{label:10s} {share:.3f}")
    return shares


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the bundled image model from scratch.")
    parser.add_argument("--out", type=pathlib.Path, default=IMAGE_MODEL)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    chosen = parser.parse_args()
    train(chosen.out, Recipe(steps=chosen.steps))


if __name__ == "__main__":
    main()
