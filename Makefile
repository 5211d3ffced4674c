# make hypotheses   the main job: decide the claims about the bundled model
# make test         lint, types, tests
# make bundled-model  train the bundled model again and write its card (about 10 minutes on 2 cores)

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

export HF_HUB_OFFLINE := 1

.PHONY: hypotheses test bundled-model

hypotheses: $(INSTALLED)
	$(BIN)/pytest hypotheses

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

bundled-model: $(INSTALLED)
	$(BIN)/python -m circuitcheck.bundled.train
	$(BIN)/python -m circuitcheck.bundled.card

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)
