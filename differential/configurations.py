"""One row per architecture: the sizes of a small random model of it, as an ordinary Hugging Face folder.

folder = saved("LlamaForCausalLM", path, "float32")
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedConfig
from transformers.models.auto import AutoModelForCausalLM

from circuitcheck.bundled import PATH

N_LAYERS, N_HEADS, VOCABULARY = 3, 4, 850
# Of what matrices are made, and of what is added to biases and the weights of norms, which would be 0 and 1 otherwise.
_MATRICES, _VECTORS = 0.25, 0.1

# In bfloat16 every expert and every token is chosen, since rounding would decide which are.
_CHOICES = {"num_experts_per_tok": 4, "moe_k": 4, "index_topk": 64}

Sizes = dict[str, Any]
_TOKENS: Sizes = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
_PLAIN: Sizes = {
    **_TOKENS,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": N_HEADS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_GROUPED: Sizes = {**_PLAIN, "num_key_value_heads": 2}
_HEAD: Sizes = {**_GROUPED, "head_dim": 8}
_OLD: Sizes = {**_TOKENS, "n_embd": 32, "n_layer": N_LAYERS, "n_head": N_HEADS, "n_positions": 64}
_WINDOW: Sizes = {"sliding_window": 4}
_EXPERTS: Sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LOCAL: Sizes = {"num_local_experts": 4, "num_experts_per_tok": 2}
_ROUTED: Sizes = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_shared_experts": 1}
_ROUTED |= {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
_LATENT: Sizes = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
_LATENT |= {"num_key_value_heads": N_HEADS}
_LINEAR: Sizes = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8}
_LINEAR |= {"linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention", "linear_attention"]}
_MAMBA: Sizes = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]

ARCHITECTURES: dict[str, Sizes] = {
    "AfmoeForCausalLM": {**_HEAD, **_EXPERTS, **_WINDOW, "num_dense_layers": 1},
    "ApertusForCausalLM": _GROUPED,
    "ArceeForCausalLM": _GROUPED,
    "BambaForCausalLM": {**_GROUPED, **_MAMBA, "attn_layer_indices": [1]},
    "BertLMHeadModel": {**_PLAIN, "is_decoder": True},
    "BitNetForCausalLM": _GROUPED,
    "BloomForCausalLM": {**_TOKENS, "hidden_size": 32, "n_layer": N_LAYERS, "n_head": N_HEADS},
    "CodeGenForCausalLM": {**_OLD, "rotary_dim": 4},
    "Cohere2ForCausalLM": {**_GROUPED, **_WINDOW, "layer_types": _SLIDING, "logit_scale": 0.5},
    "CohereForCausalLM": {**_GROUPED, "logit_scale": 0.5},
    "DeepseekV2ForCausalLM": {**_PLAIN, **_LATENT, **_ROUTED, "head_dim": 4},
    "DeepseekV3ForCausalLM": {**_PLAIN, **_LATENT, **_ROUTED},
    "DeepseekV4ForCausalLM": {**_HEAD, **_ROUTED},
    "Ernie4_5ForCausalLM": _HEAD,
    "Ernie4_5_MoeForCausalLM": {**_GROUPED, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16},
    "Exaone4ForCausalLM": {**_HEAD, **_WINDOW, "layer_types": _SLIDING},
    "FalconForCausalLM": _PLAIN,
    "FalconH1ForCausalLM": {**_HEAD, **_MAMBA, "mamba_d_ssm": 64},
    "FalconMambaForCausalLM": {**_TOKENS, "hidden_size": 32, "num_hidden_layers": N_LAYERS, "state_size": 8},
    "FlexOlmoForCausalLM": {**_GROUPED, **_EXPERTS},
    "GPT2LMHeadModel": _OLD,
    "GPTBigCodeForCausalLM": _OLD,
    "GPTJForCausalLM": {**_OLD, "rotary_dim": 4},
    "GPTNeoForCausalLM": {
        **_TOKENS,
        "hidden_size": 32,
        "num_layers": N_LAYERS,
        "num_heads": N_HEADS,
        "attention_types": [[["global", "local", "global"], 1]],
        "window_size": 4,
        "max_position_embeddings": 64,
    },
    "GPTNeoXForCausalLM": _PLAIN,
    "Gemma2ForCausalLM": {
        **_HEAD,
        **_WINDOW,
        "final_logit_softcapping": 4.0,
        "attn_logit_softcapping": 2.0,
        "query_pre_attn_scalar": 8,
    },
    "Gemma3ForCausalLM": {**_HEAD, **_WINDOW, "layer_types": _SLIDING},
    "Gemma4ForCausalLM": {
        **_HEAD,
        **_WINDOW,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "global_head_dim": 8,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": VOCABULARY,
    },
    "GemmaForCausalLM": _HEAD,
    "Glm4ForCausalLM": _HEAD,
    "Glm4MoeForCausalLM": {**_HEAD, **_ROUTED},
    "Glm4MoeLiteForCausalLM": {**_PLAIN, **_LATENT, **_ROUTED},
    "GlmForCausalLM": _HEAD,
    "GlmMoeDsaForCausalLM": {**_PLAIN, **_LATENT, **_ROUTED, "index_topk": 4, "index_n_heads": 2, "index_head_dim": 8},
    "GptOssForCausalLM": {**_HEAD, **_LOCAL, **_WINDOW, "layer_types": _SLIDING},
    "GraniteForCausalLM": {
        **_GROUPED,
        "residual_multiplier": 0.3,
        "embedding_multiplier": 2.0,
        "logits_scaling": 0.5,
    },
    "GraniteMoeForCausalLM": {**_GROUPED, **_LOCAL, "residual_multiplier": 0.3},
    "GraniteMoeHybridForCausalLM": {
        **_GROUPED,
        **_LOCAL,
        **_MAMBA,
        "shared_intermediate_size": 16,
        "layer_types": ["mamba", "attention", "mamba"],
    },
    "HrmTextForCausalLM": _GROUPED,
    "HunYuanDenseV1ForCausalLM": _HEAD,
    "Jais2ForCausalLM": _GROUPED,
    "JambaForCausalLM": {
        **_GROUPED,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
        "mamba_d_state": 8,
    },
    "JetMoeForCausalLM": {**_GROUPED, "kv_channels": 8, **_LOCAL, "num_key_value_heads": 2},
    "LagunaForCausalLM": {**_HEAD, **_EXPERTS},
    "Lfm2ForCausalLM": {**_GROUPED, "layer_types": ["conv", "full_attention", "conv"]},
    "Lfm2MoeForCausalLM": {
        **_GROUPED,
        **_EXPERTS,
        "num_dense_layers": 1,
        "layer_types": ["conv", "full_attention", "conv"],
    },
    "Llama4ForCausalLM": {**_HEAD, **_LOCAL, "intermediate_size_mlp": 48, "interleave_moe_layer_step": 2},
    "LlamaForCausalLM": _GROUPED,
    "Mamba2ForCausalLM": {
        **_TOKENS,
        "hidden_size": 32,
        "num_hidden_layers": N_LAYERS,
        "num_heads": 8,
        "head_dim": 8,
        "state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "MambaForCausalLM": {**_TOKENS, "hidden_size": 32, "num_hidden_layers": N_LAYERS, "state_size": 8},
    "MiniMaxM2ForCausalLM": {**_HEAD, **_LOCAL},
    "Ministral3ForCausalLM": _HEAD,
    "MistralForCausalLM": {**_GROUPED, **_WINDOW},
    "MixtralForCausalLM": {**_GROUPED, **_LOCAL},
    "ModernBertDecoderForCausalLM": {**_PLAIN, "local_attention": 4, "cls_token_id": 0, "sep_token_id": 0},
    "MptForCausalLM": {**_TOKENS, "d_model": 32, "n_layers": N_LAYERS, "n_heads": N_HEADS, "max_seq_len": 64},
    "NanoChatForCausalLM": _GROUPED,
    "NemotronForCausalLM": _GROUPED,
    "NemotronHForCausalLM": {
        **_HEAD,
        "layers_block_type": ["mamba", "attention", "moe"],
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
        "n_routed_experts": 4,
        "moe_intermediate_size": 16,
        "moe_shared_expert_intermediate_size": 16,
        "num_experts_per_tok": 2,
    },
    "OPTForCausalLM": {
        **_TOKENS,
        "hidden_size": 32,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 64,
    },
    "Olmo2ForCausalLM": _GROUPED,
    "Olmo3ForCausalLM": {**_GROUPED, **_WINDOW, "layer_types": _SLIDING},
    "OlmoForCausalLM": {**_GROUPED, "clip_qkv": 2.0},
    "OlmoHybridForCausalLM": {**_GROUPED, **_LINEAR},
    "OlmoeForCausalLM": {**_GROUPED, **_EXPERTS},
    "OpenAIGPTLMHeadModel": _OLD,
    "Phi3ForCausalLM": _GROUPED,
    "PhiForCausalLM": _GROUPED,
    "Qwen2ForCausalLM": _GROUPED,
    "Qwen2MoeForCausalLM": {**_GROUPED, **_EXPERTS, "shared_expert_intermediate_size": 16},
    "Qwen3ForCausalLM": _HEAD,
    "Qwen3MoeForCausalLM": {**_HEAD, **_EXPERTS},
    "Qwen3NextForCausalLM": {**_HEAD, **_EXPERTS, **_LINEAR, "shared_expert_intermediate_size": 16},
    "Qwen3_5ForCausalLM": {**_HEAD, **_LINEAR},
    "Qwen3_5MoeForCausalLM": {**_HEAD, **_EXPERTS, **_LINEAR, "shared_expert_intermediate_size": 16},
    "RecurrentGemmaForCausalLM": {
        **_GROUPED,
        "lru_width": 32,
        "attention_window_size": 4,
        "block_types": ["recurrent", "attention", "recurrent"],
    },
    "RwkvForCausalLM": {**_TOKENS, "hidden_size": 32, "num_hidden_layers": N_LAYERS, "context_length": 64},
    "SeedOssForCausalLM": _HEAD,
    "SmolLM3ForCausalLM": {**_GROUPED, "no_rope_layers": [1, 0, 1]},
    "StableLmForCausalLM": _GROUPED,
    "Starcoder2ForCausalLM": _GROUPED,
    "VaultGemmaForCausalLM": {**_HEAD, **_WINDOW, "layer_types": _SLIDING},
    "XGLMForCausalLM": {
        **_TOKENS,
        "d_model": 32,
        "ffn_dim": 48,
        "num_layers": N_LAYERS,
        "attention_heads": N_HEADS,
        "max_position_embeddings": 64,
    },
    "YoutuForCausalLM": {**_PLAIN, **_LATENT},
    "Zamba2ForCausalLM": {
        **_GROUPED,
        "layers_block_type": ["mamba", "hybrid", "mamba"],
        "mamba_headdim": 8,
        "n_mamba_heads": 8,
        "mamba_d_state": 8,
        "mamba_ngroups": 1,
        "chunk_size": 8,
        "num_mem_blocks": 1,
        "use_mem_rope": True,
    },
}


def left_out() -> dict[str, list[str]]:
    """The other architectures that TransformerLens wraps, by the reason for which they are not here."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    others, known = [name for name in SUPPORTED_ARCHITECTURES if name not in ARCHITECTURES], set(dir(transformers))
    unknown = [name for name in others if name not in known]
    return {
        "transformers has no class of that name (their code is the checkpoint's own, or TransformerLens')": unknown,
        "they are no decoders of text alone": [name for name in others if name not in unknown],
    }


def configuration(architecture: str, dtype: str) -> PreTrainedConfig:
    """The configuration of the small model of an architecture, by the name of its class in transformers."""
    sizes = ARCHITECTURES[architecture]
    if dtype != "float32":
        sizes = {**sizes, **{name: number for name, number in _CHOICES.items() if name in sizes}}
    config: PreTrainedConfig = getattr(transformers, architecture).config_class(**sizes)
    return config


def saved(architecture: str, folder: Path, dtype: str) -> Path:
    """A random model of an architecture for comparisons in a dtype, its weights in float32, with the bundled tokenizer. Every
    parameter is random, biases and norms too."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configuration(architecture, dtype), dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise * _MATRICES if weight.dim() > 1 else weight + noise * _VECTORS)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(PATH).save_pretrained(folder)
    return folder
