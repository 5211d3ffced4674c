"""Make a Hugging Face folder of NeelNanda/Attn_Only_4L512W_C4_Code, TransformerLens' `attn-only-4l`: a GPT-2 whose MLPs write nothing.

python hypotheses/attn_only_4l/convert.py FOLDER      (downloads 70 MB from the hub, once)
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

MODEL, TOKENIZER = "NeelNanda/Attn_Only_4L512W_C4_Code", "NeelNanda/gpt-neox-tokenizer-digits"


def converted(state: Mapping[str, torch.Tensor]) -> GPT2LMHeadModel:
    """A network of a HookedTransformer's weights. Raises ``ValueError`` for what GPT-2 has no place for."""
    layers = sum(name.endswith("attn.W_Q") for name in state)
    heads, width, _ = state["blocks.0.attn.W_Q"].shape
    (vocabulary, _), (length, _) = state["embed.W_E"].shape, state["pos_embed.W_pos"].shape
    if any(".mlp." in name for name in state):
        raise ValueError("it has MLPs, which would be lost")
    if (shift := state.get("unembed.b_U")) is not None and (shift - shift.mean()).abs().max() > 1e-6:
        raise ValueError("its unembedding has a bias, which GPT-2 has no place for")
    network = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary, n_positions=length, n_embd=width, n_layer=layers, n_head=heads, n_inner=1,
            tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    with torch.no_grad():
        body = network.transformer
        body.wte.weight.copy_(state["embed.W_E"])
        body.wpe.weight.copy_(state["pos_embed.W_pos"])
        network.lm_head.weight.copy_(state["unembed.W_U"].T)
        for number, block in enumerate(body.h):
            there = f"blocks.{number}."
            parts = [state[f"{there}attn.W_{part}"].permute(1, 0, 2).reshape(width, -1) for part in "QKV"]
            block.attn.c_attn.weight.copy_(torch.cat(parts, dim=1))
            block.attn.c_attn.bias.copy_(torch.cat([state[f"{there}attn.b_{part}"].flatten() for part in "QKV"]))
            block.attn.c_proj.weight.copy_(state[f"{there}attn.W_O"].reshape(-1, width))
            block.attn.c_proj.bias.copy_(state[f"{there}attn.b_O"])
            for one in (*block.mlp.c_fc.parameters(), *block.mlp.c_proj.parameters()):
                one.zero_()
            _normalise(block.ln_1, state, f"{there}ln1")
        _normalise(body.ln_f, state, "ln_final")
    return network


def _normalise(norm: torch.nn.LayerNorm, state: Mapping[str, torch.Tensor], name: str) -> None:
    if f"{name}.w" in state:
        norm.weight.copy_(state[f"{name}.w"])
        norm.bias.copy_(state[f"{name}.b"])


def main(folder: str) -> None:
    """Download, convert, and write the folder."""
    there = Path(snapshot_download(MODEL, allow_patterns=["config.json", "*final.pth"]))
    said = json.loads((there / "config.json").read_text(encoding="utf-8"))
    kind = said.get("normalization", said.get("normalization_type"))
    if kind not in ("LN", "LNPre") or said.get("shortformer_pos") or said.get("final_rms"):
        sys.exit(f"{MODEL} is not the model that this was written for: {said}")
    [weights] = there.glob("*final.pth")
    converted(torch.load(weights, map_location="cpu", weights_only=True)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(TOKENIZER).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
