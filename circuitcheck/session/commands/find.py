"""``circuitcheck find``: prompt pairs from a file, a model by its name, and what is found."""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from circuitcheck.errors import MethodError, PromptError
from circuitcheck.finding.candidates import Candidates
from circuitcheck.model import load
from circuitcheck.models.loading import check_address
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.records.store import Store
from circuitcheck.session import dictionaries_asked, models_asked


def find(given: argparse.Namespace) -> Candidates:
    """What is found on the discovering half of the pairs; on all of these, where they are a half already."""
    pairs = _pairs_of(given.pairs)
    if not pairs.description.half:
        pairs = pairs.split("discover", by=tuple(given.by))
    try:
        [asked] = models_asked.read([given.model], Path())
    except (pytest.UsageError, ValueError) as error:
        raise MethodError(f"--model names one model: {error}") from None
    try:
        dictionaries = list(map(dictionaries_asked.read, given.dictionary))
    except pytest.UsageError as error:
        raise MethodError(str(error).replace("--circuit-dictionary", "--dictionary")) from None
    said: dict[str, Any] = dict(asked.options)
    check_address(given.address, asked.source(Path()), said.get("revision"))
    model = load(
        asked.source(Path()),
        weights=said.get("weights", "processed"),
        device=said.get("device"),
        dtype=said.get("dtype", "float32"),
        revision=said.get("revision"),
        bos=said.get("bos", "auto"),
        store=Store(given.store, lambda words: print(f"store: {words}", file=sys.stderr)),
        adapter=said.get("adapter"),
    )
    model = dictionaries_asked.attached(model, dictionaries, Path())
    return model.on(pairs).find(given.address, given.top, into=given.into, steps=given.steps, pairs=given.many)


def importable(place: str, file: Path) -> str:
    """The place of the pairs, where claims in a file can import them; empty where they are to be written out."""
    return place if Path(place.partition("::")[0]).resolve().parent == file.resolve().parent else ""


def _pairs_of(place: str) -> PromptPairs:
    """The pairs that a file gives a name; raises ``PromptError`` for what is none."""
    file, _, name = place.partition("::")
    if not name or not Path(file).is_file():
        raise PromptError(f"prompt pairs are named FILE.py::NAME, and {place!r} is no such file and name")
    path = Path(file).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PromptError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not isinstance(found, PromptPairs):
        there = ", ".join(key for key, value in vars(module).items() if isinstance(value, PromptPairs)) or "none"
        raise PromptError(f"{name} in {file} is no PromptPairs (there are: {there})")
    return found
