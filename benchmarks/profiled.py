"""What one more claim on a head in the middle spends its time on."""

import torch
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from benchmarks.workplace import as_pairs, model_of, prompts, random_models
from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.making import Patching

_SHOWN = 16


def profile(shape: str, device: str) -> str:
    """The profiler's table of a claim as the benchmark's second row times it, by the operations' own time."""
    bridge, _ = random_models(shape, device)
    run = model_of(bridge).on(as_pairs(*prompts(64)))
    middle = int(bridge.cfg.n_layers) // 2

    def claim(layer: int) -> None:
        sites = parse(f"L{layer}.H3", run._setup.model.anatomy)
        run._setup.model.answers.each(run._setup.sample, [sites], Patching("corrupt"), run._setup.readout)

    _ = run._setup.gaps
    claim(middle - 1)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profiler(activities=activities) as found:
        claim(middle)
    return str(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=_SHOWN, max_name_column_width=24))
