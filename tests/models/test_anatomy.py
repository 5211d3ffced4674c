"""The anatomy is each layer's own: what is there gives the numbers of plain transformers, with PyTorch's own hooks, and what is not
is refused by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BambaConfig,
    DeepseekV3Config,
    JambaConfig,
    Lfm2Config,
    MambaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen3NextConfig,
)

from circuitcheck import AddressError, MethodError, Model, PromptPairs, load
from tests.architectures import saved
from tests.conftest import each

_SMALL: dict[str, Any] = {"vocab_size": 850, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_SMALL |= {"intermediate_size": 48, "max_position_embeddings": 64, "num_key_value_heads": 2, "pad_token_id": None}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_SSM = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "LFM2": lambda: Lfm2Config(**_SMALL, layer_types=["conv", "full_attention", "conv"]),
    "DeepSeek-V3": lambda: DeepseekV3Config(
        **{**_SMALL, "num_key_value_heads": 4},
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=4,
        qk_nope_head_dim=4,
        v_head_dim=6,
    ),
    "Qwen2-MoE": lambda: Qwen2MoeConfig(**_SMALL, **_EXPERTS, shared_expert_intermediate_size=16, mlp_only_layers=[1]),
    "Qwen3-Next": lambda: Qwen3NextConfig(
        **_SMALL,
        **_EXPERTS,
        **_LINEAR,
        head_dim=8,
        shared_expert_intermediate_size=16,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
        mlp_only_layers=[0],
    ),
    "Jamba": lambda: JambaConfig(
        **_SMALL,
        attn_layer_period=3,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        num_experts=4,
        mamba_d_state=8,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    "Bamba": lambda: BambaConfig(**_SMALL, **_SSM, mamba_expand=2, attn_layer_indices=[1]),
}
# The layers that have heads, and neurons; None: all.
HEADS = {"LFM2": [1], "Qwen3-Next": [1], "Jamba": [1], "Bamba": [1]}
NEURONS = {"DeepSeek-V3": [0], "Qwen2-MoE": [1], "Qwen3-Next": [0], "Jamba": [0, 2]}
_OUTPUTS = ("self_attn.o_proj", "self_attn.out_proj"), ("mlp.down_proj", "feed_forward.w2", "feed_forward.down_proj")


class Plain:
    """The untouched network, and what is put in with PyTorch's hooks."""

    def __init__(self, network: PreTrainedModel):
        self.network = network.eval()

    def __call__(self, ids: tuple[int, ...]) -> torch.Tensor:
        with torch.no_grad():
            return self.network(torch.tensor([ids]), use_cache=False).logits[0, -1].double()

    def projection(self, layer: int, kind: str) -> torch.nn.Module:
        block = self.network.get_submodule("model.layers")[layer]
        names = _OUTPUTS[kind == "N"]
        return next(module for name, module in block.named_modules() if name in names)

    @contextmanager
    def hooked(self, layer: int, kind: str, edit: Callable[[torch.Tensor], None]) -> Iterator[None]:
        """``edit`` changes what the output projection of attention, or of an MLP, is given."""

        def before(module: torch.nn.Module, given: Any) -> Any:
            changed = given[0].clone()
            edit(changed[0])
            return (changed,)

        handle = self.projection(layer, kind).register_forward_pre_hook(before)
        try:
            yield
        finally:
            handle.remove()

    def patched(
        self, layer: int, kind: str, which: slice, clean: tuple[int, ...], corrupt: tuple[int, ...]
    ) -> torch.Tensor:
        """The corrupted run's logits with entries of the clean run."""
        there: list[torch.Tensor] = []
        with self.hooked(layer, kind, lambda given: there.append(given.clone())):
            self(clean)
        with self.hooked(layer, kind, lambda given: given[:, which].copy_(there[0][:, which])):
            return self(corrupt)

    def zeroed(self, layer: int, kind: str, which: slice, ids: tuple[int, ...]) -> torch.Tensor:
        with self.hooked(layer, kind, lambda given: given[:, which].zero_()):
            return self(ids)


@pytest.fixture(scope="module", params=each(list(CONFIGS), ("LFM2", "DeepSeek-V3")))
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Model, Plain]:
    name: str = request.param
    folder = saved(tmp_path_factory.mktemp("models") / name, CONFIGS[name](), scale=0.25)
    return name, load(folder, weights="raw"), Plain(AutoModelForCausalLM.from_pretrained(folder))


def test_heads_and_neurons_are_those_of_plain_transformers(models: tuple[str, Model, Plain]) -> None:
    name, model, plain = models
    clean, corrupt = (316, 439, 502, 760, 686, 670, 407, 163), (316, 439, 502, 760, 548, 670, 407, 163)
    moved = plain(clean) - plain(corrupt)
    answer, foil = int(moved.argmax()), int(moved.argmin())
    run = model.on(PromptPairs.from_rows([{"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil}]))

    def difference(logits: torch.Tensor) -> float:
        return float(logits[answer] - logits[foil])

    gap = difference(moved)
    assert run.gap.measure().estimate == pytest.approx(gap, abs=1e-4)
    for kind, there in (("H", HEADS.get(name, [0, 1, 2])), ("N", NEURONS.get(name, [0, 1, 2]))):
        for layer in range(3):
            address = f"L{layer}.{kind}3"
            if layer not in there:
                with pytest.raises(AddressError, match=rf"L{layer} of .* has no (heads|neurons) .*; L{there[0]}"):
                    run.patch(address)
                continue
            width = plain.projection(layer, kind).in_features // (4 if kind == "H" else 48)  # type: ignore[union-attr,operator]
            which = slice(3 * width, 4 * width) if kind == "H" else slice(3, 4)
            wanted = difference(plain.patched(layer, kind, which, clean, corrupt)) - difference(plain(corrupt))
            assert run.patch(address).measure().estimate == pytest.approx(wanted / gap, abs=1e-4)
            lost = difference(plain(clean)) - difference(plain.zeroed(layer, kind, which, clean))
            assert run.ablate(address, "zero").raw.measure().estimate == pytest.approx(lost, abs=1e-4)
        assert {site.layer for site in run.patch(f"L*.{kind}*")._estimand.experiment.sites} == set(there)
    assert all(len(run.sweep(address).values) for address in ("L*.H*", "L*.MLP", "L*.N*"))


@pytest.mark.slow
def test_what_a_layer_lacks_is_refused_where_it_is_asked_and_never_where_something_else_is(
    models: tuple[str, Model, Plain],
) -> None:
    """Every kind of address, in every layer, is a number or a refusal."""
    _, model, _ = models
    rows = [{"clean": [316, 439, 686, 670], "corrupt": [316, 439, 548, 670], "answer": 17, "foil": 300}]
    run, counted = model.on(PromptPairs.from_rows(rows)), 0
    kinds = ["H1", "H1.Q", "H1.K", "H1.V", "H1.PATTERN", "KV1.K", "KV1.V", "N3", "MLP", "ATTN"]
    for layer in range(3):
        for kind in [*kinds, "RESID_PRE", "RESID_MID", "RESID_POST"]:
            for ask in (
                lambda at: run.patch(at).raw,
                lambda at: run.ablate(at).raw,
                lambda at: run.direct(at),
                lambda at: run.lens(at),
                lambda at: run.attention(at, source="@-3"),
                lambda at: run.patch(f"{at} -> LOGITS").raw,
                lambda at: run.patch(f"L0.MLP -> {at}").raw,
            ):
                try:
                    assert ask(f"L{layer}.{kind}").measure().n == 1
                    counted += 1
                except (AddressError, MethodError):
                    continue
    assert counted > 60


def test_without_heads_and_mlps_streams_are_what_there_is(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=850, hidden_size=32, num_hidden_layers=2, state_size=8)
    model = load(saved(tmp_path / "mamba", config, scale=0.25), weights="raw")
    rows = [{"clean": [316, 439, 686, 670], "corrupt": [316, 439, 548, 670], "answer": 17, "foil": 300}]
    run = model.on(PromptPairs.from_rows(rows))
    assert run.patch("L1.RESID_POST").raw.measure().estimate == pytest.approx(run.gap.measure().estimate, abs=1e-5)
    with pytest.raises(AddressError, match=r"has no heads that can be addressed \(it has MambaMixer\)\n"):
        run.patch("L0.H0")
    with pytest.raises(MethodError, match="neither heads nor MLPs to be ablated: name what is, within="):
        run.keep("L0.RESID_PRE")
