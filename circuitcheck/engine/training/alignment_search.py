"""Distributed alignment search (Geiger et al. 2024): the subspace of a site whose interchange makes a model give counterfactual answers.

The basis is trained by Adam on the cross-entropy of the counterfactual answer among all answers that there are; the model is not. What
comes before the site is run once: each step begins at its block.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.cone.forks import Fork
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.hooks.hookpoints import Entry, Target, arranged, targets
from circuitcheck.engine.hooks.writes import Hook
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import MethodError
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_BATCH, _RATE = 64, 1e-2  # pairs a step, and Adam's learning rate


def trained_basis(
    answers: Answers, sample: Sample, sites: Sequence[Site], rank: int, steps: int, seed: int, shuffled: bool
) -> "Floats":
    """An orthonormal basis, of shape [width, rank], trained on pairs whose clean prompt is the source and whose corrupted one the base.
    ``shuffled``: the pairs' answers are dealt out again among them, so that there is nothing to be found."""
    if any(pair.has_several for pair in sample.pairs):
        raise MethodError("a subspace is trained on answers of one token each, and some of these have several")
    doing = ("trained", tuple(sites), rank, steps, seed, shuffled)
    key = bytes.fromhex(sample.identity)
    with answers.question():
        [known] = answers.remembered.recall_arrays(doing, [key])
        if known is None:
            known = _trained(answers, sample, sites, rank, steps, seed, shuffled)
            answers.remembered.keep_arrays(doing, [(key, known)])
    basis: Floats = known.reshape(-1, rank)
    return basis


def _trained(
    answers: Answers, sample: Sample, sites: Sequence[Site], rank: int, steps: int, seed: int, shuffled: bool
) -> "Floats":
    from transformer_lens.tools.analysis.interchange import LearnedSubspace, SubspaceInterchange

    engine, [target] = answers.engine, targets(sites)
    chunk = max(engine.chunks(sample), key=lambda one: len(one.pairs))  # what runs alike is trained together
    engine.trust.check_recorded(chunk, "corrupt", target)
    draw = np.random.default_rng(seed)
    with torch.inference_mode(False), torch.enable_grad():
        source = engine.making.in_other_run(chunk, "corrupt", target, 0).clone()
        logits, wanted, classes = _logits(engine, chunk, target), *_wanted(chunk)
        if shuffled:
            wanted = wanted[torch.as_tensor(draw.permutation(len(wanted)))]
        mask = chunk.mask(target.position, "corrupt").to(source.device)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            subspace = LearnedSubspace(_entries(source, target).shape[-1], rank).to(source)
        adam, put = torch.optim.Adam(subspace.parameters(), lr=_RATE), SubspaceInterchange(subspace)
        for step in range(steps):
            which = torch.as_tensor(draw.choice(len(wanted), min(_BATCH, len(wanted)), replace=False))
            hook = _putting(target, put, source[which.to(source.device)], mask[which.to(source.device)])
            scores = logits(which, hook, classes).log_softmax(1)
            answer = scores.masked_fill(~wanted[which].to(scores.device), -torch.inf).logsumexp(1)
            found = torch.autograd.grad(-answer.mean(), list(subspace.parameters()))
            for parameter, slope in zip(subspace.parameters(), found, strict=True):
                parameter.grad = slope
            adam.step()
            answers.progress("training a subspace", step + 1, steps)
        basis: Floats = subspace.basis.detach().double().cpu().numpy()
    return basis


def _wanted(chunk: Chunk) -> tuple[torch.Tensor, torch.Tensor]:
    """Which of all answers' tokens each pair's counterfactual answer has, of shape [pair, token]; and these tokens."""
    tokens = sorted({token for pair in chunk.pairs for token in (*pair.answer, *pair.foil) if isinstance(token, int)})
    return torch.tensor([[token in pair.answer for token in tokens] for pair in chunk.pairs]), torch.tensor(tokens)


def _logits(engine: Engine, chunk: Chunk, target: Target) -> Callable[[torch.Tensor, Hook, torch.Tensor], torch.Tensor]:
    """Runs the base prompts of some pairs with a hook, and gives the logits of some tokens, of shape [row, token]."""
    tokens, runner, first = chunk.tokens("corrupt"), engine.runner, Entry.of([target]).first
    if not isinstance(runner, Cone):
        device = engine.bridge.cfg.device

        def whole(which: torch.Tensor, hook: Hook, classes: torch.Tensor) -> torch.Tensor:
            run: torch.Tensor = engine.bridge.run_with_hooks(tokens[which].to(device), fwd_hooks=[hook])
            return run[:, -1, classes.to(run.device)]

        return whole
    stream = runner.base_runs.stream(chunk, "corrupt", first, 0).clone() if first else None

    def taken_up(which: torch.Tensor, hook: Hook, classes: torch.Tensor) -> torch.Tensor:
        here = None if stream is None else stream[which.to(stream.device)]
        fork = Fork(first=first, stream=here, has_gradient=True)
        return runner.decoder.run(tokens[which], fork, [hook], classes)

    return taken_up


def _entries(activation: torch.Tensor, target: Target) -> torch.Tensor:
    """What is at a target, of shape [row, position, width]."""
    if target.components is None:
        return activation
    if activation.dim() == 4:
        [head] = target.components
        return activation[:, :, head]
    return activation[:, :, list(target.components)]


def _putting(target: Target, put: Any, source: torch.Tensor, mask: torch.Tensor) -> Hook:
    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        here = arranged(target.hook, activation)
        there = torch.where(
            mask.unsqueeze(-1), put(_entries(here, target), _entries(source, target)), _entries(here, target)
        )
        if target.components is None:
            # At the middle of the stream what a hook returns does not reach the skip connection: see Write.
            return activation.copy_(there) if target.hook.endswith("hook_resid_mid") else there
        written = here.clone()
        written[:, :, target.components[0] if here.dim() == 4 else list(target.components)] = there
        return written

    return target.hook, write
