"""Runs on pictures beside plain transformers with PyTorch's own hooks, one picture at a time; attacks beside FGSM written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from circuitcheck.bundled import IMAGE_MODEL
from circuitcheck.prompts.images.aligning import AlignedPicture

if TYPE_CHECKING:
    from circuitcheck import ImagePairs, Model

LEMON, BANANA = 2, 3
CLS = 0
# A patch's place behind the class token, in pictures of four patches a row.
MIDDLE = 1 + 4 * 2 + 1


@pytest.fixture(scope="module")
def plain() -> Any:
    from transformers import ViTForImageClassification

    return ViTForImageClassification.from_pretrained(IMAGE_MODEL, attn_implementation="eager").eval()


def read(picture: np.ndarray) -> torch.Tensor:
    return (torch.tensor(picture).permute(2, 0, 1)[None] - 0.5) / 0.5


def pictures(model: Model, pairs: ImagePairs) -> list[tuple[torch.Tensor, torch.Tensor]]:
    found = [pair for pair in model.on(pairs)._setup.sample.pairs if isinstance(pair, AlignedPicture)]
    return [(read(pair.pixels("clean")), read(pair.pixels("corrupt"))) for pair in found]


def margin(logits: torch.Tensor) -> float:
    return float(logits[0, LEMON].double() - logits[0, BANANA].double())


@contextmanager
def changing(module: Any, change: Callable[[torch.Tensor], None], of_input: bool) -> Iterator[None]:
    """While the block lasts, what a module is given, or gives, is changed in place."""

    def before(module: Any, given: Any) -> Any:
        there = given[0].clone()
        change(there)
        return (there, *given[1:])

    def after(module: Any, given: Any, output: Any) -> Any:
        there = (output[0] if isinstance(output, tuple) else output).clone()
        change(there)
        return (there, *output[1:]) if isinstance(output, tuple) else there

    handle = module.register_forward_pre_hook(before) if of_input else module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def restored(plain: Any, both: list[tuple[Any, Any]], module: Any, place: Any, of_input: bool = False) -> float:
    """The share of the gap that comes back with what is at a place [position, width] of a module in the clean run."""
    shifts, gaps = [], []
    for clean, corrupt in both:
        kept: list[torch.Tensor] = []
        with torch.no_grad():
            with changing(module, lambda there, kept=kept: kept.append(there.clone()), of_input):  # type: ignore[misc]
                right = margin(plain(clean).logits)
            wrong = margin(plain(corrupt).logits)

            def put(there: torch.Tensor, kept: list[torch.Tensor] = kept) -> None:
                there[(0, *place)] = kept[0][(0, *place)]

            with changing(module, put, of_input):
                shifts.append(margin(plain(corrupt).logits) - wrong)
        gaps.append(right - wrong)
    return float(np.mean(shifts) / np.mean(gaps))


def test_a_plain_run_of_the_untouched_model_gives_the_same_gap(seeing: Model, lemons: ImagePairs, plain: Any) -> None:
    with torch.no_grad():
        gaps = [
            margin(plain(clean).logits) - margin(plain(corrupt).logits) for clean, corrupt in pictures(seeing, lemons)
        ]

    assert seeing.on(lemons).gap.measure().estimate == pytest.approx(np.mean(gaps), rel=1e-5)


@pytest.mark.parametrize(
    ("address", "module", "place", "of_input"),
    [
        ("L2.RESID_POST@cls", "vit.layers.2", (CLS,), False),
        ("L1.RESID_POST@patch{2,1}", "vit.layers.1", (MIDDLE,), False),
        ("L0.RESID_POST@*", "vit.layers.0", (slice(None),), False),
        ("L3.H2@cls", "vit.layers.3.attention.o_proj", (CLS, slice(32, 48)), True),
        ("L2.MLP@cls", "vit.layers.2.mlp", (CLS,), False),
        ("L4.N7@cls", "vit.layers.4.mlp.fc2", (CLS, 7), True),
        ("EMBED@patch{2,1}", "vit.embeddings", (MIDDLE,), False),
        ("L1.H0.V", "vit.layers.1.attention.v_proj", (slice(None), slice(0, 16)), False),
    ],
)
def test_a_patch_is_what_hooks_on_the_untouched_model_give(
    seeing: Model, lemons: ImagePairs, plain: Any, address: str, module: str, place: Any, of_input: bool
) -> None:
    wanted = restored(plain, pictures(seeing, lemons), plain.get_submodule(module), place, of_input)

    assert seeing.on(lemons).patch(address).measure().estimate == pytest.approx(wanted, abs=2e-5)


def test_what_is_ablated_by_its_mean_is_that_of_the_same_patch(seeing: Model, lemons: ImagePairs, plain: Any) -> None:
    both, layer = pictures(seeing, lemons), plain.vit.layers[3]
    streams: list[torch.Tensor] = []
    losses, clean_margins = [], []
    with torch.no_grad():
        with changing(layer, lambda there: streams.append(there.clone()), False):
            for pair in both:
                for picture in pair:
                    plain(picture)
        mean = torch.cat(streams).mean(0)
        for clean, _ in both:
            clean_margins.append(margin(plain(clean).logits))

            def put(there: torch.Tensor) -> None:
                there[0, CLS] = mean[CLS]

            with changing(layer, put, False):
                losses.append(clean_margins[-1] - margin(plain(clean).logits))

    measured = seeing.on(lemons).ablate("L3.RESID_POST@cls", "mean").raw.measure()

    assert measured.estimate == pytest.approx(np.mean(losses), rel=1e-4)


def test_attention_lens_and_direct_attribution_are_read_at_the_class_token(
    seeing: Model, lemons: ImagePairs, plain: Any
) -> None:
    run, paid, read_off = seeing.on(lemons), [], []
    with torch.no_grad():
        for clean, _ in pictures(seeing, lemons):
            said = plain(clean, output_attentions=True, output_hidden_states=True)
            paid.append(float(said.attentions[4][0, 1, CLS, MIDDLE]))
            read_off.append(margin(plain.classifier(plain.vit.layernorm(said.hidden_states[3][:, CLS]))))

    assert run.attention("L4.H1", source="patch{2,1}").measure().estimate == pytest.approx(np.mean(paid), abs=1e-6)
    assert run.lens("L2.RESID_POST").measure().estimate == pytest.approx(np.mean(read_off), rel=1e-4)
    layers = " | ".join(f"L{layer}.ATTN | L{layer}.MLP" for layer in range(6))
    written = run.direct(f"EMBED | {layers}", side="both").measure().estimate
    assert written == pytest.approx(run.gap.measure().estimate, rel=1e-4)


def test_a_path_to_the_end_is_the_patch_of_the_last_sublayer(seeing: Model, lemons: ImagePairs) -> None:
    run = seeing.on(lemons)

    assert run.patch("L5.MLP -> LOGITS").measure().estimate == pytest.approx(
        run.patch("L5.MLP@cls").measure().estimate, abs=1e-5
    )


def by_hand(plain: Any, clean: torch.Tensor, aim: int, eps: float, steps: int, towards: bool) -> torch.Tensor:
    """Iterated FGSM on pixels in [0, 1], of shape [1, 3, row, column]."""
    there = clean.clone()
    for _ in range(steps):
        there.requires_grad_()
        loss = torch.nn.functional.cross_entropy(plain((there - 0.5) / 0.5).logits, torch.tensor([aim]))
        slope = torch.autograd.grad(loss, there)[0].sign()
        length = eps if steps == 1 else 2 * eps / steps
        there = there.detach() + (-length if towards else length) * slope
        there = (clean + (there - clean).clamp(-eps, eps)).clamp(0, 1)
    return there


@pytest.mark.parametrize(("steps", "targeted"), [(8, True), (1, True), (4, False)])
def test_an_attack_is_iterated_fgsm(seeing: Model, lemons: ImagePairs, plain: Any, steps: int, targeted: bool) -> None:
    eps = 6 / 255
    attacked = lemons.attacked(eps=eps, steps=steps, targeted=targeted)
    pairs = [pair for pair in seeing.on(attacked)._setup.sample.pairs if isinstance(pair, AlignedPicture)]

    assert len(pairs) == 3 * 2 * 2  # each clean picture once, whatever it was contrasted with
    for pair in pairs:
        clean = torch.tensor(pair.pixels("clean")).permute(2, 0, 1)[None]
        wanted = by_hand(plain, clean, BANANA if targeted else LEMON, eps, steps, targeted)
        found = torch.tensor(pair.pixels("corrupt")).permute(2, 0, 1)[None]
        # Signs of slopes that are nearly 0 may differ by rounding.
        assert float(((found - wanted).abs() > 1e-5).float().mean()) < 0.02
        assert float((found - clean).abs().max()) <= eps + 1e-6
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        with torch.no_grad():
            best = int(plain((found - 0.5) / 0.5).logits.argmax())
        assert pair.fooled is ((best == BANANA) if targeted else (best != LEMON))
