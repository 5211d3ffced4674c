"""Prompts continued greedily, with a cache of keys and values, and what is written in place at every step.

What a batch says is what each of its prompts says by itself: where the two best tokens are nearer to each other than rounding, a row
is run again alone. The first texts of each kind of intervention are compared with a plain hooked run of prompt and text together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from circuitcheck.engine.checking.agreement import agree
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.forks import Fork
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.generation.new_tokens import AfterPrompt
from circuitcheck.engine.hooks.feature_writes import FeatureWrite, Part
from circuitcheck.engine.hooks.hookpoints import Target
from circuitcheck.engine.hooks.interventions import Rows, Supply
from circuitcheck.engine.hooks.writes import Write
from circuitcheck.engine.making import Ablating
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.generated import Generated
from circuitcheck.errors import InterventionError, MethodError, NumericsError
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.tokens import Tokens

# What is to be there, of what is there.
Supplied = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Continuation:
    """The tokens that a model writes after a prompt, without the one that ended them; ``moved``: whether anything that was written
    changed an activation."""

    tokens: Tokens
    moved: bool = False


class Continuing:
    """One side of a chunk's prompts, continued by an ``engine``: row v * pairs + p is variant v on pair p; a single empty variant where
    nothing is written. ``stops``: tokens that end a text."""

    def __init__(
        self,
        engine: Engine,
        readout: Generated,
        stops: frozenset[int],
        chunk: Chunk,
        side: Side,
        variants: list[list[Target]],
        writing: Ablating | None,
    ):
        self.engine, self.most, self._stops = engine, readout.max_tokens, stops
        self.chunk, self.side, self.variants = chunk, side, variants
        self.length = chunk.length_of(side)
        self._spared = engine.bos if writing is not None and writing.how.spares_bos else None
        self._rows: Rows | None = None
        self._in_prompt: list[Supply] = []
        self._after: list[Supply] = []
        # Whether each variant goes on to be written after the prompt, at each hook point.
        self._goes_on = torch.tensor(
            [[target.position.everywhere or target.position.answer for target in variant] for variant in variants]
        )
        if writing is not None:
            intervention = engine.making.intervention(writing, variants)
            self._rows = Rows(chunk, intervention, variants, engine.anatomy, engine.reading(readout, chunk))
            engine.trust.check_read(chunk, variants[0])
            self._in_prompt = self._rows.supplies(0)
            self._after = [
                writing.how.supply(AfterPrompt(engine.making, writing.source, target, chunk))
                for target in self._rows.written
            ]

    def each(self, asked: Sequence[int]) -> Iterator[tuple[list[int], list[Continuation]]]:
        """Batch by batch, the rows that are asked for with their continuations."""
        rows = torch.tensor(asked, dtype=torch.long)
        shape, memory = self.engine.shape, self.engine.memory
        size = shape.text_batch(len(rows), self.length, self.most, memory.for_batch)
        size = memory.rows(size, sum(write.bytes_per_row for write in self.in_prompt(rows[:1])))
        for chosen, found in in_batches(rows, size, self._settled):
            yield chosen.tolist(), found

    def _settled(self, rows: torch.Tensor) -> list[Continuation]:
        """The continuations of a batch; those on which rounding has a say, alone."""
        found = self._run(rows)
        return [one or self._alone(row) for one, row in zip(found, rows, strict=True)]

    def _alone(self, row: torch.Tensor) -> Continuation:
        [found] = self._run(row.reshape(1))
        if found is None:
            raise AssertionError("a single run has no ties with others")
        return found

    def _run(self, rows: torch.Tensor) -> "list[Continuation | None]":
        """The continuations of rows that are run together; None for those of which rounding may make others in another batch."""
        from transformers.cache_utils import DynamicCache

        cache = None if self.engine.trust.cone is None or self.engine.trust.why_plain else DynamicCache()
        run = _Run(self, rows)
        while not run.is_over:
            run.go_on(cache)
        if cache is not None and self._disagrees(run):
            return self._run(rows)
        return run.found()

    def _disagrees(self, run: "_Run") -> bool:
        """Whether a run with a cache was the first of its kind that could tell, and not what a plain hooked run is."""
        trust, rows = self.engine.trust, run.rows[:1]
        written = zip(self.variants[0], self._goes_on.any(0).tolist(), strict=True)
        kinds = frozenset((target.kind, goes_on) for target, goes_on in written)
        if self._rows is not None and not run.moved[0]:
            return False
        if not trust.is_new_text(kinds, self.chunk, run.tokens.shape[1]):
            return False
        tokens = run.tokens[:1, : self.length + len(run.first) - 1]
        plainly = _Run(self, rows).logits(tokens, 0, None)[0, self.length - 1 :]
        if agree(plainly, torch.stack(run.first)):
            return False
        trust.distrust("a text that was continued from cached keys and values was not that of a plain run")
        return True

    def in_prompt(self, rows: torch.Tensor) -> list[Write]:
        """What is written in the prompts of rows."""
        return [] if self._rows is None else self._rows.batch(rows, 0, self._in_prompt).writes

    def writes(self, in_prompt: Sequence[Write], rows: torch.Tensor, tokens: torch.Tensor, begin: int) -> list[Write]:
        """What is written in rows of the ``tokens`` [row, position] of prompts and texts, of which those from ``begin`` on are run:
        all of them, or some after the prompt."""
        new, cut = tokens[:, max(begin, self.length) :], max(self.length - begin, 0)
        variant, which = rows // len(self.chunk.pairs), rows % len(self.chunk.pairs)
        there = torch.ones_like(new, dtype=torch.bool) if self._spared is None else new != self._spared
        # Batches have the features of dictionaries after all else.
        numbers = iter(sorted(range(len(self._after)), key=lambda number: self.variants[0][number].is_of_dictionary))

        def longer(prompt: Write | Part) -> tuple[torch.Tensor, Supplied]:
            number = next(numbers)
            mask = self._goes_on[variant, number].unsqueeze(1) & there
            values = partial(_values, prompt, self._after[number], which, cut)
            return (torch.cat([prompt.mask, mask], 1) if cut else mask), values

        found = []
        for prompt in in_prompt:
            write: Write
            if isinstance(prompt, FeatureWrite):
                longer_parts = [(part, *longer(part)) for part in prompt.parts]
                parts = [replace(part, mask=mask, values=values) for part, mask, values in longer_parts]
                write = FeatureWrite(prompt.hook, prompt.read_at, prompt.dictionary, parts)
            else:
                mask, values = longer(prompt)
                write = Write(prompt.hook, mask, prompt.components, values)
            if bool(write.mask.any()):
                found.append(write)
        return found


class _Run:
    """Rows that are continued together, step by step."""

    def __init__(self, of: Continuing, rows: torch.Tensor):
        self.of, self.rows, self._in_prompt = of, rows, of.in_prompt(rows)
        self.tokens = of.chunk.tokens(of.side)[rows % len(of.chunk.pairs)]
        self.ended = torch.zeros(len(rows), dtype=torch.bool)
        self.moved, self.doubtful = self.ended.clone(), self.ended.clone()
        self.first: list[torch.Tensor] = []  # the first row's logits at every step

    @property
    def is_over(self) -> bool:
        return self.tokens.shape[1] == self.of.length + self.of.most or bool((self.ended | self.doubtful).all())

    def go_on(self, cache: Any) -> None:
        """Another token, from what is cached (None: from the first token on)."""
        begin = 0 if cache is None else cache.get_seq_length()
        logits = self.logits(self.tokens, begin, cache)[:, -1].cpu()
        largest = logits.abs().amax(1)
        if not bool(largest.isfinite().all()):
            raise NumericsError("the model's logits are NaN or infinite after a text that it has written")
        if not self.ended[0]:
            self.first.append(logits[0])
        top, best = logits.topk(2).values, logits.argmax(1)  # of equal ones the first, as transformers has it
        reach = 2 * self.of.engine.rounding * largest
        if len(self.rows) > 1:
            self.doubtful |= ~self.ended & (top[:, 0] - top[:, 1] <= reach)
        self.tokens = torch.cat([self.tokens, best[:, None]], 1)
        self.ended |= torch.tensor([token in self.of._stops for token in best.tolist()])

    def logits(self, tokens: torch.Tensor, begin: int, cache: Any) -> torch.Tensor:
        """Those after the tokens that are run, of shape [row, position, token]; from cached keys and values after the last alone."""
        engine, writes = self.of.engine, self.of.writes(self._in_prompt, self.rows, tokens, begin)
        hooks = [hook for write in writes for hook in write.hooks()]
        if cache is None:
            logits = engine.plain.logits(tokens, hooks)
        else:
            cone = engine.trust.cone
            if cone is None:
                raise AssertionError("keys and values are cached where runs can be taken up")
            logits = cone.decoder.run(tokens[:, begin:], Fork(growing=cache), hooks).unsqueeze(1)
        if silent := [write.hook for write in writes if not write.fired]:
            raise InterventionError(f"the hook {silent[0]} never fired, so that nothing was written")
        for write in writes:
            self.moved |= write.moved & ~self.ended
        return logits

    def found(self) -> "list[Continuation | None]":
        """Each row's text; None for a row that is in doubt."""
        texts = self.tokens[:, self.of.length :].tolist()
        return [
            None if doubtful else Continuation(_until(text, self.of._stops), moved)
            for text, doubtful, moved in zip(texts, self.doubtful.tolist(), self.moved.tolist(), strict=True)
        ]


def _values(prompt: Write | Part, after: Supply, which: torch.Tensor, cut: int, there: torch.Tensor) -> torch.Tensor:
    """What is put in the place of the activation [row, position, ...]: in the prompt's tokens, of which there are ``cut``, and in
    those after it."""
    parts = [prompt.values(there[:, :cut])] if cut else []
    if there.shape[1] > cut:
        parts.append(after(which, there[:, cut:]))
    return torch.cat(parts, 1)


def _until(text: Sequence[int], stops: frozenset[int]) -> Tokens:
    """The tokens before the first that ends a text."""
    return tuple(text[: next((place for place, token in enumerate(text) if token in stops), len(text))])


def stops_of(bridge: Any) -> frozenset[int]:
    """The tokens that end a text: those of the model's own generation config, and its tokenizer's EOS."""
    config = getattr(bridge.original_model, "generation_config", None)
    named = [getattr(config, "eos_token_id", None), getattr(bridge.tokenizer, "eos_token_id", None)]
    listed = [one if isinstance(one, list | tuple) else [one] for one in named]
    return frozenset(int(token) for one in listed for token in one if token is not None)


def check_room(longest: int | None, length: int, most: int) -> None:
    """Raise ``MethodError`` where a prompt and what is to be written after it are longer than what the model is made for."""
    if longest is not None and length + most - 1 > longest:
        raise MethodError(
            f"a prompt of {length} tokens and {most} that are generated are more than the {longest} that the model is made for: lower "
            f"max_tokens, or give shorter prompts"
        )
