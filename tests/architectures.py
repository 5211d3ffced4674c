"""Small random models of the architectures that researchers load, as ordinary Hugging Face folders."""

from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto import AutoModelForCausalLM

from circuitcheck.bundled import PATH

_SMALL = {"vocab_size": 850, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
_SMALL |= {"hidden_size": 32, "max_position_embeddings": 64}
_GROUPED = {**_SMALL, "num_key_value_heads": 2}
_WINDOW = {"sliding_window": 4}
_CAPPED = {"final_logit_softcapping": 4.0, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}
ARCHITECTURES: dict[str, PreTrainedConfig] = {
    "GPT-2": GPT2Config(vocab_size=850, n_embd=32, n_layer=3, n_head=4, n_positions=64),
    "Llama": LlamaConfig(**_GROUPED),
    "Mistral": MistralConfig(**_GROUPED, **_WINDOW),
    "Qwen 2": Qwen2Config(**_GROUPED),
    "Qwen 3": Qwen3Config(**_GROUPED, head_dim=8),
    "Gemma 2": Gemma2Config(**_GROUPED, **_WINDOW, **_CAPPED, head_dim=8),
    "OLMo 2": Olmo2Config(**_GROUPED),
    "GPT-NeoX": GPTNeoXConfig(**_SMALL),
    "Phi": PhiConfig(**_SMALL),
    "Mixtral": MixtralConfig(**_GROUPED, num_local_experts=4),
    "OPT": OPTConfig(
        vocab_size=850,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        ffn_dim=48,
        word_embed_proj_dim=32,
        max_position_embeddings=64,
    ),
}
PARALLEL = ("GPT-NeoX", "Phi")


def saved(folder: Path, config: PreTrainedConfig, scale: float | None = None) -> Path:
    """A random model of an architecture, with the bundled tokenizer; ``scale``: of its matrices' entries."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters() if scale is not None else ():
            if parameter.dim() > 1:
                parameter.normal_(0, scale)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(PATH).save_pretrained(folder)
    return folder
