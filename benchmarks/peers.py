"""The libraries that circuitcheck's benchmark compares with: TransformerLens hooks, nnsight and pyvene.

Every peer does the same work in its library's own way: the clean and the corrupted batch are run once, and a claim is
one batched forward of the corrupted batch with the clean activation put in. All are given what makes them fast: no
gradients, no key-value cache, logits of the last position only, and clean activations kept as they are.
"""

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import torch

LAST_LOGITS = {"use_cache": False, "logits_to_keep": 1}
KINDS = ("H", "N", "MLP")  # in the order of a forward pass
HOOKS = {"H": "blocks.{}.attn.hook_z", "N": "blocks.{}.mlp.hook_post", "MLP": "blocks.{}.hook_mlp_out"}
PYVENE_COMPONENTS = {"H": "attention_value_output", "N": "mlp_activation", "MLP": "mlp_output"}

Site = tuple[int, str]
Place = tuple[slice, slice | int, slice | int]


@dataclass(frozen=True)
class Claim:
    """One activation patch: the clean activation put into the corrupted run.

    ``kind``: "N" one hidden neuron of an MLP (input of its output projection), "H" one head's z (its slice of the input
    of the attention's output projection), "MLP" the MLP's output. ``index``: number of the neuron or head, -1 for
    "MLP". ``position``: None for all positions, -1 for the last one.
    """

    kind: str
    layer: int
    index: int
    position: int | None

    @property
    def site(self) -> Site:
        """Layer and kind: which activation of the forward pass the claim is about."""
        return self.layer, self.kind


class Peer(Protocol):
    """A library that patches activations."""

    name: str

    def base_runs(self, claims: Sequence[Claim]) -> None:
        """Run the clean and the corrupted batch once each; keep the clean activations that these claims need."""

    def patched(self, claim: Claim) -> torch.Tensor:
        """Answer - foil logit difference of the corrupted batch with the patch, one per pair."""


class _Base:
    """What the peers share: the batches, the readout and the values of the unpatched runs."""

    def __init__(self, clean: torch.Tensor, corrupt: torch.Tensor, answer: torch.Tensor, foil: torch.Tensor):
        self.clean, self.corrupt, self.answer, self.foil = clean, corrupt, answer, foil
        self.clean_difference = self.corrupt_difference = torch.empty(0)

    def _difference(self, logits: torch.Tensor) -> torch.Tensor:
        last = logits[:, -1]
        pairs = torch.arange(len(last), device=last.device)
        return last[pairs, self.answer] - last[pairs, self.foil]


class TransformerLensPeer(_Base):
    """TransformerLens: ``run_with_cache`` for the clean run, ``run_with_hooks`` for a claim."""

    def __init__(
        self, bridge: Any, clean: torch.Tensor, corrupt: torch.Tensor, answer: torch.Tensor, foil: torch.Tensor
    ):
        super().__init__(clean, corrupt, answer, foil)
        self.name = f"TransformerLens {version('transformer_lens')} hooks"
        self._bridge = bridge
        self._cache: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def base_runs(self, claims: Sequence[Claim]) -> None:
        """Run the clean and the corrupted batch once each; keep the clean activations that these claims need."""
        names = [self._hook(site) for site in _sites(claims)]
        logits, self._cache = self._bridge.run_with_cache(
            self.clean, return_cache_object=False, names_filter=names, **LAST_LOGITS
        )
        self.clean_difference = self._difference(logits)
        self.corrupt_difference = self._difference(self._bridge(self.corrupt, **LAST_LOGITS))

    @torch.inference_mode()
    def patched(self, claim: Claim) -> torch.Tensor:
        """Answer - foil logit difference of the corrupted batch with the patch, one per pair."""
        name = self._hook(claim.site)
        place = _place(claim, slice(None) if claim.kind == "MLP" else claim.index)
        clean = self._cache[name][place]

        def patch(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            activation[place] = clean
            return activation

        return self._difference(self._bridge.run_with_hooks(self.corrupt, fwd_hooks=[(name, patch)], **LAST_LOGITS))

    def _hook(self, site: Site) -> str:
        layer, kind = site
        return HOOKS[kind].format(layer)


class NnsightPeer(_Base):
    """nnsight: a trace per forward, with in-place writes to the modules' inputs and outputs."""

    def __init__(
        self, hf_model: Any, clean: torch.Tensor, corrupt: torch.Tensor, answer: torch.Tensor, foil: torch.Tensor
    ):
        super().__init__(clean, corrupt, answer, foil)
        self._nnsight = _extra("nnsight")
        self.name = f"nnsight {version('nnsight')}"
        self._model = self._nnsight.NNsight(_own_modules(hf_model))
        self._head_width = hf_model.config.n_embd // hf_model.config.n_head
        self._cache: dict[Site, torch.Tensor] = {}

    @torch.inference_mode()
    def base_runs(self, claims: Sequence[Claim]) -> None:
        """Run the clean and the corrupted batch once each; keep the clean activations that these claims need."""
        sites = _sites(claims)
        with self._model.trace(self.clean, **LAST_LOGITS):
            cache = self._nnsight.save({site: self._activation(site) for site in sites})
            logits = self._nnsight.save(self._model.output.logits)
        self._cache = cache
        self.clean_difference = self._difference(logits)
        self.corrupt_difference = self._difference(self._model.trace(self.corrupt, trace=False, **LAST_LOGITS).logits)

    @torch.inference_mode()
    def patched(self, claim: Claim) -> torch.Tensor:
        """Answer - foil logit difference of the corrupted batch with the patch, one per pair."""
        place = _place(claim, _columns(claim, self._head_width))
        clean = self._cache[claim.site][place]
        with self._model.trace(self.corrupt, **LAST_LOGITS):
            self._activation(claim.site)[place] = clean
            logits = self._nnsight.save(self._model.output.logits)
        return self._difference(logits)

    def _activation(self, site: Site) -> Any:
        layer, kind = site
        block = self._model.transformer.h[layer]
        if kind == "MLP":
            return block.mlp.output
        return block.attn.c_proj.input if kind == "H" else block.mlp.c_proj.input


class PyvenePeer(_Base):
    """pyvene: an intervenable model per activation, made once; a claim gives it locations and the clean values."""

    def __init__(
        self, hf_model: Any, clean: torch.Tensor, corrupt: torch.Tensor, answer: torch.Tensor, foil: torch.Tensor
    ):
        super().__init__(clean, corrupt, answer, foil)
        self._pyvene = _extra("pyvene")
        self.name = f"pyvene {version('pyvene')}"
        self._model = _own_modules(hf_model)
        self._head_width = hf_model.config.n_embd // hf_model.config.n_head
        self._cache: dict[Site, torch.Tensor] = {}
        self._intervenable: dict[Site, Any] = {}

    @torch.inference_mode()
    def base_runs(self, claims: Sequence[Claim]) -> None:
        """Run the clean and the corrupted batch once each; keep the clean activations that these claims need."""
        pyvene, sites = self._pyvene, _sites(claims)
        collect = [
            # keep_last_dim: without it pyvene expects one position, and fails on all of them
            {**self._component(site), "intervention": pyvene.CollectIntervention(keep_last_dim=True)}
            for site in sites
        ]
        (_, activations), output = pyvene.IntervenableModel(collect, self._model)(
            {"input_ids": self.clean, **LAST_LOGITS}
        )
        self._cache = dict(zip(sites, activations, strict=True))
        self._intervenable = {
            site: pyvene.IntervenableModel(
                {**self._component(site), "intervention_type": pyvene.VanillaIntervention}, self._model
            )
            for site in sites
        }
        self.clean_difference = self._difference(output.logits)
        self.corrupt_difference = self._difference(self._model(self.corrupt, **LAST_LOGITS).logits)

    @torch.inference_mode()
    def patched(self, claim: Claim) -> torch.Tensor:
        """Answer - foil logit difference of the corrupted batch with the patch, one per pair."""
        pairs, length = self.corrupt.shape
        clean, locations, subspaces = self._cache[claim.site], None, None  # None: all positions, all columns
        if claim.position is not None:
            position = claim.position % length
            clean, locations = clean[:, [position]], {"base": [[[position]] * pairs]}
        if claim.kind != "MLP":
            columns = range(clean.shape[-1])[_columns(claim, self._head_width)]
            subspaces = [[[columns] if isinstance(columns, int) else list(columns)] * pairs]
        _, output = self._intervenable[claim.site](
            {"input_ids": self.corrupt, **LAST_LOGITS},
            unit_locations=locations,
            source_representations=clean,
            subspaces=subspaces,
        )
        return self._difference(output.logits)

    def _component(self, site: Site) -> dict[str, Any]:
        layer, kind = site
        return {"layer": layer, "component": PYVENE_COMPONENTS[kind], "unit": "pos"}


def _sites(claims: Sequence[Claim]) -> list[Site]:
    """The activations that claims need, once each, in the order of a forward pass."""
    return sorted({claim.site for claim in claims}, key=lambda site: (site[0], KINDS.index(site[1])))


def _columns(claim: Claim, head_width: int) -> slice | int:
    """Where the claim's unit sits in the last dimension of a Hugging Face module's activation."""
    if claim.kind == "H":
        return slice(claim.index * head_width, (claim.index + 1) * head_width)
    return claim.index if claim.kind == "N" else slice(None)


def _place(claim: Claim, unit: slice | int) -> Place:
    return slice(None), slice(None) if claim.position is None else claim.position, unit


def _own_modules(hf_model: Any) -> Any:
    """A copy of the modules that shares the weights: nnsight replaces forwards, pyvene removes every hook it finds."""
    return copy.deepcopy(hf_model, {id(weight): weight for weight in hf_model.parameters()})


def _extra(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError("the benchmark's peers are an extra: pip install 'circuitcheck[bench]'") from error
