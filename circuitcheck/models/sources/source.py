"""Where a model comes from: bundled, a folder, the cache, a native or a GGUF file, somebody's bridge, or another one's architecture.

source = source_of("gpt2", how, revision=None, store=None, adapter=None)
source.name, source.files
bridge, untouched = source.boot()
"""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitcheck.bundled import BUNDLED
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError, ModelMissing
from circuitcheck.models import adapters
from circuitcheck.models.bos import follow_tokenizer
from circuitcheck.models.devices import AUTO, settled
from circuitcheck.models.fetching.cache import kept
from circuitcheck.models.fetching.catalogue import CATALOGUE, Fetchable
from circuitcheck.models.fetching.gguf import folder_of
from circuitcheck.models.folders import check_folder, files_read, network_of
from circuitcheck.models.images.networks import classes_by, is_of_pictures
from circuitcheck.models.native import boot_native, files_of_native
from circuitcheck.models.sources.how import How
from circuitcheck.models.tokenizers import stand_in, tokenizer_of
from circuitcheck.models.untouched import Untouched
from circuitcheck.records.files import reason
from circuitcheck.records.identity import Files
from circuitcheck.records.store import Store

_SAFE_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
# A bridge, and what it was before it was wrapped (None for one that was wrapped by somebody else).
Booted = tuple[Any, Untouched | None]


@dataclass(frozen=True)
class Source:
    """Where a model comes from. ``says``: all that decides which model it is, beside how it is asked for, in words; None where nothing
    says it, as of a bridge."""

    name: str
    files: Files | None
    says: str | None
    boot: Callable[[], Booted]


def source_of(
    source: str | Path | Any, how: How, revision: str | None, store: Store | None, adapter: Path | None
) -> Source:
    here = not isinstance(source, str | Path) or str(source) in BUNDLED or Path(source).expanduser().exists()
    if revision is not None and here:
        raise ModelError(f"a revision is of a model in the Hugging Face cache, and {source} is not looked for there")
    _check_folder(source, how, adapter)
    if not isinstance(source, str | Path):
        if not hasattr(source, "hook_dict"):
            raise ModelError(f"load takes a name, a path or a TransformerBridge, not a {type(source).__name__}")
        name = str(getattr(source.cfg, "model_name", None) or "bridge")
        return Source(name, None, None, lambda: (source, None))
    path = Path(source).expanduser()
    is_gguf = path.suffix == ".gguf" and path.is_file()
    is_native = (path.is_file() and not is_gguf) or path.suffix in (".pt", ".pth", ".safetensors")
    if str(source) not in BUNDLED and is_native and not path.is_dir():
        return _of_files(path.stem, Files.of(files_of_native(path), store), lambda: boot_native(path, how.place))
    folder, name = (folder_of(path, store), path.stem) if is_gguf else folder_of_source(source, revision)
    check_folder(folder)
    beside = {} if adapter is None else adapters.files_read(adapter)
    name = name if adapter is None else f"{name}+{adapter.resolve().name}"
    return _of_files(name, Files.of(files_read(folder) | beside, store), lambda: _boot_folder(folder, how, adapter))


def _of_files(name: str, files: Files, boot: Callable[[], Booted]) -> Source:
    """A model that files alone say; they must not change while they are read."""

    def boot_unchanged() -> Booted:
        booted = boot()
        files.check_unchanged()
        return booted

    return Source(name, files, json.dumps(files.digests), boot_unchanged)


def folder_of_source(source: str | Path, revision: str | None) -> tuple[Path, str]:
    """The Hugging Face folder of what is asked for, and its name in reports. Raises ``ModelError`` where there is none."""
    path = Path(source).expanduser()
    if str(source) in BUNDLED:
        return BUNDLED[str(source)], str(source)
    if path.is_dir():
        return path, path.resolve().name
    if str(source) in CATALOGUE and revision is None:
        return _fetched(CATALOGUE[str(source)])
    return _cached_snapshot(str(source), revision), str(source) if revision is None else f"{source} at {revision}"


def _check_folder(source: str | Path | Any, how: How, adapter: Path | None) -> None:
    """Raise ``ModelError`` for what is asked of a model in a Hugging Face folder alone, where it is another."""
    what = ["an adapter is"] if adapter is not None else []
    what += ["device='auto' is"] if how.device == AUTO else []
    if what and not (isinstance(source, str | Path) and not Path(source).is_file()):
        shown = source if isinstance(source, str | Path) else f"a {type(source).__name__}"
        raise ModelError(f"{what[0]} of a model in a Hugging Face folder, and {shown} is none")


def _boot_folder(folder: Path, how: How, adapter: Path | None) -> tuple[Any, Untouched]:
    from transformer_lens.model_bridge import TransformerBridge

    place = how.place
    try:
        network, network_class = network_of(folder, **place)
        if place["device"] == AUTO:
            place = {"device": settled(network), "dtype": network.dtype}
        if adapter is not None:
            network = adapters.merged(network, adapter)
        if is_of_pictures(network):
            return _boot_seeing(folder, network, network_class, place)
        untouched, tokenizer = Untouched(network), tokenizer_of(folder)
        given = {"hf_model": network, "model_class": network_class, "tokenizer": tokenizer or stand_in()}
        bridge = TransformerBridge.boot_transformers(str(folder), **given, **place)
        if tokenizer is None:
            bridge.tokenizer = None
        follow_tokenizer(bridge)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{folder} could not be loaded: {reason(error)}") from error
    return bridge, untouched


def _boot_seeing(folder: Path, network: Any, network_class: Any, place: dict[str, Any]) -> tuple[Any, Untouched]:
    """Of a network that reads pictures."""
    from transformer_lens.model_bridge import TransformerBridge

    from circuitcheck.models.images.seeing import seeing, sight_of

    sight = sight_of(folder, network)
    untouched = Untouched(network, classes_by(sight))
    given = {"hf_model": network, "model_class": network_class, "tokenizer": stand_in()}
    return seeing(TransformerBridge.boot_transformers(str(folder), **given, **place), sight), untouched


def _fetched(one: Fetchable) -> tuple[Path, str]:
    """The folder of a model that was fetched, and its name in reports."""
    if (folder := kept(one.shown_as)) is None:
        raise ModelMissing(one.name, f"circuitcheck fetch {one.name}")
    return folder, one.shown_as


def _cached_snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    at = "" if revision is None else f" --revision {revision}"
    fetch = f"hf download {name}{at} --include {' '.join(map(repr, _SAFE_FILES))}"
    folder: Path | None = None
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=_SAFE_FILES))
    except HFValidationError:
        raise ModelError(f"{name!r} is neither a folder or file here, nor a model's name on the hub") from None
    except LocalEntryNotFoundError:
        pass
    # A cache may hold the tokenizer alone, which somebody else asked for.
    if folder is None or not [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
        raise ModelMissing(name, fetch)
    return folder


def redrawn(bridge: Any, name: str, seed: int) -> Booted:
    """A bridge of the same architecture, its weights drawn as its class draws them."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers import PreTrainedModel

    original = bridge.original_model
    if not isinstance(original, PreTrainedModel):
        raise ModelError(
            f"{bridge.cfg.model_name} is no transformers model, so that it is not known how its weights are drawn"
        )
    config = deepcopy(original.config)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = type(original)(config).to(device=bridge.cfg.device, dtype=bridge.cfg.dtype)
            sight = getattr(bridge, "sight", None)
            untouched = Untouched(network, None if sight is None else classes_by(sight))
            made = build_bridge_from_module(network, bridge.cfg.architecture, hf_config=config, model_name=name)
    except Exception as error:
        raise ModelError(
            f"{bridge.cfg.model_name} cannot be made with random weights: {type(error).__name__}: {error}"
        ) from error
    if sight is not None:
        from circuitcheck.models.images.seeing import seeing

        made = seeing(made, sight)
    made.tokenizer = bridge.tokenizer
    made.cfg.default_prepend_bos = bridge.cfg.default_prepend_bos
    return made, untouched
