"""A GGUF file as a Hugging Face folder: its weights dequantised to float32, its configuration, its tokenizer."""

import contextlib
import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from circuitcheck.errors import ModelError
from circuitcheck.models.fetching.cache import made

_MISSING = "GGUF files are read by the package gguf, which is missing: pip install 'circuitcheck[gguf]'"


def folder_of(path: Path) -> Path:
    """The folder that a GGUF file was made into, or is now; the same for the same content. Raises ``ModelError``."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return made(f"{path.stem}-{content[:16]}", lambda folder: convert(path, folder))


def convert(path: Path, folder: Path) -> None:
    """Write the folder of a GGUF file. Raises ``ModelError`` for one that transformers cannot read whole."""
    check_installed()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    size = path.stat().st_size
    print(f"converting {path.name} ({size / 1e6:,.0f} MB) once; this takes a while", file=sys.stderr, flush=True)
    given = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name, "local_files_only": True}
    try:
        with _quiet():
            network, report = AutoModelForCausalLM.from_pretrained(**given, dtype="float32", output_loading_info=True)
            tokenizer = AutoTokenizer.from_pretrained(**given)
    except Exception as error:  # of whatever kind: the reader raises what its parsers raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{path} is no GGUF file that transformers can read ({first})") from error
    problems = sorted({*report["missing_keys"], *report["unexpected_keys"]} - _tied(network))
    if problems:
        raise ModelError(f"{path} and the architecture that it names do not fit: {', '.join(problems[:4])}")
    _write(network, folder)
    tokenizer.save_pretrained(folder)


def check_installed() -> None:
    """Raise ``ModelError`` where the package that reads GGUF files is missing."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise ModelError(_MISSING) from None


def _write(network: "object", folder: Path) -> None:
    """Weights and configuration, as of a model that was never quantised."""
    from safetensors.torch import save_file

    config, tied = network.config, _tied(network)  # type: ignore[attr-defined]
    weights = {
        name: tensor.contiguous()
        for name, tensor in network.state_dict().items()  # type: ignore[attr-defined]
        if name not in tied
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = [type(network).__name__]
    config.save_pretrained(folder)


def _tied(network: "object") -> set[str]:
    """Weights that are others' by another name, and stand in no file."""
    is_tied = bool(network.config.tie_word_embeddings)  # type: ignore[attr-defined]
    return {"lm_head.weight"} if is_tied else set()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without other libraries' warnings, and without their progress bars where nobody sees them; what matters is raised."""
    import warnings

    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        seen = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
        with warnings.catch_warnings(), seen:
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()
