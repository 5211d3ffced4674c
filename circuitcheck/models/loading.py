"""Loading a model from this machine: bundled, a folder, the cache, a native file, or somebody's bridge."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.addresses.parsing import parse
from circuitcheck.bundled import BUNDLED
from circuitcheck.engine.watching.fingerprints import of_bridge, of_vocabulary
from circuitcheck.engine.watching.torch_settings import precision
from circuitcheck.errors import AddressError, CircuitError, ModelError, ModelMissing
from circuitcheck.models import adapters
from circuitcheck.models.anatomy import split_heads_by_values
from circuitcheck.models.base_run import BaseRun
from circuitcheck.models.bos import Bos, bos_of, follow_tokenizer
from circuitcheck.models.checkpoints import step_of
from circuitcheck.models.devices import (
    AUTO,
    QUANTISED,
    check_auto,
    check_foldable,
    check_quantised,
    default_device,
    settled,
)
from circuitcheck.models.fetching.cache import kept
from circuitcheck.models.fetching.catalogue import CATALOGUE, Fetchable
from circuitcheck.models.fetching.gguf import folder_of
from circuitcheck.models.folders import check_folder, files_read, network_of, quiet_libraries, saved_in
from circuitcheck.models.images.networks import classes_by, is_of_pictures
from circuitcheck.models.loaded import LoadedModel, Weights
from circuitcheck.models.native import boot_native, files_of_native
from circuitcheck.models.tokenizers import stand_in, tokenizer_of
from circuitcheck.models.untouched import Untouched
from circuitcheck.records.counterexamples import Counterexamples
from circuitcheck.records.files import reason
from circuitcheck.records.identity import Files, Identity
from circuitcheck.records.store import Store
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.settings import Settings

_DTYPES = ("float32", "float64", "bfloat16", "float16")
_SAFE_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_Model = TypeVar("_Model", bound=LoadedModel)
# A bridge, its name, what it was before it was wrapped, and its files (both None for one that was wrapped by somebody else).
_Booted = tuple[Any, str, Untouched | None, Files | None]


def loaded(
    kind: type[_Model],
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
) -> _Model:
    """A model as a ``LoadedModel`` of some kind; see ``circuitcheck.load``."""
    if weights not in ("processed", "raw"):
        raise ModelError(f"weights are 'processed' or 'raw', not {weights!r}")
    place = _place(device, dtype, weights)
    step = step_of(adapter or revision or name_or_path) if isinstance(name_or_path, str | Path) else None
    boot = partial(_boot, name_or_path, place, revision, store, adapter)
    return _made(kind, boot, weights, bos, settings or Settings(), store, step, counterexamples)


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


def untrained(model: _Model, seed: int) -> _Model:
    """A model of the same architecture with weights as they are drawn before any training."""
    boot = partial(_redrawn, model.bridge, model.name, seed)
    store, kept = model.answers.remembered.store, model.counterexamples
    return _made(type(model), boot, model.weights, model.bos_convention, model.settings, store, None, kept)


def _made(
    kind: type[_Model],
    boot: Callable[[], _Booted],
    weights: Weights,
    bos: Bos,
    settings: Settings,
    store: Store | None,
    step: int | None,
    counterexamples: Counterexamples | None,
) -> _Model:
    """A model of what ``boot`` gives."""

    def boot_again() -> tuple[Any, Untouched]:
        with quiet_libraries():
            bridge, _, untouched, files = boot()
            bridge.eval()
        if untouched is None or _identity(bridge, weights, bos, files).fingerprint != identity:
            raise ModelError(f"{name} is not on disk what it was when it was loaded: load it again")
        return bridge, untouched

    with quiet_libraries():
        bridge, name, untouched, files = boot()
        if is_of_pictures(bridge.original_model):
            weights = "raw"  # TransformerLens folds and centres weights of text models alone
        if weights == "processed":
            check_foldable(bridge.original_model, name)
        _see_that_it_predicts_tokens(bridge, name)
        split_heads_by_values(bridge).eval()
        identity = _identity(bridge, weights, bos, files).fingerprint
        remembered = Remembered(store, identity, str(bridge.cfg.device), precision())
        base_run = BaseRun(name, bridge, untouched, remembered, boot_again)
        try:
            base_run.see()
        except (CircuitError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ModelError(f"{name} does not run as TransformerLens wraps it ({reason(error)})") from error
        if weights == "processed":
            base_run.fold()
    remembered.note("name", name)
    saved = "" if files is None else saved_in(files.paths.values())
    return kind(bridge, name, weights, settings, remembered, step, counterexamples, base_run, bos, saved=saved)


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


def _place(device: str | None, dtype: str, weights: Weights) -> dict[str, Any]:
    """A device and a dtype by their names."""
    if dtype not in (*_DTYPES, *QUANTISED):
        raise ModelError(f"a dtype is one of {', '.join((*_DTYPES, *QUANTISED))}, not {dtype!r}")
    if dtype in QUANTISED:
        check_quantised(dtype, weights)
        if device not in (None, AUTO):
            raise ModelError(f"weights of {dtype} lie where transformers puts them: device='auto', not {device!r}")
        return {"device": AUTO, "dtype": dtype}
    if device == AUTO:
        check_auto()
        return {"device": AUTO, "dtype": getattr(torch, dtype)}
    device = device or default_device()
    try:
        torch.empty(0, device=device)
    except Exception as error:
        raise ModelError(
            f"there is no device {device!r} here ({str(error).splitlines()[0]}); 'cpu' always is"
        ) from None
    return {"device": device, "dtype": getattr(torch, dtype)}


def _boot(
    source: str | Path | Any, place: dict[str, Any], revision: str | None, store: Store | None, adapter: Path | None
) -> _Booted:
    here = not isinstance(source, str | Path) or str(source) in BUNDLED or Path(source).expanduser().exists()
    if revision is not None and here:
        raise ModelError(f"a revision is of a model in the Hugging Face cache, and {source} is not looked for there")
    _check_folder(source, place, adapter)
    if not isinstance(source, str | Path):
        if not hasattr(source, "hook_dict"):
            raise ModelError(f"load takes a name, a path or a TransformerBridge, not a {type(source).__name__}")
        return source, str(getattr(source.cfg, "model_name", None) or "bridge"), None, None
    path = Path(source).expanduser()
    is_gguf = path.suffix == ".gguf" and path.is_file()
    is_native = (path.is_file() and not is_gguf) or path.suffix in (".pt", ".pth", ".safetensors")
    if str(source) not in BUNDLED and is_native and not path.is_dir():
        files = Files.of(files_of_native(path), store)
        bridge, untouched = boot_native(path, place)
        files.check_unchanged()
        return bridge, path.stem, untouched, files
    folder, name = (folder_of(path, store), path.stem) if is_gguf else folder_of_source(source, revision)
    check_folder(folder)
    beside = {} if adapter is None else adapters.files_read(adapter)
    files = Files.of(files_read(folder) | beside, store)
    bridge, untouched = _boot_folder(folder, place, adapter)
    files.check_unchanged()
    return bridge, name if adapter is None else f"{name}+{adapter.resolve().name}", untouched, files


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


def _check_folder(source: str | Path | Any, place: dict[str, Any], adapter: Path | None) -> None:
    """Raise ``ModelError`` for what is asked of a model in a Hugging Face folder alone, where it is another."""
    what = ["an adapter is"] if adapter is not None else []
    what += ["device='auto' is"] if place["device"] == AUTO else []
    if what and not (isinstance(source, str | Path) and not Path(source).is_file()):
        shown = source if isinstance(source, str | Path) else f"a {type(source).__name__}"
        raise ModelError(f"{what[0]} of a model in a Hugging Face folder, and {shown} is none")


def _identity(bridge: Any, weights: Weights, bos: Bos, files: Files | None) -> Identity:
    """Of a bridge before anything is folded or centred (``weights`` says whether it will be)."""
    dtype = str(bridge.cfg.dtype).removeprefix("torch.")
    quantised = [bits for bits in QUANTISED if getattr(bridge.original_model, f"is_loaded_in_{bits}", False)]
    dtype = " ".join([*quantised, dtype])
    if files is None:
        return Identity((), weights, bos_of(bridge, bos), dtype, of_bridge(bridge))
    has_tokenizer = any(name.startswith("tokenizer") for name, *_ in files.digests)
    content = "" if has_tokenizer else of_vocabulary(bridge.tokenizer)
    return Identity(files.digests, weights, bos_of(bridge, bos), dtype, content)


def _boot_folder(folder: Path, place: dict[str, Any], adapter: Path | None) -> tuple[Any, Untouched]:
    from transformer_lens.model_bridge import TransformerBridge

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


def _redrawn(bridge: Any, name: str, seed: int) -> _Booted:
    """A bridge of the same architecture, its weights drawn as its class draws them."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers import PreTrainedModel

    original = bridge.original_model
    if not isinstance(original, PreTrainedModel):
        raise ModelError(f"{name} is no transformers model, so that it is not known how its weights are drawn")
    config = deepcopy(original.config)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = type(original)(config).to(device=bridge.cfg.device, dtype=bridge.cfg.dtype)
            sight = getattr(bridge, "sight", None)
            untouched = Untouched(network, None if sight is None else classes_by(sight))
            made = build_bridge_from_module(
                network, bridge.cfg.architecture, hf_config=config, model_name=f"{name} with random weights"
            )
    except Exception as error:
        raise ModelError(f"{name} cannot be made with random weights: {type(error).__name__}: {error}") from error
    if sight is not None:
        from circuitcheck.models.images.seeing import seeing

        made = seeing(made, sight)
    made.tokenizer = bridge.tokenizer
    made.cfg.default_prepend_bos = bridge.cfg.default_prepend_bos
    return made, made.cfg.model_name, untouched, None
