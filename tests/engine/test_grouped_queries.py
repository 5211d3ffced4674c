"""Edges and paths in models whose heads share keys and values, against runs of plain transformers in which every other head and MLP is
frozen by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck import MethodError, Model, PromptPairs, load
from circuitcheck.prompts.aligned_pairs import AlignedPair
from tests import oracle
from tests.architectures import saved
from tests.conftest import each, examples
from tests.engine.test_cone import BIG_ENOUGH, quietly
from tests.grouped import GROUPED, N_LAYERS, PlainTransformer, Seen, Values

BOS = 0  # the tokenizer's, also where the model's convention puts none in front
PAIRS = PromptPairs.from_rows(
    [
        {"clean": [BOS, 5, 60, 7, 18, 9], "corrupt": [BOS, 25, 6, 7, 28, 9], "answer": 3, "foil": 4},
        {"clean": [BOS, 15, 6, 17, 8, 19], "corrupt": [BOS, 35, 6, 71, 8, 9], "answer": 31, "foil": 47},
        {"clean": [BOS, 51, 6, 7, 81, 9], "corrupt": [BOS, 5, 66, 7, 8, 91], "answer": 13, "foil": 74},
    ]
)
Both = tuple[Model, PlainTransformer]


@pytest.fixture(
    scope="module",
    params=each(
        GROUPED, ("Llama, 6 heads in 3 groups", "Gemma 2, 6 heads in 3 groups", "Granite, 4 heads in 2 groups")
    ),
)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A model under test, and the same one in plain transformers."""
    folder = saved(tmp_path_factory.mktemp("grouped"), GROUPED[request.param], BIG_ENOUGH)
    return load(folder, weights="raw"), PlainTransformer(folder)


@dataclass(frozen=True)
class Written:
    """A circuit as it is written: members, and edges from one to another, to a part of one or to a group's K or V."""

    members: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " | ".join([*self.members, *(f"{start} -> {end}" for start, end in self.edges)])

    @property
    def everyone(self) -> set[str]:
        ends = {end.removesuffix(".Q") for _, end in self.edges if "KV" not in end}
        return {*self.members, *ends, *(start for start, _ in self.edges)} - {"EMBED", "LOGITS"}

    def heard(self, *ends: str) -> set[str]:
        """Whom an input hears, by the names of what it belongs to: edges into any of them name it."""
        named = {start for start, end in self.edges if end in ends}
        beginnings = {start for start, _ in self.edges}
        by_all = {one for one in self.everyone if one in self.members or one not in beginnings}
        return named | by_all if "LOGITS" in ends or not named else named


class ByHand:
    """Runs of some prompts with a circuit kept: each input of each member has runs of its own."""

    def __init__(self, plain: PlainTransformer, prompts: torch.Tensor, ablated: Values, circuit: Written):
        self.plain, self.prompts, self.ablated, self.circuit = plain, prompts, ablated, circuit
        self.live: dict[str, torch.Tensor] = {}

    def logits(self) -> torch.Tensor:
        members = self.circuit.everyone
        for layer in range(N_LAYERS):
            heads = {head: f"L{layer}.H{head}" for head in range(self.plain.n_heads)}
            self.live |= {name: self._head(layer, head) for head, name in heads.items() if name in members}
            if (mlp := f"L{layer}.MLP") in members:
                self.live[mlp] = self._where_heard(mlp).values[mlp]
        return self._where_heard("LOGITS").logits

    def _head(self, layer: int, head: int) -> torch.Tensor:
        """What a head gives with the query of one run, its group's key of another and its group's value of a third."""
        name, group = f"L{layer}.H{head}", f"L{layer}.KV{self.plain.group_of(head)}"
        put: dict[str, torch.Tensor] = {}
        for part in (f"{name}.Q", f"{group}.K", f"{group}.V"):
            found = self._where_heard(name, part).values
            put |= {other: found[other] for other in self.plain.normalised_with(part)}
        return self.plain.run(self.prompts, put).values[name]

    def _where_heard(self, *ends: str) -> Seen:
        """The run in which an input is what it hears: everything else is frozen."""
        heard = self.circuit.heard(*ends) & {*self.live}
        frozen = {name: self.ablated[name] for name in (*self.plain.heads, *self.plain.mlps)}
        return self.plain.run(self.prompts, frozen | {name: self.live[name] for name in heard})


def ablated_values(both: Both, value: str) -> Values:
    """What stands in for each head and MLP in the clean runs."""
    plain, run = both[1], both[0].on(PAIRS)
    clean, corrupt = (plain.run(prompts).values for prompts in _prompts(run._setup.sample.pairs))
    if value == "counterfactual":
        return corrupt
    if value == "resample":
        donors = run._setup.sampler.donors(run._setup.pairs, run._setup.sample, "both")
        sources = [donors.source(pair) for pair in run._setup.sample.pairs]
        drawn = torch.tensor([run._setup.sample.pairs[row].tokens(side) for row, side in sources])
        return plain.run(drawn).values
    if value == "mean":
        return {name: torch.cat([clean[name], corrupt[name]]).mean(0).expand_as(clean[name]) for name in clean}
    spared = (_prompts(run._setup.sample.pairs)[0] == BOS).unsqueeze(-1)
    return {name: torch.where(spared, clean[name], float(value)) for name in clean}


def _prompts(pairs: Sequence[AlignedPair]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([pair.clean for pair in pairs]), torch.tensor([pair.corrupt for pair in pairs])


def check(both: Both, circuit: Written, value: str = "mean") -> None:
    """See that keep gives what the runs by hand give, in all pairs."""
    model, plain = both
    run = model.on(PAIRS)
    found = run.keep(str(circuit), {"0": "zero", "0.3": 0.3}.get(value, value))._estimand.shift_on(run._setup.sample)
    prompts, ablated = _prompts(run._setup.sample.pairs)[0], ablated_values(both, value)
    kept, nothing = (ByHand(plain, prompts, ablated, one).logits() for one in (circuit, Written((), ())))
    compare(both, found, (kept, nothing), str(circuit))


def compare(both: Both, found: np.ndarray, logits: tuple[torch.Tensor, torch.Tensor], what: str) -> None:
    """See that pairs' numbers are the differences between the answer - foil differences of two runs' logits."""
    model, plain = both
    pairs = model.on(PAIRS)._setup.sample.pairs
    scale = max(1.0, float(plain.run(_prompts(pairs)[0]).logits.abs().max()))
    for row, pair in enumerate(pairs):
        first, second = (oracle.logit_difference(model, pair, one[row].reshape(1, 1, -1)) for one in logits)
        assert abs(float(found[row]) - (first - second)) < 1e-4 * scale, f"{what} in {pair.clean}"


@st.composite
def circuits(draw: st.DrawFn, model: Model, plain: PlainTransformer) -> Written:
    """Two to five components and one to six edges into them, their queries, and their groups' keys and values."""
    everyone = sorted([*plain.heads, *plain.mlps], key=_when)
    members = draw(st.lists(st.sampled_from(everyone), min_size=2, max_size=5, unique=True))
    possible = [(start, "LOGITS") for start in members]
    for start in ["EMBED", *members]:
        later = [one for one in members if _hears(one, start, model.anatomy.layers[0].parallel)]
        possible += [(start, end) for one in later for end in _ends(one, plain)]
    edges = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=6, unique=True))
    written = Written((), tuple(edges))
    return Written(tuple(one for one in members if one not in written.everyone or draw(st.booleans())), tuple(edges))


def _when(component: str) -> tuple[int, bool]:
    """In which layer, and whether behind its attention."""
    return int(component[1]), component.endswith("MLP")


def _hears(component: str, start: str, parallel: bool) -> bool:
    if start == "EMBED":
        return True
    return _when(start)[0] < _when(component)[0] if parallel else _when(start) < _when(component)


def _ends(component: str, plain: PlainTransformer) -> list[str]:
    if component.endswith("MLP"):
        return [component]
    layer, head = component.split(".H")
    group = f"{layer}.KV{plain.group_of(int(head))}"
    return [component, f"{component}.Q", f"{group}.K", f"{group}.V"]


@pytest.mark.thorough
@settings(quietly, max_examples=examples(1, 6))
@given(data=st.data())
def test_what_a_circuit_with_edges_keeps_is_what_freezing_everything_else_gives(
    both: Both, data: st.DataObject
) -> None:
    circuit = data.draw(circuits(*both))
    check(both, circuit, data.draw(st.sampled_from(["mean", "0", "0.3", "resample", "counterfactual"])))


@pytest.mark.parametrize("last", each([False, True], (True,)))
def test_an_edge_into_one_part_of_a_head_of_a_low_and_of_the_last_number(both: Both, last: bool) -> None:
    head = both[1].n_heads - 1 if last else 1
    group = both[1].group_of(head)
    for end in (f"L2.H{head}.Q", f"L2.KV{group}.K", f"L2.KV{group}.V"):
        check(both, Written((f"L2.H{head}", "L1.MLP"), (("L0.H1", end), ("L1.H2", "LOGITS"))))


def test_heads_of_one_group_hear_by_queries_of_their_own_and_by_keys_in_common(both: Both) -> None:
    """The first head and its neighbour, of one group or of two, and the last head."""
    last = both[1].n_heads - 1
    heads = ("L1.H0", "L1.H1", f"L1.H{last}")
    check(both, Written((*heads, "L0.MLP"), (("L0.H0", "L1.KV0.K"), ("L0.H1", "L1.H0.Q"), ("L0.H2", f"L1.H{last}.Q"))))
    check(both, Written((*heads, "L0.MLP"), (("L0.H3", "L1.KV0.V"), ("EMBED", "L1.H1.Q"), ("L0.MLP", "L1.H0"))))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = saved(tmp_path_factory.mktemp("llama"), GROUPED["Llama, 6 heads in 3 groups"], BIG_ENOUGH)
    return load(folder, weights="raw")


def test_edges_into_keys_that_no_head_of_the_circuit_has_are_refused(llama: Model) -> None:
    run = llama.on(PAIRS)
    for part in "KV":
        with pytest.raises(MethodError, match=rf"no head of L1\.KV2\.{part} is in the circuit.*L1\.H4 \| L1\.H5"):
            run.keep(f"L0.H1 -> L1.KV2.{part} | L1.H3")
    run.keep("L0.H1 -> L1.KV2.K | L1.H5")
    run.keep("L0.H1 -> L1.KV2.K | L0.H2 -> L1.H4.Q")


@dataclass(frozen=True)
class Path:
    """Parts of a path, from the one that is patched on; ``through``: MLPs between them move."""

    parts: tuple[str, ...]
    through: str

    def __str__(self) -> str:
        return " -> ".join(self.parts)


def by_freezing(plain: PlainTransformer, path: Path, clean: torch.Tensor, corrupt: torch.Tensor) -> torch.Tensor:
    """The corrupted runs' logits with what arrives at the end of a path from the clean run: each part is changed in runs in
    which everything else is frozen, but the heads that read it."""
    base, value = plain.run(corrupt).values, plain.run(clean).values
    for part, following in pairwise(path.parts):
        frozen = {name: base[name] for name in plain.heads if name not in plain.readers(part)}
        frozen |= {} if path.through else {name: base[name] for name in plain.mlps if name != following}
        seen = plain.run(corrupt, frozen | {part: value[part]})
        value = seen.values
    return seen.logits if following == "LOGITS" else plain.run(corrupt, {following: value[following]}).logits


@st.composite
def paths(draw: st.DrawFn, model: Model, plain: PlainTransformer) -> Path:
    """A path of two to four parts; behind norms that follow a sublayer, from an MLP or the embedding straight to an end."""
    alone = model.anatomy.layers[0].post_norm
    parts = [draw(st.sampled_from(["EMBED", *plain.mlps, *([] if alone else plain.heads)]))]
    for _ in range(1 if alone else draw(st.integers(1, 3))):
        later = [one for one in (*plain.heads, *plain.mlps) if _hears(one, parts[-1], model.anatomy.layers[0].parallel)]
        parts.append(
            draw(st.sampled_from([*dict.fromkeys(end for one in later for end in _ends(one, plain)), "LOGITS"]))
        )
        if parts[-1] == "LOGITS":
            break
    return Path(tuple(parts), draw(st.sampled_from(["", "mlps"])))


@pytest.mark.thorough
@settings(quietly, max_examples=examples(2, 6))
@given(data=st.data())
def test_what_arrives_by_a_path_is_what_freezing_everything_else_gives(both: Both, data: st.DataObject) -> None:
    (model, plain), path = both, data.draw(paths(*both))
    run = model.on(PAIRS)
    found = run.patch(str(path), through=path.through)._estimand.shift_on(run._setup.sample)
    clean, corrupt = _prompts(run._setup.sample.pairs)
    ends = by_freezing(plain, path, clean, corrupt), plain.run(corrupt).logits
    compare(both, found, ends, str(path))
