"""A measurement's setup: model, pairs, readout."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np

from circuitcheck import ledger
from circuitcheck.addresses.kinds import KINDS, is_part, lacking, layers_with
from circuitcheck.addresses.parsing import parse, parse_position
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.answers import Outcome
from circuitcheck.engine.readouts.functions import readout
from circuitcheck.errors import MethodError, PromptError
from circuitcheck.experiments.methods import Method, frozen
from circuitcheck.experiments.mutants import Mutant, NotApplicable
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.models.shuffled_weights import shuffled_weights
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.sampling.fitting import token_counts
from circuitcheck.sampling.forced import tokens_of
from circuitcheck.sampling.references import Donors, Reference
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Drawn, Stage
from circuitcheck.settings import Settings

if TYPE_CHECKING:
    from circuitcheck.engine.readouts.generated import Generated
    from circuitcheck.engine.readouts.named import Function
    from circuitcheck.types import Floats

_END = Position(offset=-1)


class Setup:
    """A model, a population of pairs and a readout. ``generalise``: what the statement is about new ones of; ``at``: the
    position whose prediction is read (the last, where nothing is said); ``corresponding``: positions at which what is there in
    the other run is put in, so that a pair is used only where they name tokens with a counterpart there."""

    def __init__(
        self,
        model: LoadedModel,
        pairs: PromptPairs,
        readout_given: "str | Function | Generated",
        generalise: str = "",
        at: str = "",
        corresponding: frozenset[Position] = frozenset(),
    ):
        if not isinstance(pairs, PromptPairs):
            raise PromptError(f"model.on takes PromptPairs, not a {type(pairs).__name__}")
        if (template := pairs.description.without_contrast) is not None:
            raise PromptError(
                f"no slot of {template!r} is a contrast, so that clean and corrupted prompts are alike: say what differs, "
                "contrast(clean=[...], corrupt=[...]); name what differs between any two prompts in variables=, for interchanges; or give rows "
                "without corrupt= for claims about clean prompts only"
            )
        self.model, self.pairs, self.readout = model, pairs, readout(readout_given)
        self.generalise = generalise or pairs.description.grouped_by
        self._evenly = self.generalise  # a probe, which is about new fillers too, takes pairs as they come
        self.read_at = parse_position(at, model.anatomy) if at else _END
        if self.read_at.everywhere:
            raise MethodError("a run is read at one position, such as at='@{slot}', and @* names all of them")
        read_at = model.sampler.reading_at(None if self.read_at == _END else self.read_at)
        self.corresponding, self.sampler = corresponding, read_at.where_corresponding(corresponding)
        self.where = "" if self.read_at == _END else f" [@{self.read_at}]"
        self._says_what_is_right = False
        self._narrower: dict[frozenset[Position], Self] = {}

    @property
    def tag(self) -> str:
        """What is read, in short; nothing of the logit difference at the last position, or where labels say so themselves."""
        if self.readout.name == "logit_diff" or self._says_what_is_right:
            return self.where
        return f" [{self.readout.short_of(self._looked_at)}]{self.where}"

    @property
    def _looked_at(self) -> tuple[AlignedPair, ...]:
        """The first pairs; none of what a strategy generates, which is no sample."""
        return () if self.pairs.description.generator is not None else self.sample.pairs

    @property
    def reads(self) -> str:
        """What is read, and where, in words."""
        where = "last position" if self.read_at == _END else f"behind @{self.read_at}"
        own = ", answers read as their own tokens" if self.pairs.description.as_tokens else ""
        return f"{self.readout.words_of(self._looked_at)}, {where}{own}"

    @property
    def unit(self) -> str:
        """What the readout is in, a key of ``units.UNITS``."""
        return self.readout.unit_of(self._looked_at)

    @property
    def drawn(self) -> Drawn:
        """The pairs that every number on this population is about."""
        return self.sampler.drawn(self.pairs, self._evenly)

    @property
    def sample(self) -> Sample:
        """The first of them: all, where the population is small."""
        return self.drawn.first.sample

    @property
    def population(self) -> str:
        """What the statement is about, in words."""
        words = "; ".join(filter(None, (self.drawn.words, self.pairs.description.how)))
        if not self.generalise:
            return words
        return f"{words}, as of new {'templates' if self.generalise == 'template' else f'fillers of {{{self.generalise}}}'}"

    def fixed(self, n: int) -> Sample:
        """So many pairs (at most) that the population alone decides: what is chosen by looking at pairs is the same under
        every seed."""
        whole = self.sample.whole and len(self.sample.pairs) <= n
        return self.sample if whole else self.sampler.fixed(self.pairs, n)

    @property
    def settings(self) -> Settings:
        """The session's, with what the running test's marker sets."""
        return replace(self.model.settings, **ledger.current().settings)

    @property
    def reference(self) -> Reference:
        """The reference set of this population's ablations, before it is known whether the pairs come to an end."""
        return self.reference_of(self.sample)

    def reference_of(self, sample: Sample) -> Reference:
        """The reference set of the ablations of some pairs."""
        whole = self.sampler.reference(self.pairs, sample.taken, self.settings.reference)
        return whole.without(sample.left_out)

    def source_of(self, sample: Sample, how: Ablation) -> Reference | Donors | None:
        """The prompts that an ablation of some pairs takes its values from; None where it needs none."""
        others = None if how.population is None else self.reference_over(how.population)
        if how.is_drawn:
            return self.sampler.donors(self.pairs, sample, how.sides, None if others is None else others.sample)
        if not how.needs_reference:
            return None
        return others.without(sample.left_out) if others is not None else self.reference_of(sample)

    def reference_over(self, pairs: PromptPairs) -> Reference:
        """The reference set of ablations by other pairs' prompts; raises ``MethodError`` for templates with other slots."""
        taken = self.sampler.drawn(pairs).first.sample.taken
        reference = self.sampler.reference(pairs, taken, self.settings.reference)
        theirs = {pair.pair.template: pair.slots for pair in reference.sample.pairs}
        for pair in self.sample.pairs:
            if pair.slots != theirs.get(pair.pair.template):
                raise MethodError(
                    f"{pairs!r} has no prompts whose tokens play the roles of those of {pair.pair.clean.text!r}: it takes as many "
                    "templates, each with the same slots in the same order"
                )
        return reference

    @property
    def gaps(self) -> "Floats":
        """Clean minus corrupted readout of each pair of ``sample``, of shape [pair]."""
        return self.gaps_on(self.sample)

    def gaps_of(self, stages: Sequence[Stage]) -> "Floats":
        """Clean minus corrupted readout of each pair, of shape [pair]."""
        return np.concatenate([self.gaps_on(stage.sample) for stage in stages])

    def right_of(self, stages: Sequence[Stage]) -> "Floats | None":
        """Whether each clean prompt is answered right (1 or 0), of shape [pair]; None where some have no answer."""
        if not all(pair.answer for stage in stages for pair in stage.sample.pairs):
            return None
        answers = self.of_answers()
        return np.concatenate([answers.base(stage.sample, "clean").values for stage in stages])

    @property
    def noise(self) -> float:
        """What rounding can make of a mean readout."""
        return float(self.noise_on(self.sample).mean())

    def noise_on(self, sample: Sample) -> "Floats":
        """The same of each of some pairs, of shape [pair]."""
        return self.model.answers.noise(sample, self.readout)

    def base(self, sample: Sample, side: Side) -> Outcome:
        if side == "corrupt":
            self.need_contrast("the corrupted run")
        return self.model.answers.base(sample, side, self.readout)

    @property
    def is_contrast(self) -> bool:
        """Whether the pairs have corrupted prompts."""
        return self.pairs.description.is_contrast

    @property
    def has_gap(self) -> bool:
        """Whether there is something that the readout differs in: corrupted prompts, and an answer where it needs one."""
        answered = not self.readout.needs_answer or all(row.answer for row in self.pairs.rows)
        return self.is_contrast and answered and not self.readout.is_text

    def need_contrast(self, what: str) -> None:
        """Raise ``MethodError`` where something needs corrupted prompts, and there are none."""
        if not self.is_contrast:
            raise MethodError(
                f"{what} needs corrupted prompts, and {self.pairs!r} has none: give corrupt=... (of templates: a contrast), or claim "
                "what is about clean prompts only (accuracy, ablations by a mean or zero, steering into='clean', attention, direct, lens) or, "
                "with variables=, about any two (interchange)"
            )

    def gaps_on(self, sample: Sample) -> "Floats":
        self.need_contrast("the gap")
        return self.base(sample, "clean").values - self.base(sample, "corrupt").values

    def bases(self, sample: Sample) -> "dict[str, Floats]":
        if self.readout.is_text:
            return {self.unit: np.ones(len(sample.pairs))}
        clean = self.base(sample, "clean").values
        gap = {"gap": self.gaps_on(sample)} if self.is_contrast else {}
        return {**gap, "clean": clean, self.unit: np.ones(len(clean))}

    def again(
        self, pairs: PromptPairs | None = None, readout: str = "", corresponding: frozenset[Position] = frozenset()
    ) -> Self:
        """The same on other pairs, with another readout, or with more positions that must have a counterpart."""
        return type(self)(
            self.model,
            pairs or self.pairs,
            readout or self.readout.given,
            self.generalise,
            f"@{self.read_at}",
            self.corresponding | corresponding,
        )

    def put_in_from_other_run(self, sites: Sequence[Site]) -> Self:
        """The same for pairs in which what is at these sites in one run (of paths, at their beginnings) has a counterpart in the
        other one."""
        beginnings = [site.via[0] if site.via else site for site in sites]
        # A pattern has a number for every token.
        positions = {EVERYWHERE if one.traits.width == "pattern" else one.position for one in beginnings}
        new = frozenset(positions) - self.corresponding - {_END}
        if not new:
            return self
        if new not in self._narrower:
            narrower = self._narrower[new] = self.again(corresponding=new)
            narrower._says_what_is_right = self._says_what_is_right
        return self._narrower[new]

    def of_answers(self) -> Self:
        """The same, reading whether answers are right: labels say so themselves, and their tag says only where. What is right of a
        text, its predicate says."""
        if self.readout.is_text:
            return self
        right = self.again(readout="accuracy")
        right._says_what_is_right = True
        return right

    def check_held(self, sites: Sequence[Site], held: Held) -> None:
        """Raise ``MethodError`` for what cannot be held, or must be, where these sites are written."""
        if any(site.via for site in sites):
            parts = [part for site in sites for part in site.via if part.traits.weights or is_part(part.kind)]
            behind = [part for part in parts if self.model.anatomy.layers[part.layer].post_norm]
            if behind and not held.norms:
                raise MethodError(
                    f"{self.model.name} has a normalisation after each sublayer, so that what {behind[0]} adds depends on all "
                    'that is added beside it: hold the scales with ln="frozen", or begin the path at the sublayer'
                )
        elif not held.mlps:
            raise MethodError(f"through= is about what lies on a path's way ('A -> B'); {sites[0]} has none")

    def as_mutated(self, mutant: Mutant | None, sites: Sequence[Site]) -> AbstractContextManager[None]:
        """The model as a mutant has it."""
        if mutant is None or not mutant.shuffled:
            return nullcontext()
        if any(site.traits.weights is None or site.via for site in sites):
            raise NotApplicable("only heads and neurons have output weights of their own")
        return shuffled_weights(self.model, sites)

    def tokenised(self, n: int) -> str:
        """The first ``n`` pairs as tokens, slots in brackets, with the answer and the foil."""
        lines = [f"{len(self.sample.pairs)} of {self.drawn.words}", *self._chats_shown()]
        for aligned in self.sample.pairs[:n]:
            for side in self.sample.sides:
                lines.append(f"{side:>8}  {aligned.marked(side, self.sampler.aligner.texts_of)}")
            answers, foils = (
                " ".join("·".join(map(repr, self.sampler.aligner.texts_of(tokens))) for tokens in tokens_of(members))
                for members in (aligned.answer, aligned.foil)
            )
            lines.append(f"  answer  {answers}" + (f"  foil  {foils}" if foils else ""))
        if counts := token_counts(self.sample.pairs):
            lines.append(f"  tokens  {counts}")
        if (rejections := self.drawn.first.rejections).total:
            lines.append(f"rejected  {rejections}")
        return "\n".join(lines)

    def _chats_shown(self) -> list[str]:
        """What the model's chat template writes around messages, slots in braces; and the system prompt that it adds."""
        chats = {pair.pair.template: pair.pair.clean for pair in reversed(self.sample.pairs) if pair.pair.clean.roles}
        lines = []
        for prompt in chats.values():
            text = "".join(f"{{{segment.slot}}}" if segment.slot else segment.text for segment in prompt.segments)
            lines.append(f"    chat  {text!r}")
            if added := self.sampler.aligner.chats.added_system(prompt.roles):
                lines.append(f"  system  the chat template adds {added!r}")
        return list(dict.fromkeys(lines))

    def sites(self, address: str) -> tuple[Site, ...]:
        return parse(address, self.model.anatomy)

    @property
    def universe(self) -> str:
        """What is ablated of a behaviour, where nothing else is said."""
        anatomy = self.model.anatomy
        whole = [layer for layer in layers_with("ATTN", anatomy) if lacking("H", anatomy.layers[layer])]
        parts = [f"L*.{kind}{'*' * bool(KINDS[kind].numbered)}" for kind in ("H", "MLP") if layers_with(kind, anatomy)]
        parts[1:1] = [f"L{layer}.ATTN" for layer in whole]
        if not parts:
            raise MethodError(f"{anatomy.name} has neither heads nor MLPs to be ablated: name what is, within=...")
        return " | ".join(parts)

    def universe_of(self, circuit: Sequence[Site]) -> str:
        """What a circuit is kept of, where nothing else is said: of features all of their dictionaries and what these do not explain."""
        hosts = dict.fromkeys((site.layer, site.traits.host) for site in circuit)
        if not circuit or not all(host for _, host in hosts):
            return self.universe
        return " | ".join(f"L{layer}.{host}.F* | L{layer}.{host}.ERROR" for layer, host in hosts)

    def method(
        self,
        verb: str,
        address: str,
        sites: tuple[Site, ...],
        value: str = "",
        direction: str = "",
        universe: str = "",
        held: Held = NOTHING_HELD,
    ) -> Method:
        positions = dict.fromkeys("all" if site.position == EVERYWHERE else f"@{site.position}" for site in sites)
        return Method(
            verb=verb,
            granularity=", ".join(dict.fromkeys(site.granularity for site in sites)),
            component=address,
            value=value,
            reference="",
            positions=", ".join(positions),
            direction=direction,
            sites=len(sites),
            universe=universe,
            frozen=frozen(sites, held),
            readout=self.reads,
            clipped="",
        )
