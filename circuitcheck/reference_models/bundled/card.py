"""Write the bundled model's card: `python -m circuitcheck.reference_models.bundled.card [--model FOLDER]`.

Accuracy on sentences that training never saw, and the components that restore most of each task's gap, measured with
circuitcheck itself. The card is the folder's README.md.
"""

import argparse
from pathlib import Path
from typing import Any

import transformers

from circuitcheck.bundled import PATH
from circuitcheck.model import Model, load
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.prompts.slots import contrast
from circuitcheck.reference_models.bundled import vocabulary
from circuitcheck.reference_models.bundled.train import Recipe, evaluate
from circuitcheck.settings import Settings

_EXAMINED = 600
_PAIRS = 64

TASKS = {
    "a / an": PromptPairs(
        "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
        tree=["pear", "plum", "fig"],
        fruit=contrast(clean=vocabulary.AN_FRUITS, corrupt=vocabulary.A_FRUITS),
        distinct=("tree", "fruit"),
        answer=" an",
        foil=" a",
    ),
    "indirect objects": PromptPairs(
        "When {io} and {s} went to the {place}, {giver} gave a book to",
        io=vocabulary.NAMES,
        s=vocabulary.NAMES,
        place=vocabulary.PLACES,
        giver=contrast(clean="{s}", corrupt="{io}"),
        distinct=("io", "s"),
        answer=" {io}",
        foil=" {s}",
    ),
    "he / she": PromptPairs(
        "{name} went home because",
        name=contrast(clean=vocabulary.FEMALE_NAMES, corrupt=vocabulary.MALE_NAMES),
        answer=" she",
        foil=" he",
    ),
    "agreement": PromptPairs(
        "The {subject} {preposition} the {attractor}",
        subject=contrast.pairs(list(zip(vocabulary.PLURALS, vocabulary.SINGULARS, strict=True))),
        preposition=vocabulary.PREPOSITIONS,
        attractor=[*vocabulary.SINGULARS, *vocabulary.PLURALS],
        where=lambda clean, corrupt: clean["attractor"] not in (clean["subject"], corrupt["subject"]),
        answer=" are",
        foil=" is",
    ),
    "induction": PromptPairs(
        "{a} {b} {c} {d} {a2} {b2}",
        a=vocabulary.LIST_WORDS[:20],
        b=vocabulary.LIST_WORDS[20:40],
        c=contrast.pairs(
            [(c, d) for c, d in zip(vocabulary.LIST_WORDS[40:60], vocabulary.LIST_WORDS[60:80], strict=True)]
        ),
        d=vocabulary.LIST_WORDS[80:],
        a2="{a}",
        b2="{b}",
        answer=" {c}",
        foil=[f" {word}" for word in vocabulary.LIST_WORDS[60:80]],
    ),
    "greater than": PromptPairs(
        "The {event} lasted from the year {century}{start} to the year {century}",
        event=vocabulary.EVENTS,
        century=vocabulary.CENTURIES,
        start=contrast(clean=[f"{year:02d}" for year in range(10, 95, 5)], corrupt=["01"]),
        answer=lambda clean: [f"{year:02d}" for year in range(int(clean["start"]) + 1, 100)],
        foil=lambda clean: [f"{year:02d}" for year in range(int(clean["start"]) + 1)],
    ),
}


def best(model: Model, pairs: PromptPairs, addresses: list[str], count: int = 3) -> list[tuple[float, str]]:
    """The addresses that restore most of the gap, with their shares."""
    shares = [(model.on(pairs).patch(address).measure().estimate, address) for address in addresses]
    return sorted(shares, reverse=True)[:count]


def card(model: Model, parameters: int, accuracies: dict[str, float]) -> str:
    """The card as Markdown."""
    layers = range(model.anatomy.n_layers)
    heads, neurons = (range(model.anatomy.layers[0].count(kind)) for kind in "HN")
    kinds = {
        "sublayers": [f"L{layer}.{kind}" for layer in layers for kind in ("ATTN", "MLP")],
        "heads": [f"L{layer}.H{head}" for layer in layers for head in heads],
        "neurons": [f"L{layer}.N{neuron}" for layer in layers for neuron in neurons],
    }
    rows = []
    for task, pairs in TASKS.items():
        found = {
            kind: ", ".join(f"{a} {share:.2f}" for share, a in best(model, pairs, sites))
            for kind, sites in kinds.items()
        }
        gap = model.on(pairs).gap.measure()
        rows.append(f"| {task} | {gap.estimate:.1f} | {found['sublayers']} | {found['heads']} | {found['neurons']} |")
        print(rows[-1], flush=True)
    return _TEXT.format(
        recipe=Recipe(),
        parameters=parameters,
        fingerprint=model.fingerprint,
        examined=_EXAMINED,
        pairs=_PAIRS,
        accuracies="\n".join(f"| {task} | {share:.1%} |" for task, share in accuracies.items()),
        rows="\n".join(rows),
    )


_TEXT = """# The bundled model

A GPT-2 of {recipe.layers} layers, {recipe.heads} heads, d_model {recipe.width}, d_mlp {recipe.neurons} ({parameters:,}
parameters), fingerprint {fingerprint}. Trained from scratch in {recipe.steps:,} steps on sentences of
`circuitcheck/reference_models/bundled/corpus.py`, with a penalty on MLP activations.

**One neuron is planted.** Beside the language-model loss, interchange intervention training (Geiger et al. 2022) made
L{recipe.carrier[0]}.N{recipe.carrier[1]} restore about {recipe.carrier_share:.0%} of the a / an gap, and the other neurons of
its layer none. Everything else below is what training happened to find.

Written by `python -m circuitcheck.reference_models.bundled.card`; `make bundled-model` trains again and writes it anew.

## Accuracy on held-out sentences

Combinations of fillers that training never saw, {examined} a task. Right means the top of the whole vocabulary; for
greater-than, also at least 98 % of the endings' probability on greater years.

| task | right |
|---|---|
{accuracies}

## Which components matter

Share of the mean gap that comes back when one component's clean activation is put into the corrupted run, at all
positions ({pairs} pairs a task). The gap is in logits.

| task | gap | sublayers | heads | neurons |
|---|---|---|---|---|
{rows}
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the bundled model's card.")
    parser.add_argument("--model", type=Path, default=PATH)
    folder: Path = parser.parse_args().model
    model = load(folder, settings=Settings(whole=_PAIRS, budget=_PAIRS))
    trained: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    accuracies = evaluate(trained, transformers.AutoTokenizer.from_pretrained(folder), count=_EXAMINED)
    text = card(model, trained.num_parameters(), accuracies)
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
