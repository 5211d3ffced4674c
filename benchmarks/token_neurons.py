"""The neurons of a token among all of GPT-2 Large's shape: 184,320 neurons by 50,257 tokens, random weights.

OMP_NUM_THREADS=2 python -m benchmarks.token_neurons
"""

import argparse
import threading
import time

import psutil
import torch

from benchmarks.workplace import SHAPES, model_of, random_models

_EVERY = 0.05  # seconds between looks at the process' memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.token_neurons", description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="GPT-2 Large")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    bridge, plain = random_models(given.shape, given.device)
    del plain
    model, process, over = model_of(bridge), psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def look() -> None:
        nonlocal most
        while not over.wait(_EVERY):
            most = max(most, process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    start, worked = time.perf_counter(), time.process_time()
    print(model.token_neurons(top=20))
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    over.set()
    looking.join()
    took = f"{seconds:.0f} s on {torch.get_num_threads()} threads ({worked:.0f} s of processor time)"
    print(f"{took}; at most {(most - before) / 2**30:.2f} GiB more than before")


if __name__ == "__main__":
    main()
