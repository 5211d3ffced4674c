"""A folder's tokenizer, or none where transformers has none that reads text as the folder's own would."""

import json
from pathlib import Path
from typing import Any

# What tokenizers are saved as. Without any of these transformers makes an empty one of some classes, and says nothing.
_FILES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "*.vocab",
    "vocab-*.json",
)


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer as TransformerLens loads it; None without files, for a class that transformers lacks, and for what it cannot
    read or would have to run code of the folder for."""
    from transformer_lens.utilities.hf_utils import autotokenizer_with_special_token_compat
    from transformers import AutoTokenizer

    if not any(any(folder.glob(name)) for name in _FILES) or not _is_known(folder):
        return None
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        try:
            return autotokenizer_with_special_token_compat(
                str(folder), auto_tokenizer=AutoTokenizer, add_bos_token=True, **local
            )
        except ValueError:  # of a tokenizer that has no BOS token
            return AutoTokenizer.from_pretrained(folder, **local)
    except Exception:  # transformers raises anything here
        return None


def stand_in() -> Any:
    """A tokenizer of one word, for TransformerLens, which otherwise looks for one itself."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    word = "a"
    words = Tokenizer(models.WordLevel({word: 0}, unk_token=word))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=word)


def _is_known(folder: Path) -> bool:
    """Whether transformers has the class that a folder's tokenizer says it is of; a class of another name might read otherwise."""
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    try:
        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("tokenizer_class")
    except FileNotFoundError:
        return True
    except (ValueError, AttributeError):
        return False
    names = [] if said is None else [str(said), str(said).removesuffix("Fast")]
    return not names or any(tokenizer_class_from_name(name) is not None for name in names)
