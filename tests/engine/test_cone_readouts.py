"""Every readout, value and reading position in cones, against whole plain hooked runs, in many architectures."""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from circuitcheck import Model, PromptError, PromptPairs, scaled
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import EVERYWHERE, Site
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.readouts.named import ReadoutName
from circuitcheck.models.bos import token_of
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.run import Run
from tests import oracle
from tests.engine.test_cone import addresses, model, populations, quietly

__all__ = ["model"]  # a fixture

Value = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
ADDED = 0.3


class Case(NamedTuple):
    """What is put in, by what the run is asked and by a plain hook: of the activation there and in the other run."""

    shift: Callable[[Run, str], Any]
    into: str
    value: Value
    spares_bos: bool


def _ablating(value: Any, plain: Value, spares_bos: bool = True) -> Case:
    return Case(lambda run, address: run.ablate(address, value), "clean", plain, spares_bos)


CASES = {
    "patch": Case(lambda run, address: run.patch(address), "corrupt", lambda here, other: other, False),
    "noising": Case(lambda run, address: run.patch(address, "clean"), "clean", lambda here, other: other, False),
    "zero": _ablating("zero", lambda here, other: here * 0),
    "counterfactual": _ablating("counterfactual", lambda here, other: other, spares_bos=False),
    "negated": _ablating(scaled(-1), lambda here, other: -here),
    "scaled": _ablating(scaled(2.5), lambda here, other: 2.5 * here),
}


def _put(pair: AlignedPair, tokens: tuple[int, ...], site: Site, source: torch.Tensor, case: Case, bos: Any) -> Any:
    """A plain hook on a whole prompt; positions are those that the cut pair has."""

    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        places = list(range(len(tokens))) if site.position == EVERYWHERE else pair.positions(site.position)
        places = [place for place in places if not case.spares_bos or tokens[place] != bos]
        index: Any = (0, places) if site.index < 0 else (0, places, site.index)
        activation[index] = case.value(activation[index].clone(), source[index])
        return activation

    return hook_name(site.layer, site.kind), write


def _run(model: Model, pairs: PromptPairs, name: str, at: str) -> Run:
    run = model.on(pairs, readout=name, at=at)  # type: ignore[arg-type]
    try:
        _ = run._setup.sample
    except PromptError:  # most pairs are alike up to there
        return model.on(pairs, readout=name)  # type: ignore[arg-type]
    return run


@pytest.mark.thorough
@quietly
@given(data=st.data())
def test_every_readout_of_every_value_is_what_plain_hooks_give(model: Model, data: st.DataObject) -> None:
    pairs, address = data.draw(populations()), data.draw(addresses(model, patterns=False))
    name, case = data.draw(st.sampled_from(get_args(ReadoutName))), CASES[data.draw(st.sampled_from(sorted(CASES)))]
    run = _run(model, pairs, name, data.draw(st.sampled_from(["", "@-2", "@-3"])))
    assume(min(pair.length for pair in run._setup.sample.pairs) >= 3)  # addresses reach back to @-3
    found = case.shift(run, address)._estimand.shift_of(
        run._setup.described
    )  # the behaviour may be absent: no measurement
    for pair, number in zip(run._setup.sample.pairs, found, strict=True):
        prompts = {"clean": pair.pair.clean.ids or (), "corrupt": pair.pair.corrupt.ids or ()}
        place = pair.length - 1
        other = oracle.activations(model, prompts["corrupt" if case.into == "clean" else "clean"])
        tokens = prompts[case.into]
        hooks = [
            _put(pair, tokens, site, other[hook_name(site.layer, site.kind)], case, token_of(model.bridge))
            for site in parse(address, model.anatomy)
        ]
        clean = oracle.run(model, prompts["clean"])[0, place]
        before = oracle.read(name, pair, oracle.run(model, tokens)[0, place], clean)
        logits = oracle.run(model, tokens, hooks)[0, place]
        wanted = (oracle.read(name, pair, logits, clean) - before) * (1 if case.into == "corrupt" else -1)
        scale = max(1.0, float(logits.abs().max()))
        if name in ("rank", "accuracy"):  # these jump where two tokens are as high as each other
            assert abs(float(number) - wanted) <= _near(pair, logits, 1e-4 * scale)
        else:
            assert abs(float(number) - wanted) < 2e-4 * scale
    assert model._loaded.answers.describe() == "cone"


def _near(pair: AlignedPair, logits: torch.Tensor, reach: float) -> int:
    """Tokens that stand as high as an answer to within rounding."""
    highest = logits[list(pair.answer)].max()
    return int(((logits - highest).abs() < reach).sum()) - len(pair.answer)


@pytest.mark.thorough
@quietly
@given(data=st.data())
def test_steering_is_what_plain_hooks_give(model: Model, data: st.DataObject) -> None:
    pairs, kind = data.draw(populations()), data.draw(st.sampled_from(["H2", "MLP", "RESID_POST", "RESID_PRE"]))
    address = (
        f"L{data.draw(st.integers(0, model.anatomy.n_layers - 1))}.{kind}{data.draw(st.sampled_from(['', '@end']))}"
    )
    into, scale = data.draw(st.sampled_from(["clean", "corrupt"])), data.draw(st.sampled_from([1.0, -2.0]))
    width = int(model.bridge.cfg.d_head if kind == "H2" else model.bridge.cfg.d_model)
    vector = np.linspace(-1, 1, width) * ADDED
    run = model.on(pairs)
    found = run.steer(address, vector, scale, into=into)._estimand.shift_of(run._setup.described)
    plain = Case(run.steer, into, lambda here, other: here + torch.tensor(scale * vector, dtype=here.dtype), True)
    [site] = parse(address, model.anatomy)
    for pair, number in zip(run._setup.sample.pairs, found, strict=True):
        tokens = pair.tokens(into)
        there = oracle.activations(model, tokens)[hook_name(site.layer, site.kind)]
        hooks = [_put(pair, tokens, site, there, plain, token_of(model.bridge))]
        logits = oracle.run(model, tokens, hooks)
        change = oracle.logit_difference(model, pair, logits) - oracle.logit_difference(
            model, pair, oracle.run(model, tokens)
        )
        wanted = change if into == "corrupt" else -change
        assert float(number) == pytest.approx(wanted, abs=1e-4 * max(1.0, float(logits[0, -1].abs().max())))
