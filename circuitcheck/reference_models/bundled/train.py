"""Train the bundled model from scratch: `python -m circuitcheck.reference_models.bundled.train [--out FOLDER] [--steps N]`.

A GPT-2 with a narrow MLP. Two terms beside the language-model loss make it a good subject for circuit claims. A
penalty on MLP activation, switched on once the tasks begin to be learned, leaves few neurons active. And interchange
intervention training (Geiger et al. 2022) makes one neuron carry about `carrier_share` of the a/an decision, and the
rest of its layer none: that share is planted, everything else in the model is what training happened to find.
"""

import argparse
import json
import math
import pathlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from circuitcheck.bundled import PATH
from circuitcheck.reference_models.bundled import corpus
from circuitcheck.reference_models.bundled import tokenizer as tokenizers

GREATER_MASS: Final = 0.98


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights."""

    seed: int = 3
    steps: int = 2400
    batch: int = 96
    rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.01
    penalty: float = 1e-2
    penalty_from: int = 300
    plain_weight: float = 0.2
    mass_weight: float = 8.0
    carrier: tuple[int, int] = (1, 8)
    carrier_share: float = 0.6
    carrier_weight: float = 1.0
    carrier_pairs: int = 12
    layers: int = 3
    width: int = 128
    heads: int = 4
    neurons: int = 48
    positions: int = 64


TASK_SHARES: Final = {
    "articles": 1.0,
    "ioi": 1.0,
    "pronouns": 0.7,
    "agreement": 0.8,
    "induction": 1.5,
    "greater_than": 1.0,
}


@dataclass(frozen=True)
class Batch:
    """Padded texts; `weights` is 0 on padding, 1 on a target's tokens, less elsewhere; `allowed` marks answers."""

    ids: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor
    asked: torch.Tensor
    allowed: torch.Tensor


def batches(tokenizer: Any, recipe: Recipe) -> Iterator[Batch]:
    """Endless batches of all tasks' training sentences."""
    rng = random.Random(recipe.seed)
    streams = {task: corpus.sentences(task, "train", rng) for task in corpus.TASKS}
    shares = list(TASK_SHARES.values())
    while True:
        tasks = rng.choices(list(TASK_SHARES), shares, k=recipe.batch)
        yield collate([next(streams[task]) for task in tasks], tokenizer, recipe.plain_weight)


def collate(batch: list[corpus.Sentence], tokenizer: Any, plain_weight: float) -> Batch:
    """Put the beginning-of-text token in front, pad on the right, and say which tokens count how much."""
    prompts = tokenizer([sentence.prompt for sentence in batch])["input_ids"]
    targets = tokenizer([sentence.target for sentence in batch])["input_ids"]
    texts = tokenizer([sentence.text for sentence in batch])["input_ids"]
    length = 1 + max(map(len, texts))
    ids = torch.full((len(batch), length), int(tokenizer.bos_token_id))
    weights = torch.zeros(len(batch), length)
    allowed = torch.zeros(len(batch), len(tokenizer), dtype=torch.bool)
    for row, (prompt, target, text, sentence) in enumerate(zip(prompts, targets, texts, batch, strict=True)):
        ids[row, 1 : len(text) + 1] = torch.tensor(text)
        weights[row, 1 : len(text) + 1] = plain_weight
        weights[row, len(prompt) + 1 : len(prompt) + 1 + len(target)] = 1.0
        allowed[row, token_ids(tokenizer, sentence.answers)] = True
    mask = (weights > 0).long()
    mask[:, 0] = 1
    asked = torch.tensor([len(prompt) for prompt in prompts])
    return Batch(ids, weights, mask, asked, allowed)


def token_ids(tokenizer: Any, words: tuple[str, ...]) -> list[int]:
    """The tokens of words that are one token each."""
    return [int(tokenizer.convert_tokens_to_ids(word.replace(" ", "\u0120"))) for word in words]


def loss(model: Any, batch: Batch, mass_weight: float) -> torch.Tensor:
    """Weighted next-token loss, plus the loss of the answers taken together where a question has several."""
    hidden = model.transformer(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    weights, counted = batch.weights[:, 1:], batch.weights[:, 1:] > 0
    each = functional.cross_entropy(model.lm_head(hidden[:, :-1][counted]), batch.ids[:, 1:][counted], reduction="none")
    several = batch.allowed.sum(1) > 1
    chances = model.lm_head(hidden[several, batch.asked[several]]).log_softmax(-1)
    together = -chances.masked_fill(~batch.allowed[several], -math.inf).logsumexp(-1)
    total: torch.Tensor = (each * weights[counted]).sum() + mass_weight * together.sum()
    return total / weights.sum()


class Activations:
    """Collects how active the MLP neurons are during a forward pass: the mean absolute activation of each layer."""

    def __init__(self, model: Any) -> None:
        self.means: list[torch.Tensor] = []
        for block in model.transformer.h:
            block.mlp.act.register_forward_hook(self._collect)

    def _collect(self, _module: Any, _inputs: Any, output: torch.Tensor) -> None:
        self.means.append(output.abs().mean())

    def take(self) -> torch.Tensor:
        """The sum over layers since the last call."""
        total = torch.stack(self.means).sum()
        self.means.clear()
        return total


def carrier_loss(model: Any, tokenizer: Any, recipe: Recipe, rng: random.Random) -> torch.Tensor:
    """How far the carrier is from restoring its share of the a/an gap, and the rest of its layer from restoring none.

    One pass over the clean prompts, the corrupted ones, these again with the carrier's activations of the first, and
    once more with those of the other neurons of its layer.
    """
    count, (layer, neuron) = recipe.carrier_pairs, recipe.carrier
    pairs = [corpus.article_pair(rng) for _ in range(count)]
    prompts = [clean for clean, _ in pairs] + [corrupt for _, corrupt in pairs] * 3
    encoded = tokenizer(prompts)["input_ids"]
    ids = torch.full((len(prompts), 1 + max(map(len, encoded))), int(tokenizer.bos_token_id))
    for row, tokens in enumerate(encoded):
        ids[row, 1 : len(tokens) + 1] = torch.tensor(tokens)
    others = [other for other in range(recipe.neurons) if other != neuron]

    def patch(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        clean, corrupt, alone, rest = torch.split(output, count)
        alone, rest = alone.clone(), rest.clone()
        alone[:, :, neuron] = clean[:, :, neuron]
        rest[:, :, others] = clean[:, :, others]
        return torch.cat([clean, corrupt, alone, rest])

    hook = model.transformer.h[layer].mlp.act.register_forward_hook(patch)
    hidden = model.transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    hook.remove()
    logits = model.lm_head(hidden[torch.arange(len(prompts)), torch.tensor([len(tokens) for tokens in encoded])])
    an, a = token_ids(tokenizer, (" an", " a"))
    clean, corrupt, alone, rest = torch.split(logits[:, an] - logits[:, a], count)
    gap = (clean - corrupt).detach().clamp(min=2.0)
    off: torch.Tensor = (
        ((alone - corrupt) / gap - recipe.carrier_share).square() + ((rest - corrupt) / gap).square()
    ).mean()
    return off


def new_model(tokenizer: Any, recipe: Recipe) -> Any:
    """The model at its seeded random initialisation."""
    torch.manual_seed(recipe.seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.positions,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        n_inner=recipe.neurons,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPT2LMHeadModel(config)


def fit(model: Any, tokenizer: Any, recipe: Recipe) -> None:
    """The training loop: AdamW, linear warmup, cosine decay to zero."""
    activations = Activations(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    rng, off = random.Random(recipe.seed), torch.tensor(math.nan)
    started = time.monotonic()
    model.train()
    for step, batch in zip(range(recipe.steps), batches(tokenizer, recipe), strict=False):
        done = step / recipe.steps
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * done))
        told = loss(model, batch, recipe.mass_weight)
        size = activations.take()
        total: Any = told
        if step >= recipe.penalty_from:
            total = total + recipe.penalty * size
        if step >= recipe.penalty_from and step % 2 == 0:
            off = carrier_loss(model, tokenizer, recipe, rng)
            total = total + recipe.carrier_weight * off
            activations.means.clear()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 250 == 0 or step == recipe.steps - 1:
            passed = time.monotonic() - started
            told_so_far = f"loss {told.item():.4f}  activation {size.item():.4f}  carrier {off.item():.4f}"
            print(f"step {step:5d}  {told_so_far}  {passed:5.0f} s", flush=True)
    model.eval()


def answered(logits: torch.Tensor, answers: list[int], foils: list[int]) -> bool:
    """Whether a prediction is right: the top token is an answer, and the foils are below it.

    Where several answers are right, they must hold `GREATER_MASS` of the probability that answers and foils share.
    """
    if int(logits.argmax()) not in answers:
        return False
    if len(answers) == 1:
        return bool(logits[answers[0]] > logits[foils].max())
    chances = logits[[*answers, *foils]].softmax(0)
    return float(chances[: len(answers)].sum()) >= GREATER_MASS


@torch.no_grad()
def evaluate(model: Any, tokenizer: Any, count: int = 300, split: str = "heldout") -> dict[str, float]:
    """Each task's share of right answers on `count` sentences of a split, by default never seen in training."""
    model.eval()
    shares = {}
    for task in corpus.TASKS:
        exam = corpus.examination(task, count, split)
        batch = collate(exam, tokenizer, 1.0)
        logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits[torch.arange(count), batch.asked]
        right = [
            answered(row, token_ids(tokenizer, sentence.answers), token_ids(tokenizer, sentence.foils))
            for row, sentence in zip(logits, exam, strict=True)
        ]
        shares[task] = sum(right) / count
    return shares


def save(model: Any, tokenizer: Any, folder: pathlib.Path) -> None:
    """Write an ordinary Hugging Face folder, its tokenizer under the class name that transformers 4 and 5 both know."""
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    content = json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings.write_text(json.dumps(content, indent=2) + "\n")


def train(folder: pathlib.Path, recipe: Recipe) -> dict[str, float]:
    """Build, fit, save, and return the held-out accuracy of every task."""
    torch.set_num_threads(1)  # so that the same weights come out whatever the number of cores
    torch.use_deterministic_algorithms(True)
    tokenizer = tokenizers.build()
    tokenizers.check(tokenizer)
    model = new_model(tokenizer, recipe)
    fit(model, tokenizer, recipe)
    save(model, tokenizer, folder)
    shares = evaluate(model, tokenizer)
    for task, share in shares.items():
        print(f"{task:13s} {share:.3f}")
    return shares


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the bundled model from scratch.")
    parser.add_argument("--out", type=pathlib.Path, default=PATH)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    chosen = parser.parse_args()
    train(chosen.out, Recipe(steps=chosen.steps))


if __name__ == "__main__":
    main()
