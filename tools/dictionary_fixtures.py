"""Write the dictionaries that the tests read, with what SAELens itself says of them: one for every kind that it can write.

python -m venv /tmp/sae && /tmp/sae/bin/pip install sae-lens==6.54.12     # it needs an older TransformerLens: an environment of its own
/tmp/sae/bin/python tools/dictionary_fixtures.py tests/models/dictionaries/written

Each folder has SAELens' own files, and in ``expected.safetensors`` what it makes of some vectors: ``read`` [token, width], ``features``
[token, feature], ``output`` [token, width]. Weights are random: it is the arithmetic that is compared.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

warnings.simplefilter("ignore")
WIDTH, FEATURES, TOKENS = 128, 12, 6
METADATA = {"hook_name": "blocks.1.hook_resid_post", "model_name": "bundled", "model_from_pretrained_kwargs": {}}
OF_TRANSCODERS = {**METADATA, "hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}


def kinds() -> dict[str, Any]:
    """A dictionary of each kind, by the name of its folder."""
    import sae_lens as lens
    from sae_lens.saes import transcoder
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    sizes = {"d_in": WIDTH, "d_sae": FEATURES}
    autoencoder = {**sizes, "metadata": SAEMetadata(**METADATA)}
    coder = {**sizes, "metadata": SAEMetadata(**OF_TRANSCODERS), "d_out": WIDTH, "apply_b_dec_to_input": False}
    standard, standard_of = lens.StandardSAE, lens.StandardSAEConfig
    return {
        "standard": standard(standard_of(**autoencoder)),
        "standard_offset_kept": standard(standard_of(**autoencoder, apply_b_dec_to_input=False)),
        "standard_layer_norm": standard(standard_of(**autoencoder, normalize_activations="layer_norm")),
        "standard_rescaled": standard(standard_of(**autoencoder, normalize_activations="constant_norm_rescale")),
        "topk": lens.TopKSAE(lens.TopKSAEConfig(**autoencoder, k=3)),
        "topk_rescaled": lens.TopKSAE(lens.TopKSAEConfig(**autoencoder, k=3, rescale_acts_by_decoder_norm=True)),
        "jumprelu": lens.JumpReLUSAE(lens.JumpReLUSAEConfig(**autoencoder)),
        "gated": lens.GatedSAE(lens.GatedSAEConfig(**autoencoder)),
        "batchtopk": BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**autoencoder, k=3)),
        "transcoder": transcoder.Transcoder(transcoder.TranscoderConfig(**coder)),
        "skip_transcoder": transcoder.SkipTranscoder(transcoder.SkipTranscoderConfig(**coder)),
        "jumprelu_transcoder": transcoder.JumpReLUTranscoder(transcoder.JumpReLUTranscoderConfig(**coder)),
        "jumprelu_skip_transcoder": transcoder.JumpReLUSkipTranscoder(transcoder.JumpReLUSkipTranscoderConfig(**coder)),
    }


def write(root: Path) -> None:
    from sae_lens import SAE

    for number, (name, made) in enumerate(kinds().items()):
        folder, chance = root / name, torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=chance) / parameter.shape[-1] ** 0.5)
            if hasattr(made, "threshold"):
                made.threshold.copy_(torch.rand(FEATURES, generator=chance) / 2)
        read = torch.randn(TOKENS, WIDTH, generator=chance) + 0.5
        if name == "batchtopk":  # what is saved to be used is a JumpReLU dictionary
            made.topk_threshold = torch.tensor(0.3, dtype=torch.double)
            made.save_inference_model(folder)
        else:
            made.save_model(folder)
        used = SAE.load_from_disk(folder)
        with torch.no_grad():
            said = {"read": read, "features": used.encode(read), "output": used(read)}
        save_file({key: value.detach().contiguous() for key, value in said.items()}, folder / "expected.safetensors")
        if name == "batchtopk":
            made.save_model(root / "batchtopk_in_training")
            (root / "batchtopk_in_training" / "expected.safetensors").write_bytes(
                (folder / "expected.safetensors").read_bytes()
            )
    _write_gemma_scope(root)


def _write_gemma_scope(root: Path) -> None:
    """The JumpReLU dictionary that takes no bias from what it reads, as Gemma Scope has it: an npz of its tensors."""
    from sae_lens import SAE, JumpReLUSAE, JumpReLUSAEConfig

    whole = SAE.load_from_disk(root / "jumprelu")
    made = JumpReLUSAE(JumpReLUSAEConfig(d_in=WIDTH, d_sae=FEATURES, apply_b_dec_to_input=False))
    made.load_state_dict(whole.state_dict())
    folder = root / "gemma_scope"
    folder.mkdir(exist_ok=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in made.state_dict().items()})
    read = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(99)) + 0.5
    with torch.no_grad():
        save_file({"read": read, "features": made.encode(read), "output": made(read)}, folder / "expected.safetensors")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    print(json.dumps(sorted(path.name for path in Path(sys.argv[1]).iterdir())))
