"""What is compared: interventions by circuitcheck and by the oracle, on the same prompts of the same small model.

found = compared("LlamaForCausalLM", folder, "float32")    # a Finding for each intervention
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

import circuitcheck
from circuitcheck import Model, PromptPairs
from circuitcheck.claims.effects import Effect
from circuitcheck.errors import CircuitError
from differential.configurations import N_HEADS, VOCABULARY
from differential.oracle import LOGITS, NotShown, Part, Plain
from differential.places import places

DTYPES = ("float32", "bfloat16")
# Tokens of the compared prompts, and of those of which only the gap is compared; the places (from the end) at which the
# corrupted prompt has other tokens, and how many pairs there are.
LENGTH, OTHER_LENGTHS = 12, (6, 40)
CHANGED = (-8, -4)
N_PAIRS = 3
# By how much numbers may differ, as a share of the largest logit; in bfloat16 (whose logits are multiples of 1/128 of it: an effect
# is a sum of four) also by a multiple of what the oracle's own number is from that of the same weights in float32.
REACH = {"float32": 1e-4, "bfloat16": 2 / 128}
SCATTERS = 4
FOLDED = 3  # folding rounds the weights once more

Outcome = Literal["agrees", "differs", "refused", "error", "not compared"]
Value = Literal["clean into corrupted", "corrupted into clean", "zero", "mean"]
GROUPS = ("base run", "processed", "streams", "sublayers", "heads", "Q, K, V, pattern", "neurons", "paths", "ablations")


@dataclass(frozen=True)
class Intervention:
    """What is put at the end of a path (of one part: that part). ``group``: the column of the table that it belongs to."""

    group: str
    path: tuple[Part, ...]
    value: Value = "clean into corrupted"

    @property
    def verb(self) -> str:
        return "ablate" if self.value in ("zero", "mean") else "patch"

    def address(self, groups: int) -> str:
        """In circuitcheck's notation, where so many groups of heads have keys and values."""
        return " -> ".join(_address(part, groups) for part in self.path)


@dataclass(frozen=True)
class Finding:
    """One intervention in one model: what came of it. ``numbers``: circuitcheck's and the oracle's of each pair, in logits."""

    architecture: str
    dtype: str
    group: str
    what: str
    outcome: Outcome
    numbers: tuple[list[float], list[float]] | None = None
    reach: float = 0.0
    reason: str = ""


def _address(part: Part, groups: int) -> str:
    at = "" if part.position is None else "@end" if part.position == -1 else f"@{part.position}"
    if part.kind == LOGITS:
        return LOGITS
    shared = part.kind in ("K", "V") and groups != N_HEADS
    component = f"{'KV' if shared else 'H'}{part.index}"
    names = {"H": component, "N": f"N{part.index}"} | {
        kind: f"{component}.{kind}" for kind in ("Q", "K", "V", "PATTERN")
    }
    return f"L{part.layer}.{names.get(part.kind, part.kind)}{at}"


def _each(group: str, *parts: Part, value: Value = "clean into corrupted") -> list[Intervention]:
    return [Intervention(group, (part,), value) for part in parts]


_END = Part(2, LOGITS)
INTERVENTIONS = [
    *_each("streams", Part(1, "RESID_PRE", position=-4), Part(0, "RESID_MID"), Part(1, "RESID_MID", position=-1)),
    *_each("streams", Part(1, "RESID_POST", position=-4)),
    *_each("streams", Part(0, "RESID_POST", position=-8), value="corrupted into clean"),
    *_each("sublayers", Part(0, "ATTN"), Part(1, "ATTN", position=-1), Part(2, "ATTN")),
    *_each("sublayers", Part(0, "MLP", position=-4), Part(1, "MLP")),
    *_each("sublayers", Part(2, "MLP"), value="corrupted into clean"),
    *_each("heads", Part(0, "H", 1), Part(1, "H", 2, -1), Part(2, "H", 3)),
    *_each("Q, K, V, pattern", Part(1, "Q", 1), Part(1, "K", 0), Part(1, "V", 0), Part(1, "PATTERN", 1)),
    *_each("neurons", Part(0, "N", 5), Part(1, "N", 6), Part(2, "N", 7)),
    Intervention("paths", (Part(1, "H", 1), Part(2, "MLP"))),
    Intervention("paths", (Part(0, "H", 1), Part(2, "MLP"))),
    Intervention("paths", (Part(0, "MLP"), Part(1, "H", 1))),
    Intervention("paths", (Part(0, "ATTN"), Part(2, "ATTN"))),
    Intervention("paths", (Part(0, "MLP"), Part(1, "Q", 1), _END)),
    Intervention("paths", (Part(1, "N", 6), Part(2, "MLP"))),
    Intervention("paths", (Part(1, "MLP"), _END), "corrupted into clean"),
    *_each("ablations", Part(1, "H", 1), Part(1, "ATTN"), Part(1, "MLP"), value="zero"),
    *_each("ablations", Part(1, "H", 1), Part(0, "ATTN"), Part(1, "MLP"), Part(1, "N", 6), value="mean"),
]


@dataclass
class Prompts:
    """Pairs of prompts of one length; answer and foil are the tokens that a model moves most. Token ids [pair, position]."""

    clean: torch.Tensor
    corrupt: torch.Tensor
    answer: int = 0
    foil: int = 0

    @staticmethod
    def drawn(length: int, plain: Plain) -> "Prompts":
        generator = torch.Generator().manual_seed(length)
        clean, other = (torch.randint(5, VOCABULARY - 10, (N_PAIRS, length), generator=generator) for _ in range(2))
        corrupt = clean.clone()
        for position in (place for place in CHANGED if -place <= length):
            corrupt[:, position] = other[:, position]
        moved = (plain.run(clean).logits - plain.run(corrupt).logits).double().mean(0)
        return Prompts(clean, corrupt, int(moved.argmax()), int(moved.argmin()))

    def pairs(self) -> PromptPairs:
        """As circuitcheck has them."""
        rows = zip(self.clean.tolist(), self.corrupt.tolist(), strict=True)
        return PromptPairs.from_rows(
            [{"clean": clean, "corrupt": corrupt, "answer": self.answer, "foil": self.foil} for clean, corrupt in rows]
        )

    def read(self, logits: torch.Tensor) -> torch.Tensor:
        """The logit difference of each pair."""
        return logits[:, self.answer].double() - logits[:, self.foil].double()


@dataclass
class Oracle:
    """Numbers of an architecture by plain transformers: of the weights in a dtype, and in float32 of the same weights."""

    plain: Plain
    exact: Plain
    dtype: str
    prompts: dict[int, Prompts] = field(default_factory=dict)

    @staticmethod
    def of(folder: Path, dtype: str) -> "Oracle":
        exact = Plain(folder, torch.float32)
        try:
            exact.where = places(exact)
        except NotShown:
            exact.where = {}
        if dtype == "float32":
            plain = exact
        else:
            plain = Plain(folder, getattr(torch, dtype), exact.where)
            with torch.no_grad():
                for weight, rounded in zip(exact.model.parameters(), plain.model.parameters(), strict=True):
                    weight.copy_(rounded)
            exact.forget()
        made = Oracle(plain, exact, dtype)
        made.prompts = {length: Prompts.drawn(length, exact) for length in (LENGTH, *OTHER_LENGTHS)}
        return made

    @property
    def groups(self) -> int:
        """How many keys and values a layer's heads have."""
        keys = len([part for part in self.exact.where if (part.layer, part.kind) == (1, "K")])
        return keys or int(getattr(self.exact.model.config, "num_key_value_heads", None) or N_HEADS)

    def number(self, of: Callable[[Plain], torch.Tensor], group: str) -> tuple[torch.Tensor, float]:
        """A number of each pair, and by how much another may differ from it."""
        numbers = of(self.plain)
        scatter = float((numbers - of(self.exact)).abs().max()) if self.plain is not self.exact else 0.0
        largest = max(1.0, float(self.exact.base(self.prompts[LENGTH].clean).logits.abs().max()))
        reach = max(REACH[self.dtype] * largest, SCATTERS * scatter)
        return numbers, reach * (FOLDED if group == "processed" else 1)


def compared(
    architecture: str, folder: Path, dtype: str, interventions: Sequence[Intervention] = INTERVENTIONS
) -> Iterator[Finding]:
    """What came of the base run and of each intervention in one model in one dtype."""
    oracle = Oracle.of(folder, dtype)
    for weights in ("processed", "raw"):
        model = _loaded(folder, dtype, weights)
        for prompts in oracle.prompts.values():
            what = f"gap of {prompts.clean.shape[1]} tokens"
            blank = Finding(architecture, dtype, "base run" if weights == "raw" else "processed", what, "not compared")
            yield _finding(blank, model, partial(_gap, prompts), partial(plain_gap, prompts), oracle, prompts)
    yield from intervened(model, oracle, Finding(architecture, dtype, "", "", "not compared"), interventions)


def intervened(
    model: Model | Exception, oracle: Oracle, blank: Finding, interventions: Sequence[Intervention]
) -> Iterator[Finding]:
    """What came of each intervention. ``blank``: what all findings have in common."""
    prompts = oracle.prompts[LENGTH]
    for one in interventions:
        address = one.address(oracle.groups)
        of_it = replace(blank, group=one.group, what=f"{one.verb} {address} ({one.value})")
        by_circuitcheck, by_oracle = partial(_effect, one, address, prompts), partial(plainly, one, prompts)
        yield _finding(of_it, model, by_circuitcheck, by_oracle, oracle, prompts)


def _loaded(folder: Path, dtype: str, weights: Any) -> Model | Exception:
    try:
        return circuitcheck.load(folder, dtype=dtype, weights=weights)
    except Exception as error:
        return error


def _gap(prompts: Prompts, model: Model) -> Effect:
    return model.on(prompts.pairs()).gap


def plain_gap(prompts: Prompts, plain: Plain) -> torch.Tensor:
    """Clean minus corrupted logit difference of each pair."""
    clean, corrupt = (prompts.read(plain.base(side).logits) for side in (prompts.clean, prompts.corrupt))
    return clean - corrupt


def _effect(intervention: Intervention, address: str, prompts: Prompts, model: Model) -> Effect:
    run = model.on(prompts.pairs())
    if intervention.verb == "ablate":
        return run.ablate(address, intervention.value).raw
    return run.patch(address, "corrupt" if intervention.value == "clean into corrupted" else "clean").raw


def plainly(intervention: Intervention, prompts: Prompts, plain: Plain) -> torch.Tensor:
    """What an intervention brings back in the corrupted runs, or takes away in the clean ones, of each pair."""
    into, source = prompts.clean, prompts.corrupt
    path, value = intervention.path, intervention.value
    if value == "clean into corrupted":
        into, source = source, into
    before = prompts.read(plain.base(into).logits)
    if value == "zero":
        logits = plain.replaced(path[0], into, torch.zeros(()))
    elif value == "mean":
        logits = plain.replaced(path[0], into, plain.mean(path[0], torch.cat([prompts.clean, prompts.corrupt])))
    else:
        logits = plain.along(path, into, source)
    moved = prompts.read(logits) - before
    return moved if value == "clean into corrupted" else -moved


def _finding(
    blank: Finding,
    model: Model | Exception,
    by_circuitcheck: Callable[[Model], Effect],
    by_oracle: Callable[[Plain], torch.Tensor],
    oracle: Oracle,
    prompts: Prompts,
) -> Finding:
    """A finding with its outcome. ``model``: or the error that loading it gave."""
    try:
        if isinstance(model, Exception):
            raise model
        measured = by_circuitcheck(model).measure()
    except CircuitError as error:
        return replace(blank, outcome="refused", reason=str(error))
    except Exception as error:
        return replace(blank, outcome="error", reason=f"{type(error).__name__}: {error}")
    try:
        wanted, reach = oracle.number(by_oracle, blank.group)
    except NotShown as error:
        return replace(blank, reason=str(error))
    row = {tuple(tokens): number for number, tokens in enumerate(prompts.clean.tolist())}
    numbers, wanted = torch.as_tensor(measured.per_pair), wanted[[row[pair.clean] for pair in measured.pairs]]
    outcome: Outcome = "agrees" if bool(((numbers - wanted).abs() <= reach).all()) else "differs"
    return replace(blank, outcome=outcome, numbers=(numbers.tolist(), wanted.tolist()), reach=reach)


def failed(finding: Finding) -> bool:
    """Whether a finding is a failure: a wrong number, or an error that is none of circuitcheck's own."""
    return finding.outcome in ("differs", "error")


def told(findings: Sequence[Finding]) -> str:
    """How many findings have which outcome, in words."""
    outcomes = [one.outcome for one in findings]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
