"""Where the parts of a model are among its modules: found by what the modules do, not by the architecture's name.

    plain.where = places(plain)

A block adds to the stream what its sublayers write: the outputs (one, two or three) whose multiples sum up to what it adds are
theirs. The residual stream between them is the module's input that is the block's input and the first of these. Heads are
columns of the input of attention's output projection, neurons the input of the feed-forward module's. Which columns of which
projection are a head's query, key or value is tried: a value moves its own heads at its own and later positions in proportion,
a query at its own position alone, a key at its own and later ones.
"""

import re
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import torch

from differential.calls import TOKENS, Call, blocks_of, calls_of
from differential.oracle import Change, Entries, Part, Place, Plain, Put, hooked

_CLOSE = 1e-4
_FEED_FORWARD = re.compile(r"mlp|moe|feedforward|expert|^linear$|^conv1d$", re.IGNORECASE)
_NORM = re.compile(r"norm|dropout|identity", re.IGNORECASE)
# Names of the projections that make queries, keys and values, where each has its own.
_NAMES = {
    "Q": r"(^|\.)(q_proj|query|q_lin|linear_q|wq|q_b_proj)$",
    "K": r"(^|\.)(k_proj|key|k_lin|linear_k|wk)$",
    "V": r"(^|\.)(v_proj|value|v_lin|linear_v|wv)$",
}


def places(plain: Plain) -> dict[Part, Entries]:
    """Where every part is that the modules show; one of each kind in each layer is written, to see it."""
    for layer, name in enumerate(blocks_of(plain.model)):
        plain.where = {**plain.where, **dict(_Block(plain, layer, name).parts())}
    plain.forget()
    kinds = dict.fromkeys((part.layer, part.kind) for part in plain.where if part.kind not in ("PATTERN", "V of head"))
    for layer, kind in kinds:
        of_kind = [part for part in plain.where if (part.layer, part.kind) == (layer, kind)]
        if not _is_written(plain, of_kind[-1]):
            plain.where = {part: entries for part, entries in plain.where.items() if part not in of_kind}
    plain.forget()
    return dict(plain.where)


def _is_written(plain: Plain, part: Part) -> bool:
    """Whether writing what is there changes nothing and writing noise does, the stream between sublayers by just as much."""
    base = plain.base(TOKENS)
    there = base.at(plain.entries(part))
    noise = torch.randn(there.shape, generator=torch.Generator().manual_seed(4))
    same = plain.run(TOKENS, plain.putting(part, there)).logits
    moved = plain.run(TOKENS, plain.putting(part, there + noise)).logits
    if not torch.allclose(same, base.logits, atol=1e-4) or torch.allclose(moved, base.logits, rtol=0, atol=1e-6):
        return False
    if part.kind != "RESID_MID":
        return True
    mlp, after = Part(part.layer, "MLP"), plain.entries(Part(part.layer, "RESID_POST"))
    puts = [*plain.putting(part, there + noise), *plain.putting(mlp, base.at(plain.entries(mlp)))]
    return torch.allclose(plain.run(TOKENS, puts).at(after) - base.at(after), noise, rtol=0, atol=1e-4)


class _Block:
    """One block of a model, by the calls of its modules in one run."""

    def __init__(self, plain: Plain, layer: int, name: str):
        self.plain, self.layer, self.name = plain, layer, name
        self.module = plain.modules[name]
        self.calls = calls_of(plain, name)
        [self.whole] = [call for call in self.calls if call.name == name]
        self.children = [
            f"{name}.{child}"
            for child, module in self.module.named_children()
            if not _NORM.search(type(module).__name__)
        ]
        self.attention = next((child for child in self.children if self._has(child, "attention")), None)
        config = plain.model.config
        self.n_heads = int(getattr(config, "num_attention_heads", None) or getattr(config, "n_heads", 0) or 0)

    def parts(self) -> Iterator[tuple[Part, Entries]]:
        """The block's parts, and where they are."""

        def part(kind: str, index: int = -1) -> Part:
            return Part(self.layer, kind, index)

        yield part("RESID_PRE"), Entries(Place(self.name, "input"))
        yield part("RESID_POST"), Entries(Place(self.name, "output"))
        terms = self.terms()
        roles = [self.role(call) for call, _ in terms]
        for (call, factor), role in zip(terms, roles, strict=True):
            yield part(role), Entries(Place(call.name, "output", factor))
        if (middle := self.middle(terms, roles)) is not None:
            yield part("RESID_MID"), Entries(middle)
        if "MLP" in roles and (out := self.projection(terms[roles.index("MLP")][0], None)) is not None:
            for neuron in range(out.given.shape[-1]):
                yield part("N", neuron), Entries(Place(out.name, "input"), (neuron,))
        if "ATTN" in roles and self.attention and self.n_heads:
            out = self.projection(terms[roles.index("ATTN")][0], self.attention)
            if out is not None and out.given.shape[-1] % self.n_heads == 0:
                yield from self.heads(out, part)

    def terms(self) -> list[tuple[Call, float]]:
        """The outputs whose multiples are what the block adds, the fewest that do; none where there are none."""
        added = self.whole.output - self.whole.given
        candidates: list[Call] = []
        for call in self.calls:
            same = any(torch.equal(call.output, other.output) for other in candidates)
            if call.output.shape == added.shape and call.name != self.name and not same:
                candidates.append(call)
        for count in (1, 2, 3):
            for chosen in combinations(candidates, count):
                matrix = torch.stack([call.output.flatten() for call in chosen], 1).double()
                factors = torch.linalg.lstsq(matrix, added.flatten().double()).solution
                left = matrix @ factors - added.flatten().double()
                if left.norm() < _CLOSE * added.norm() and (factors.abs() > 1e-3).all():
                    return [(call, round(factor, 5)) for call, factor in zip(chosen, factors.tolist(), strict=True)]
        # Where a norm follows the sum (the first GPT), a sublayer's output is what its module gives.
        return [(call, 1.0) for call in self.calls if call.name in self.children and call.output.shape == added.shape]

    def role(self, call: Call) -> str:
        """What a term is the output of: attention, a feed-forward module, or another mixer of positions."""
        owner = self.owner(call)
        if owner is None:
            return "MIXER"
        if self._has(owner, "attention"):
            return "ATTN"
        # Without the architecture's own name, in which such words are too (Lfm2MoeShortConv).
        model = type(self.plain.model).__name__.removesuffix("ForCausalLM")
        names = [type(module).__name__.removeprefix(model) for module in self.plain.modules[owner].modules()]
        mixes = [
            name for name in names if re.search("mamba|mixer|conv(?!1d$)|recurrent|delta|ssm", name, re.IGNORECASE)
        ]
        feeds = [name for name in names if _FEED_FORWARD.search(name)]
        return "MLP" if feeds and not (mixes and not _FEED_FORWARD.search(names[0])) else "MIXER"

    def owner(self, call: Call) -> str | None:
        """The child of the block that a term is from: it, or the last one done before a norm."""
        within = next(
            (child for child in self.children if call.name == child or call.name.startswith(f"{child}.")), None
        )
        if within is not None:
            return within
        done = [one.name for one in self.calls[: self.calls.index(call)] if one.name in self.children]
        return done[-1] if done else None

    def middle(self, terms: list[tuple[Call, float]], roles: list[str]) -> Place | None:
        """Whose input is the stream between the sublayers."""
        if len(terms) < 2 or roles[-1] != "MLP":
            return None
        stream = self.whole.given + sum(factor * call.output for call, factor in terms[:-1])
        # In the order in which they begin.
        for call in sorted(self.calls, key=lambda call: self._begins[call.name]):
            same = call.given.shape == stream.shape and (call.given - stream).norm() < _CLOSE * stream.norm()
            if same and call.name != self.name:
                return Place(call.name, "input", in_place=True)
        return None

    @property
    def _begins(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.plain.modules)}

    def projection(self, term: Call, child: str | None) -> Call | None:
        """The projection that writes a term, or what a norm makes of into one."""
        owner = child or self.owner(term)
        inside = [call for call in self.calls if owner and (call.name == owner or call.name.startswith(f"{owner}."))]
        outputs = [term.output, *(call.output for call in inside if call.name == owner)]
        for call in reversed(inside):
            weight = getattr(self.plain.modules[call.name], "weight", None)
            leaf = not list(self.plain.modules[call.name].children())
            if leaf and weight is not None and weight.dim() == 2 and any(_same(call.output, one) for one in outputs):
                return call
        return None

    def heads(self, out: Call, part: Callable[..., Part]) -> Iterator[tuple[Part, Entries]]:
        """Heads, and their queries, keys, values and patterns."""
        place, n = Place(out.name, "input"), self.n_heads
        width = out.given.shape[-1] // n
        for head in range(n):
            yield part("H", head), Entries(place, tuple(range(head * width, (head + 1) * width)))
        probe = _Probe(self.plain, self, place, width)
        for columns in self.layouts(width):
            if not probe.agrees(columns):
                continue
            groups = len(columns["K"])
            for kind, entries in columns.items():
                for index, one in enumerate(entries):
                    yield part(kind, index), one
            for head in range(n):
                yield part("V of head", head), columns["V"][head * groups // n]
            if probe.shows_pattern(columns["V"]):
                for head in (-1, *range(n)):
                    yield part("PATTERN", head), Entries(Place(str(self.attention_module), "output"))
            return

    @property
    def attention_module(self) -> str | None:
        """The module that gives attention's pattern, next to its output."""
        names = [name for name in self.plain.modules if name == self.attention or name.startswith(f"{self.attention}.")]
        return next((name for name in reversed(names) if self._attends(name)), None)

    def _attends(self, name: str) -> bool:
        return "attention" in type(self.plain.modules[name]).__name__.lower() and any(
            getattr(module, "weight", None) is not None for module in self.plain.modules[name].modules()
        )

    def layouts(self, width: int) -> Iterator[dict[str, list[Entries]]]:
        """Ways in which queries, keys and values may lie in what projections give."""
        n = self.n_heads
        inside = [call for call in self.calls if call.name.startswith(f"{self.attention}.")]
        own = {kind: [call for call in inside if re.search(names, call.name)] for kind, names in _NAMES.items()}
        if all(own.values()):
            groups = own["V"][0].output.shape[-1] // width
            counts = {"Q": n, "K": groups, "V": groups}
            yield {kind: _chunks(own[kind][0], counts[kind]) for kind in own}
            # Each head's gate next to its query.
            queries = own["Q"][0].output.shape[-1] // n
            gated = [tuple(range(head * queries, head * queries + queries // 2)) for head in range(n)]
            place = Place(own["Q"][0].name, "output")
            yield {kind: _chunks(own[kind][0], counts[kind]) for kind in own} | {
                "Q": [Entries(place, one) for one in gated]
            }
        for call in inside:
            total = call.output.shape[-1]
            for groups in (n, 2, 1):
                if total != (n + 2 * groups) * width:
                    continue
                numbers = torch.arange(total)
                for q, k, v in _orders(numbers, n, groups, width):
                    rows = {"Q": q, "K": k, "V": v}
                    yield {
                        kind: [Entries(Place(call.name, "output"), tuple(row.tolist())) for row in found]
                        for kind, found in rows.items()
                    }

    def _has(self, child: str, word: str) -> bool:
        return any(word in type(module).__name__.lower() for module in self.plain.modules[child].modules())


def _orders(numbers: torch.Tensor, n: int, groups: int, width: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Columns [head or group, column] of queries, keys and values in one projection."""
    # All queries, all keys, all values.
    sizes = [n * width, groups * width, groups * width]
    q, k, v = torch.split(numbers, sizes)
    yield q.reshape(n, width), k.reshape(groups, width), v.reshape(groups, width)
    # Each group's queries, its key, its value.
    each = numbers.reshape(groups, n // groups + 2, width)
    yield each[:, :-2].reshape(n, width), each[:, -2], each[:, -1]
    # In four parts, each with its heads' queries, values and keys (CodeGen).
    if groups == n and n % 4 == 0:
        q, v, k = numbers.reshape(4, 3, n // 4, width).unbind(1)
        yield q.reshape(n, width), k.reshape(n, width), v.reshape(n, width)


class _Probe:
    """Tries whether columns are queries, keys and values, by what noise in them does to the heads' outputs."""

    def __init__(self, plain: Plain, block: _Block, heads: Place, width: int):
        self.plain, self.block, self.heads, self.width = plain, block, heads, width
        self.position = TOKENS.shape[1] - 3
        self.base = self._heads([])

    def agrees(self, columns: dict[str, list[Entries]]) -> bool:
        n, groups = self.block.n_heads, len(columns["K"])
        separate = len({entries[0].place for entries in columns.values()}) == 3
        before, later = slice(None, self.position), slice(self.position + 1, None)
        for index in (0, groups - 1):
            of_group = [head for head in range(n) if head * groups // n == index]
            moved = self._moved(columns["V"][index], 1.0)
            if not self._only(moved, of_group) or bool(moved[:, before].any()):
                return False
            if not separate and not _same(self._moved(columns["V"][index], 2.0), 2 * moved):
                return False
            moved = self._moved(columns["K"][index], 1.0)
            if bool(moved[:, before].any()) or not bool(moved[:, self.position :].any()):
                return False
            if not separate and (
                not self._only(moved, of_group) or _same(self._moved(columns["K"][index], 2.0), 2 * moved)
            ):
                return False
        for head in (0, n - 1):
            moved = self._moved(columns["Q"][head], 1.0)
            if bool(moved[:, before].any()) or bool(moved[:, later].any()) or not bool(moved.any()):
                return False
            if not separate and not self._only(moved, [head]):
                return False
        return True

    def shows_pattern(self, values: list[Entries]) -> bool:
        """Whether the attention module gives a pattern that, with the values, makes the heads' outputs."""
        seen: dict[Place, torch.Tensor] = {}
        places = {entries.place for entries in values}
        with (
            hooked(self.plain.modules, {place: _keep(seen, place) for place in places}, TOKENS.shape),
            torch.no_grad(),
        ):
            self.plain.model(TOKENS, use_cache=False)
        self.plain.where = {
            **self.plain.where,
            Part(self.block.layer, "PATTERN"): Entries(Place(str(self.block.attention_module), "output")),
        }
        try:
            pattern = self.plain.pattern(TOKENS, self.block.layer)
        except IndexError:
            return False
        n = self.block.n_heads
        of_heads = [values[head * len(values) // n] for head in range(n)]
        there = [seen[one.place][..., list(one.columns or ())] for one in of_heads]
        made = torch.cat([pattern[:, head] @ there[head] for head in range(n)], -1)
        return made.shape == self.base.shape and _same(made, self.base)

    def _heads(self, puts: list[Put]) -> torch.Tensor:
        seen: dict[Place, torch.Tensor] = {}
        changes: dict[Place, Any] = {self.heads: _keep(seen, self.heads)}
        for put in puts:
            changes[put.entries.place] = _adding(put)
        with hooked(self.plain.modules, changes, TOKENS.shape), torch.no_grad():
            self.plain.model(TOKENS, use_cache=False)
        return seen[self.heads]

    def _moved(self, entries: Entries, size: float) -> torch.Tensor:
        noise = torch.randn(2, 1, len(entries.columns or ()), generator=torch.Generator().manual_seed(3))
        moved = self._heads([Put(entries, noise * size, self.position)]) - self.base
        return torch.where(moved.abs() > 1e-5 * self.base.abs().max(), moved, 0)

    def _only(self, moved: torch.Tensor, heads: list[int]) -> bool:
        by_head = moved.reshape(*moved.shape[:2], self.block.n_heads, self.width).flatten(0, 1).abs().amax((0, 2))
        return [head for head, size in enumerate(by_head.tolist()) if size] == heads


def _chunks(call: Call, count: int) -> list[Entries]:
    width = call.output.shape[-1] // count
    return [Entries(Place(call.name, "output"), tuple(range(n * width, (n + 1) * width))) for n in range(count)]


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).norm() <= 1e-3 * other.norm()) and bool(other.norm() > 0)


def _keep(seen: dict[Place, torch.Tensor], place: Place) -> Change:
    def keep(value: torch.Tensor) -> None:
        seen[place] = value.clone()

    return keep


def _adding(put: Put) -> Change:
    def add(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[:, put.position, list(put.entries.columns or ())] += put.values[:, 0]
        return value

    return add
