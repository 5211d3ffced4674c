"""A GGUF file as a Hugging Face folder: its weights dequantised to float32, its configuration, its tokenizer."""

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path
from typing import Any

from circuitcheck.errors import ModelError
from circuitcheck.models.fetching.cache import made
from circuitcheck.models.folders import quiet_libraries
from circuitcheck.records.files import reason
from circuitcheck.records.identity import Files
from circuitcheck.records.store import Store

_MADE_BY = '"transformers_version": "5.23.0"'
_MISSING = "GGUF files are read by the package gguf, which is missing: pip install 'circuitcheck[gguf]'"


def folder_of(path: Path, store: Store | None) -> Path:
    """The folder that a GGUF file was made into, or is now; the same for the same content (whose hash the store remembers). Raises
    ``ModelError``."""
    [(_, _, content)] = Files.of({path.name: path}, store).digests
    return made(f"{path.stem}-{content[:16]}", lambda folder: convert(path, folder))


def convert(path: Path, folder: Path) -> None:
    """Write the folder of a GGUF file. Raises ``ModelError`` for one that transformers cannot read whole."""
    check_installed()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    size = path.stat().st_size
    print(f"converting {path.name} ({size / 1e6:,.0f} MB) once; this takes a while", file=sys.stderr, flush=True)
    given = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name, "local_files_only": True}
    # The bars of its reader are seen on a terminal, and litter everything else.
    seen = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with quiet_libraries(), seen:
            network, report = AutoModelForCausalLM.from_pretrained(**given, dtype="float32", output_loading_info=True)
            tokenizer = AutoTokenizer.from_pretrained(**given)
    except Exception as error:  # of whatever kind: the reader raises what its parsers raise
        raise ModelError(f"{path} is no GGUF file that transformers can read ({reason(error)})") from error
    problems = sorted({*report["missing_keys"], *report["unexpected_keys"]} - _tied(network))
    if problems:
        raise ModelError(f"{path} and the architecture that it names do not fit: {', '.join(problems[:4])}")
    _write(network, folder)
    tokenizer.save_pretrained(folder)


def check_installed() -> None:
    """Raise ``ModelError`` where the package that reads GGUF files is missing."""
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(_MISSING)


def _write(network: Any, folder: Path) -> None:
    """Weights and configuration, as of a model that was never quantised."""
    from safetensors.torch import save_file

    config, tied = network.config, _tied(network)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items() if name not in tied}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = [type(network).__name__]
    config.save_pretrained(folder)
    # What is made of one file is one model, whichever version of transformers makes it.
    written = folder / "config.json"
    text = re.sub(r'"transformers_version": "[^"]*"', _MADE_BY, written.read_text(encoding="utf-8"))
    written.write_text(text, encoding="utf-8")


def _tied(network: Any) -> set[str]:
    """Weights that are others' by another name, and stand in no file."""
    return {"lm_head.weight"} if network.config.tie_word_embeddings else set()
