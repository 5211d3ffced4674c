"""Loading a model from this machine: bundled, a folder, the cache, a native file, or somebody's bridge."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.watching.fingerprints import of_bridge, of_vocabulary
from circuitcheck.engine.watching.held import Held
from circuitcheck.engine.watching.torch_settings import precision
from circuitcheck.errors import AddressError, CircuitError, ModelError
from circuitcheck.models.anatomy import split_heads_by_values
from circuitcheck.models.base_run import BaseRun
from circuitcheck.models.bos import Bos, bos_of
from circuitcheck.models.checkpoints import step_of
from circuitcheck.models.devices import (
    QUANTISED,
    check_foldable,
    settle_threads,
)
from circuitcheck.models.folders import quiet_libraries, saved_in
from circuitcheck.models.images.networks import is_of_pictures
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.models.profiles.profile import Profile, known, note
from circuitcheck.models.sources.how import How, Weights, how_of
from circuitcheck.models.sources.source import Source, folder_of_source, redrawn, source_of
from circuitcheck.models.untouched import Untouched
from circuitcheck.records.counterexamples import Counterexamples
from circuitcheck.records.files import reason
from circuitcheck.records.identity import Files, Identity
from circuitcheck.records.store import Store
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.settings import Settings
from circuitcheck.texts import digest


@dataclass(frozen=True)
class _Loaded:
    bridge: Any
    profile: Profile
    remembered: Remembered
    base_run: BaseRun


def loaded(
    name_or_path: str | Path | Any,
    weights: Weights,
    device: str | None,
    dtype: str,
    revision: str | None,
    settings: Settings | None,
    store: Store | None = None,
    counterexamples: Counterexamples | None = None,
    adapter: Path | None = None,
    bos: Bos = "auto",
) -> LoadedModel:
    """A model, loaded or known from an earlier run; see ``circuitcheck.load``."""
    if weights not in ("processed", "raw"):
        raise ModelError(f"weights are 'processed' or 'raw', not {weights!r}")
    how = how_of(device, dtype, weights, bos)
    step = step_of(adapter or revision or name_or_path) if isinstance(name_or_path, str | Path) else None
    find = partial(source_of, name_or_path, how, revision, store, adapter)
    return _made(find, how, settings or Settings(), store, step, counterexamples)


def check_address(address: str, source: str | Path | Any, revision: str | None = None) -> None:
    """Raises ``AddressError`` for an address of layers that a folder's config.json says are not there, before any weights are read. All
    else of it, and models that are in no Hugging Face folder, are left to be seen when the model is loaded."""
    anatomy = _layers_of(source, revision)
    if anatomy is None:
        return
    try:
        parse(address, anatomy)
    except AddressError as error:
        if f"has layers 0-{len(anatomy.layers) - 1}" in str(error):
            raise


def _layers_of(source: str | Path | Any, revision: str | None) -> Anatomy | None:
    """The layers of a folder's configuration; None where it does not say how many there are."""
    from transformers import AutoConfig

    with suppress(Exception):  # whatever is wrong with it is told when the model is loaded
        folder, name = folder_of_source(source, revision)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).get_text_config()
        layers, heads = getattr(config, "num_hidden_layers", None), getattr(config, "num_attention_heads", None)
        if isinstance(layers, int) and layers > 0:
            return Anatomy(name, (Layer(heads if isinstance(heads, int) else 1, 1),) * layers)
    return None


def untrained(model: LoadedModel, seed: int) -> LoadedModel:
    """A model of the same architecture with weights as they are drawn before any training."""
    fingerprint, changed = model.fingerprint, model.answers.questions.is_changed
    profile, name = model.profile, f"{model.name} with random weights"
    how = How(model.weights, model.bos_convention, profile.device, profile.dtype)

    def find() -> Source:
        says = None if changed else f"{fingerprint} drawn by {seed}"
        return Source(name, None, says, lambda: redrawn(model.bridge, name, seed))

    store, kept = model.answers.remembered.store, model.counterexamples
    return _made(find, how, model.settings, store, None, kept)


def _made(
    find: Callable[[], Source],
    how: How,
    settings: Settings,
    store: Store | None,
    step: int | None,
    counterexamples: Counterexamples | None,
) -> LoadedModel:
    """A model of what ``find`` finds: loaded, or known from when it was loaded before."""
    source = find()
    asked, there = _asked(source, how, store), None
    # Where PyTorch is there already, functions and settings may be somebody's: then it is watched from the beginning.
    if asked is not None and "torch" not in sys.modules:
        there = known(asked)
    if there is None:
        now = _load(source, find, how, store)
        if asked is not None:
            note(asked, now.remembered.fingerprint, now.profile, now.bridge.tokenizer)
        held, see_length = Held.of(now.bridge), now.base_run.see_length
        profile, tokenizer, remembered = now.profile, now.bridge.tokenizer, now.remembered
    else:
        late = _Late(partial(_load, source, find, how, store), source.name, there.fingerprint)
        held, see_length = Held(late.load), late.see_length
        profile, tokenizer = there.profile, there.tokenizer
        remembered = Remembered(store, there.fingerprint, profile.device)
    remembered.note("name", source.name)
    return LoadedModel(
        held,
        profile,
        tokenizer,
        source.name,
        "raw" if profile.pictures else how.weights,
        settings,
        remembered,
        step,
        counterexamples,
        see_length,
        how.bos,
    )


class _Late:
    """A model that is loaded when it is needed, and must be what was ``known`` (a fingerprint)."""

    def __init__(self, load: Callable[[], _Loaded], name: str, fingerprint: str):
        self._load, self._name, self._fingerprint = load, name, fingerprint
        self._base_run: BaseRun | None = None

    def load(self) -> Any:
        now = self._load()
        if now.remembered.fingerprint != self._fingerprint:
            raise ModelError(f"{self._name} is not on disk what it was when it was asked for: load it again")
        self._base_run = now.base_run
        return now.bridge

    def see_length(self, length: int) -> None:
        if self._base_run is not None:
            self._base_run.see_length(length)


def _asked(source: Source, how: How, store: Store | None) -> Remembered | None:
    """Where a model is known by what is asked for; None where nothing says what that is."""
    if store is None or source.says is None:
        return None
    said = json.dumps([source.says, how.weights, how.bos, how.device, how.dtype])
    return Remembered(store, f"asked {digest(said, digits=32)}", how.device, precision())


def _load(source: Source, find: Callable[[], Source], how: How, store: Store | None) -> _Loaded:
    """Load and compare a model."""

    def boot_again() -> tuple[Any, Untouched]:
        again = find()
        with quiet_libraries():
            bridge, untouched = again.boot()
            bridge.eval()
        if untouched is None or _identity(bridge, how, again.files).fingerprint != identity:
            raise ModelError(f"{name} is not on disk what it was when it was loaded: load it again")
        return bridge, untouched

    name, files = source.name, source.files
    settle_threads()
    with quiet_libraries():
        bridge, untouched = source.boot()
        if is_of_pictures(bridge.original_model):
            how = replace(how, weights="raw")  # TransformerLens folds and centres weights of text models alone
        if how.weights == "processed":
            check_foldable(bridge.original_model, name)
        _see_that_it_predicts_tokens(bridge, name)
        split_heads_by_values(bridge).eval()
        identity = _identity(bridge, how, files).fingerprint
        remembered = Remembered(store, identity, str(bridge.cfg.device), precision())
        base_run = BaseRun(name, bridge, untouched, remembered, boot_again)
        try:
            base_run.see()
        except (CircuitError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ModelError(f"{name} does not run as TransformerLens wraps it ({reason(error)})") from error
        if how.weights == "processed":
            base_run.fold()
        saved = "" if files is None else saved_in(files.paths.values())
        profile = Profile.of(bridge, how.bos, base_run.words, saved)
    remembered.note("rounding", repr(profile.rounding))  # by which numbers of two stores are compared
    return _Loaded(bridge, profile, remembered, base_run)


def _see_that_it_predicts_tokens(bridge: Any, name: str) -> None:
    network = bridge.original_model
    if getattr(bridge, "sight", None) is not None:
        return
    if is_of_pictures(network):
        raise ModelError(f"{name} reads pictures, and how it normalises them its folder says: load that, not a bridge")
    reads = getattr(network, "main_input_name", "input_ids")
    if reads != "input_ids":
        raise ModelError(f"{name} reads {reads} instead of text, and claims are about next-token predictions")
    encodes = getattr(bridge, "encoder_blocks", None) is not None
    if encodes or getattr(bridge.cfg, "attention_dir", "causal") != "causal":
        raise ModelError(f"{name} is not a causal decoder, and claims are about next-token predictions")
    if not hasattr(bridge, "blocks"):
        raise ModelError(f"{name} is no stack of layers that TransformerLens shows, and addresses are of such layers")


def _identity(bridge: Any, how: How, files: Files | None) -> Identity:
    """Of a bridge before anything is folded or centred (``how`` says whether it will be)."""
    dtype = str(bridge.cfg.dtype).removeprefix("torch.")
    quantised = [bits for bits in QUANTISED if getattr(bridge.original_model, f"is_loaded_in_{bits}", False)]
    dtype = " ".join([*quantised, dtype])
    if files is None:
        return Identity((), how.weights, bos_of(bridge, how.bos), dtype, of_bridge(bridge))
    has_tokenizer = any(name.startswith("tokenizer") for name, *_ in files.digests)
    content = "" if has_tokenizer else of_vocabulary(bridge.tokenizer)
    return Identity(files.digests, how.weights, bos_of(bridge, how.bos), dtype, content)
