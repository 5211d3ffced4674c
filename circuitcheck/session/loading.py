"""What a pytest session decides for its claims: the model, its settings, what is noted of each test."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from circuitcheck.errors import ModelError
from circuitcheck.model import Model, load
from circuitcheck.models.loading import check_address
from circuitcheck.records.counterexamples import FOLDER, Counterexamples
from circuitcheck.records.store import NAME, Store
from circuitcheck.report.lock_findings import drift_of, pairs_locked
from circuitcheck.sampling.references import PARTS
from circuitcheck.session import resources
from circuitcheck.session.dictionaries_asked import attached
from circuitcheck.session.models_asked import Asked, asked_of
from circuitcheck.session.options import BEGAN, CLAIMS, locks, option
from circuitcheck.session.showing_progress import progress_of
from circuitcheck.settings import Settings
from circuitcheck.texts import plain

_LEAST = 16 * 2**20
_STORE = pytest.StashKey[Store | None]()
# The model that was loaded last.
_LOADED = pytest.StashKey[tuple[Asked, Model]]()


def load_for_session(config: pytest.Config, asked: Asked | None) -> Model:
    """The model that is asked, the session's only one where none is named, under the session's options."""
    asked = asked or next(iter(asked_of(config)), None)
    if asked is None:
        raise ModelError(
            "no model is given: pass --circuit-model NAME_OR_PATH, set circuit_model in pytest's ini file,\n"
            "or mark the test @pytest.mark.circuit(model=...). 'bundled' is the small model inside circuitcheck."
        )
    worker, workers = resources.share(config)
    resources.settle_threads(workers)
    said: dict[str, Any] = dict(asked.options)
    device = resources.device_of(said.get("device") or option(config, "device"), worker, workers)
    seed, *others = _seeds(config)
    settings = Settings(
        seed=seed,
        other_seeds=tuple(others),
        reference=_whole_number(config, "reference", Settings.reference, at_least=PARTS),
        budget=_whole_number(config, "budget", Settings.budget, at_least=32),
        controls=0 if option(config, "controls") == "off" else _whole_number(config, "controls", Settings.controls, 1),
        examples=None if option(config, "examples") is None else _whole_number(config, "examples", 0, at_least=1),
        replay=bool(config.getoption("circuit_replay")),
        alpha=_number(config, "alpha", Settings.alpha, 0, 0.5),
        bound=_number(config, "bound", Settings.bound, 0.1, 100),
        precision=None if option(config, "precision") is None else _number(config, "precision", 0.0, 0, 1e6),
        e_value=_e_value(config),
        drift=drift_of(config) if locks(config) else None,
        locked=pairs_locked(config) if locks(config) else {},
        memory=_bytes(option(config, "memory")) or resources.memory(device, workers),
    )
    model = _with_dictionaries(config, asked, partial(_load, config, asked, settings, device))
    model._loaded.answers.progress = progress_of(config)
    return model


def _load(config: pytest.Config, asked: Asked, settings: Settings, device: str | None) -> Model:
    said: dict[str, Any] = dict(asked.options)
    return load(
        asked.source(config.rootpath),
        weights=said.get("weights") or option(config, "weights") or "processed",
        device=device,
        dtype=said.get("dtype") or option(config, "dtype") or "float32",
        revision=said.get("revision"),
        bos=said.get("bos") or option(config, "bos") or "auto",
        settings=settings,
        store=store_of(config),
        counterexamples=Counterexamples(config.rootpath / FOLDER, config.stash[BEGAN]),
        adapter=config.rootpath / said["adapter"] if "adapter" in said else None,
    )


def _with_dictionaries(config: pytest.Config, asked: Asked, make: Callable[[], Model]) -> Model:
    """A model with the dictionaries that are asked for; the same with others is not loaded again."""
    bare = replace(asked, dictionaries=())
    if _LOADED in config.stash and config.stash[_LOADED][0] != bare:
        del config.stash[_LOADED]  # two large models may be more than there is memory for
    if _LOADED not in config.stash:
        for one in asked.dictionaries:
            check_address(one.site, asked.source(config.rootpath), dict(asked.options).get("revision"))
        config.stash[_LOADED] = bare, make()
    return attached(config.stash[_LOADED][1], asked.dictionaries, config.rootpath)


def store_of(config: pytest.Config) -> Store | None:
    """The session's store, opened once; None where it is off."""
    if _STORE not in config.stash:
        given = str(option(config, "store") or NAME)
        path = config.rootpath / given
        if os.path.isdir(path):
            raise ModelError(f"--circuit-store={given} is a folder; name a file, or off")
        if (origin := option(config, "origin") or "any") not in ("any", "here"):
            raise ModelError(f"--circuit-origin is any or here, not {origin!r}")
        config.stash[_STORE] = None if given == "off" else Store(path, partial(_say, config), origin == "any")
        if (store := config.stash[_STORE]) is not None:
            config.add_cleanup(store.close)
    return config.stash[_STORE]


def _say(config: pytest.Config, words: str) -> None:
    """A word at once, where there is a terminal: a worker's comes with its reports."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        terminal.ensure_newline()
        terminal.write_line(f"store: {plain(words)}")


def _seeds(config: pytest.Config) -> list[int]:
    """The seed, or several: 0,1,2."""
    given = str(option(config, "seed") or Settings.seed)
    seeds = [part.strip() for part in given.split(",")]
    if not all(map(str.isdecimal, seeds)) or len({*map(int, seeds)}) < len(seeds):
        raise ModelError(f"--circuit-seed is a whole number, or several that differ, such as 0,1,2; not {given!r}")
    return list(map(int, seeds))


def _whole_number(config: pytest.Config, name: str, default: int, at_least: int) -> int:
    given = option(config, name)
    if given is None:
        return default
    if not str(given).isdecimal() or int(given) < at_least:
        raise ModelError(f"--circuit-{name} is a whole number of at least {at_least}, not {given!r}")
    return int(given)


def _number(config: pytest.Config, name: str, default: float, above: float, below: float) -> float:
    given = option(config, name)
    if given is None:
        return default
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not above < number < below:
        raise ModelError(f"--circuit-{name} is a number between {above:g} and {below:g}, not {given!r}")
    return number


def _e_value(config: pytest.Config) -> float:
    """What a bet on a claim is to win: as much as establishes it by itself among all claims, under ``--circuit-fdr``."""
    rate = config.getoption("circuit_fdr")
    return 0.0 if rate is None else config.stash.get(CLAIMS, 1) / rate


def _bytes(given: str | None) -> int | None:
    """A size such as 4GB, 512MB or 1.5 GiB, in bytes."""
    if given is None:
        return None
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", str(given).upper())
    size = int(float(found[1]) * units[found[2]]) if found else 0
    if size < _LEAST:
        raise ModelError(f"--circuit-memory is a size of at least 16MB, such as 4GB or 512MB, not {given!r}")
    return size
