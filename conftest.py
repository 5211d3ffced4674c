"""For tests and hypotheses alike: no network, one thread (small models only lose by more), and pytester."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["pytester"]
