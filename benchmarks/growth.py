"""How cost grows: with pairs, tokens, layers, claims and checkpoints, each doubled four times while the others stay.

python -m benchmarks.growth                                       a few minutes; prints the table
python -m benchmarks.growth --page docs/explanation/scale.md      writes it there, between its marks, with the picture beside it

Small random models of GPT-2's architecture, in single precision on one thread; seconds of the processor's time, the best of two. Half of the claims patch a
neuron at the last token, half a head at all positions, spread over all layers, and their base runs and checks are counted; loading is counted with
checkpoints alone. ``home``: how many numbers a head writes in a second.
"""

import argparse
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from circuitcheck import Model, PromptPairs, load
from circuitcheck.addresses.parsing import parse
from circuitcheck.cluster.head import Head
from circuitcheck.cluster.jobs import Job
from circuitcheck.engine.making import Patching
from circuitcheck.records.exchange import lines
from circuitcheck.records.exchange.content import Content, Experiment

_DOUBLINGS, _RUNS = 4, 2
_VOCABULARY, _WIDTH, _HEADS = 1_000, 256, 4
_FORK = 4
_HOME = 100_000
_BEGINS, _ENDS = "<!-- growth -->", "<!-- /growth -->"


@dataclass(frozen=True)
class Size:
    """A study."""

    pairs: int = 16
    tokens: int = 16
    layers: int = 4
    claims: int = 16
    checkpoints: int = 1


def main() -> int:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--doublings", type=int, default=_DOUBLINGS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    _seconds(Size(), False)  # what is done once a process
    found = {name: _grown(name, given.doublings) for name in asdict(Size())}
    rate, size = _numbers_home()
    text = f"{table(found)}\n\nA head writes {rate:,.0f} numbers a second that jobs send home, of {size:.0f} bytes each in its store."
    print(text)
    if given.page is not None:
        page = given.page.read_text(encoding="utf-8")
        before, _, rest = page.partition(_BEGINS)
        after = rest.partition(_ENDS)[2]
        given.page.write_text(f"{before}{_BEGINS}\n{text}\n{_ENDS}{after}", encoding="utf-8")
        draw(found, given.page.with_name("growth.svg"))
    return 0


def _grown(name: str, doublings: int) -> list[tuple[int, float]]:
    """The size of one thing, doubled again and again, and the seconds that each takes."""
    found = []
    for doubling in range(doublings + 1):
        many = getattr(Size(), name) * 2**doubling
        size = replace(Size(), **{name: many})
        found.append((many, min(_seconds(size, name == "checkpoints") for _ in range(_RUNS))))
        print(f"{name} {many}: {found[-1][1]:.2f} s", file=sys.stderr, flush=True)
    return found


def _seconds(size: Size, with_loading: bool) -> float:
    """What a study takes, with loading or without."""
    taken = 0.0
    for seed in range(size.checkpoints):
        with tempfile.TemporaryDirectory() as folder:
            _make(Path(folder), size.layers, seed)
            began = time.process_time()
            model = load(folder)
            began = began if with_loading else time.process_time()
            _ask(model, size)
            taken += time.process_time() - began
    return taken


def _make(folder: Path, layers: int, seed: int) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=_VOCABULARY,
        n_positions=512,
        n_embd=_WIDTH,
        n_head=_HEADS,
        n_layer=layers,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


def _ask(model: Model, size: Size) -> None:
    """All claims' effects, one after another."""
    setup = model.on(_pairs(size))._setup
    _ = setup.gaps
    for claim in range(size.claims):
        layer, which = claim * size.layers // size.claims, claim // 2
        site = f"L{layer}.H{which % _HEADS}" if claim % 2 else f"L{layer}.N{which}@end"
        setup.model.answers.each(setup.sample, [parse(site, model.anatomy)], Patching("corrupt"), setup.readout)


def _pairs(size: Size) -> PromptPairs:
    """Prompts of random tokens, clean and corrupted different in the fourth from the end."""
    drawn = torch.Generator().manual_seed(0)
    clean = torch.randint(10, _VOCABULARY, (size.pairs, size.tokens), generator=drawn)
    corrupt = clean.clone()
    corrupt[:, -_FORK] = (clean[:, -_FORK] - 9) % (_VOCABULARY - 10) + 10
    rows = zip(clean.tolist(), corrupt.tolist(), strict=True)
    return PromptPairs.from_rows([{"clean": one, "corrupt": other, "answer": 5, "foil": 6} for one, other in rows])


def _numbers_home() -> tuple[float, float]:
    """Numbers that a head takes in a second, from what a job sends to what is on disk, and the bytes of one there."""
    job = Job("model", "test_a.py", ("test",), 1, 1, ())
    rows = [
        (Experiment(claim.to_bytes(16, "big"), "here", "model", "patch", 1), pair.to_bytes(16, "big"), 1.0 + pair, 0.0)
        for claim in range(_HOME // 250)
        for pair in range(250)
    ]
    batches = [
        "".join(lines.written([Content(numbers=tuple(rows[start : start + 1_000]))]))
        for start in range(0, _HOME, 1_000)
    ]
    with tempfile.TemporaryDirectory() as folder, closing(Head(Path(folder) / "home")) as head:
        began = time.process_time()
        for batch in batches:
            head.take(job, batch, "a node")
        rate = _HOME / (time.process_time() - began)
        head.close()  # what is in its journal goes into the file
        return rate, (Path(folder) / "home").stat().st_size / _HOME


def table(found: dict[str, list[tuple[int, float]]]) -> str:
    """The table, as Markdown."""
    most = max(map(len, found.values()))
    base = ", ".join(f"{many} {name if many > 1 else name.removesuffix('s')}" for name, many in asdict(Size()).items())
    heads = ["x1", *(f"x{2**place}" for place in range(1, most)), "of the last doubling"]
    rows = [f"Seconds; x1 is {base}.", "", f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name, cells in found.items():
        shown = [f"{seconds:.2f} ({many:,})" for many, seconds in cells]
        rows.append(f"| {name} | {' | '.join(shown)} | x{cells[-1][1] / cells[-2][1]:.1f} |")
    return "\n".join(rows)


def draw(found: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Both axes logarithmic, so that what grows in proportion goes up at 45 degrees."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "circuitcheck", "font.size": 9}):
        figure = Figure((6, 3.6))
        axes = figure.add_subplot()
        most = max(map(len, found.values()))
        axes.plot([1, 2 ** (most - 1)], [1, 2 ** (most - 1)], color="#bbbbbb", linestyle=":", label="in proportion")
        for name, cells in found.items():
            axes.plot(
                [2**place for place in range(len(cells))],
                [seconds / cells[0][1] for _, seconds in cells],
                marker="o",
                markersize=3,
                label=name,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks([2**place for place in range(most)], [f"x{2**place}" for place in range(most)])
        axes.set_yticks([2**place for place in range(most)], [f"x{2**place}" for place in range(most)])
        axes.set_xlabel("how many")
        axes.set_ylabel("cost")
        axes.legend(frameon=False)
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    sys.exit(main())
