"""What features of a dictionary cost: a sweep of them beside one of as many neurons of adjacent layers; the memory of a large dictionary.

python -m benchmarks.features             4,096 features of a dictionary of L9, and 4,096 neurons of L9 and L10, GPT-2-small shape, 32 pairs
python -m benchmarks.features --memory    65,536 features of streams of 2,304: how far the process grows while it is read and a feature patched
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from benchmarks.workplace import as_pairs, model_of, prompts, random_models
from benchmarks.works import Peak
from circuitcheck import Model, PromptPairs, load
from circuitcheck.engine.making import Patching
from circuitcheck.reference_models.training_dictionaries import save
from circuitcheck.settings import Settings

_SHAPE, _SITE, _NEIGHBOURS, _PAIRS = "GPT-2 small", "L9.RESID_POST", (9, 10), 32
_BYTES = 2**30  # --circuit-memory
_LARGE, _WIDTH = 65_536, 2_304
Rule = Literal["standard", "topk"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--features", type=int, default=4_096)
    parser.add_argument("--runs", type=int, default=1, help="alternating runs of each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(_memory(Path(folder)) if given.memory else _sweeps(Path(folder), given.features, given.runs))


def _sweeps(folder: Path, n: int, runs: int) -> str:
    """Seconds of each sweep and their ratio, in alternating runs; at the last position, where features and neurons are read."""
    bridge, _ = random_models(_SHAPE, "cpu")
    pairs = as_pairs(*prompts(_PAIRS))
    width = int(bridge.cfg.d_model)
    neurons = " | ".join(f"L{layer}.N0-{n // 2 - 1}@end" for layer in _NEIGHBOURS)
    rules: tuple[Rule, ...] = ("standard", "topk")
    for rule in rules:
        _random_dictionary(folder / rule, width, n, rule)
    times: dict[str, list[float]] = {name: [] for name in ("neurons", *rules)}
    for _ in range(runs):
        for name, one in times.items():
            model = model_of(bridge, _BYTES)
            if name != "neurons":
                model = model.with_dictionary(_SITE, folder / name)
            one.append(_seconds(model, pairs, neurons if name == "neurons" else f"{_SITE}.F*@end"))
    least = median(times["neurons"])
    lines = [f"{n:,} neurons of L{_NEIGHBOURS[0]} and L{_NEIGHBOURS[1]}, {_PAIRS} pairs: {least:.1f} s"]
    for rule in rules:
        took = median(times[rule])
        lines.append(f"{n:,} features of {_SITE} ({rule}): {took:.1f} s, {took / least:.2f} of that")
    return "\n".join(lines)


def _seconds(model: Model, pairs: PromptPairs, address: str) -> float:
    """A sweep's patches, when the base runs are there."""
    run = model.on(pairs)
    _ = run._setup.gaps
    sets = [[site] for site in run._setup.sites(address)]
    started = time.perf_counter()
    run._setup.model.answers.each(run._setup.sample, sets, Patching("corrupt"), run._setup.readout)
    return time.perf_counter() - started


def _memory(folder: Path) -> str:
    """By how much the process grows while a dictionary is attached, and while a feature of it is patched, in dictionaries of its size."""
    _random_dictionary(folder / "large", _WIDTH, _LARGE, "standard")
    gc.collect()
    size = (folder / "large" / "sae_weights.safetensors").stat().st_size
    model, pairs = _wide(), PromptPairs.from_rows([{"clean": [1, 2, 3], "corrupt": [1, 4, 3], "answer": 5, "foil": 6}])
    model.on(pairs).patch("L0.RESID_POST")._estimand.shift_on(model.on(pairs)._setup.sample)
    with Peak("cpu") as attaching:
        featured = model.with_dictionary("L0.RESID_POST", folder / "large")
    with Peak("cpu") as patching:
        run = featured.on(pairs)
        run.patch("L0.RESID_POST.F7")._estimand.shift_on(run._setup.sample)
    said = {"while it is attached": attaching.grown, "while a feature is patched then": patching.grown}
    words = ", ".join(f"{what} {grown / 2**30:.2f} GiB ({grown / size:.2f} of it)" for what, grown in said.items())
    return (
        f"a dictionary of {_LARGE:,} features of {_WIDTH:,} numbers, {size / 2**30:.2f} GiB; the process grows {words}"
    )


def _wide() -> Model:
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    sizes: dict[str, Any] = {"n_layers": 2, "d_model": _WIDTH, "d_head": 128, "n_heads": 18, "d_mlp": 64, "n_ctx": 8}
    config = TransformerBridgeConfig(
        architecture="TransformerLensNative", d_vocab=64, act_fn="relu", normalization_type="LN", **sizes
    )
    return load(TransformerBridge.boot_native(config), weights="raw", settings=Settings(memory=_BYTES))


def _random_dictionary(folder: Path, width: int, n: int, rule: Rule) -> None:
    rows = torch.randn(n, width, generator=torch.Generator().manual_seed(0))
    rows /= rows.norm(dim=1, keepdim=True)
    tensors = {"W_enc": rows.T, "W_dec": rows, "b_enc": torch.zeros(n), "b_dec": torch.zeros(width)}
    save(tensors, folder, hook="", k=32 if rule == "topk" else 0, processed=False, name="random weights")


if __name__ == "__main__":
    main()
