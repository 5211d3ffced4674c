"""The neurons of a token among all of GPT-2 Large's shape: 184,320 neurons by 50,257 tokens, random weights.

OMP_NUM_THREADS=2 python -m benchmarks.token_neurons
"""

import argparse
import resource
import time

import torch

from benchmarks.workplace import SHAPES, model_of, random_models

_GIB = 2**20  # in the KiB in which Linux tells what a process had at most


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.token_neurons", description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="GPT-2 Large")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    bridge, plain = random_models(given.shape, given.device)
    del plain
    model = model_of(bridge)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = model.token_neurons(top=20)
    seconds = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(found)
    print(f"{seconds:.0f} s on {torch.get_num_threads()} threads; the process' peak grew by {grown / _GIB:.2f} GiB")


if __name__ == "__main__":
    main()
