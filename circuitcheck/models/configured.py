"""What a folder's config.json says of a model before its weights are read: an address of a layer that it has not is refused.

check_address("L40.H3", "smollm2")     # AddressError: smollm2 has layers 0-29
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.addresses.parsing import parse
from circuitcheck.errors import AddressError
from circuitcheck.models.loading import folder_of_source


def check_address(address: str, source: str | Path | Any, revision: str | None = None) -> None:
    """Raises ``AddressError`` for an address of layers that config.json says are not there. All else of it, and models that are
    in no Hugging Face folder, are left to be seen when the model is loaded."""
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
