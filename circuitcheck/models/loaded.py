"""A loaded model: what it is, how it is run, and what is remembered of it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.generation.continuing import stops_of
from circuitcheck.engine.generation.speakers import Speaker
from circuitcheck.engine.memory import default_budget
from circuitcheck.engine.watching.held import Held
from circuitcheck.errors import ModelError
from circuitcheck.ledger import note_change
from circuitcheck.models.anatomy import anatomy_of
from circuitcheck.models.bos import Bos
from circuitcheck.models.chat_templates import ChatTemplate
from circuitcheck.models.dictionaries.attaching import Attachment, Streams, attach
from circuitcheck.models.images.attacking import Attacks
from circuitcheck.models.profiles.profile import Profile
from circuitcheck.models.sources.how import Weights
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.chats.rendering import Chats
from circuitcheck.prompts.images.aligning import PictureAligner
from circuitcheck.prompts.images.patches import Grid
from circuitcheck.prompts.images.pictures import Attacker
from circuitcheck.records.counterexamples import Counterexamples
from circuitcheck.records.report_fields import ModelFields
from circuitcheck.sampling.remembered import Remembered, version
from circuitcheck.sampling.stages import Sampler
from circuitcheck.settings import Settings
from circuitcheck.texts import digest, plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats


class LoadedModel:
    """A model that claims can be about.

    ``bridge`` is the TransformerLens bridge; ``weights`` says whether LayerNorm was folded and writing weights centred
    ("processed", TransformerLens' convention) or not ("raw"); ``step`` is a checkpoint's training step, None for others; ``counterexamples`` where
    those of claims about every pair are kept, None: nowhere; ``dictionaries``: those that are attached to it; ``bos``: the token that goes in front of text, as ``bos_convention`` has it;
    ``profile``: what is known of it without loading it; ``tokenizer``: what its texts are read by, None where nothing does;
    ``see_length`` is called before prompts of so many tokens are run.
    """

    def __init__(
        self,
        held: Held,
        profile: Profile,
        tokenizer: Any,
        name: str,
        weights: Weights,
        settings: Settings,
        remembered: Remembered,
        step: int | None = None,
        counterexamples: Counterexamples | None = None,
        see_length: Callable[[int], None] = lambda length: None,
        bos: Bos = "auto",
        dictionaries: Sequence[Attachment] = (),
    ):
        self._held, self.profile, self.tokenizer, self.see_length = held, profile, tokenizer, see_length
        self.name, self.weights, self.settings, self.step = name, weights, settings, step
        self.counterexamples = counterexamples
        self.dictionaries, self.anatomy = tuple(dictionaries), _remembered_anatomy(held, name, remembered)
        for one in dictionaries:
            self.anatomy = self.anatomy.having(one.layer, one.kind, one.features)
        self.bos_convention, self.bos = bos, profile.bos
        memory = settings.memory or default_budget(profile.device)
        speaker = Speaker(tokenizer, profile.d_vocab, self._stops)
        attached = {(one.layer, one.kind): partial(getattr, one, "dictionary") for one in dictionaries}
        self.answers = Answers(held, self.anatomy, profile.bos_token, memory, remembered, speaker, attached)
        self.answers.see_length = see_length
        self.answers.questions.on_change = partial(note_change, name)
        # What attacks the pictures that it reads; None where it reads text.
        self.attack: Attacker | None = None
        if profile.pictures:
            self.attack = Attacks(held, self.answers)
            labels = {label: number for number, label in enumerate(profile.classes)}
            aligner: Aligner = PictureAligner(name, Grid(*profile.pictures), labels, self.attack)
        else:
            template = None if profile.template is None else ChatTemplate(profile.template, profile.special, remembered)
            aligner = Aligner(tokenizer, self.bos, profile.d_vocab, context=profile.context, chats=Chats(template))
        self.sampler = Sampler(aligner, settings)

    @property
    def bridge(self) -> Any:
        """The TransformerLens bridge; loaded by whoever asks for it first, and watched from then on."""
        return self._held.bridge

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the model as it is now: see ``circuitcheck.engine.watching.fingerprints``."""
        return self.answers.fingerprint

    def _stops(self) -> frozenset[int]:
        """The tokens that end a text that it writes."""
        return stops_of(self._held.bridge) if self._held.is_loaded else frozenset(self.profile.stops)

    @property
    def rounding(self) -> float:
        """How far rounding moves this model's logits, as a share of the largest."""
        return self.profile.rounding

    @property
    def embeddings(self) -> "Floats":
        """Every token's embedding, of shape [token, d_model]."""
        found: Floats = self.bridge.W_E.detach().double().cpu().numpy()
        return found

    def describe(self) -> ModelFields:
        """The model as reports name it; all values are JSON scalars."""
        said: ModelFields = {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "architecture": self.profile.architecture,
            "step": self.step,
            "layers": self.anatomy.n_layers,
            "weights": self.weights,
            "bos": self.bos,
            "dtype": self.profile.dtype,
            "device": self.profile.device,
            "engine": self.answers.describe(),
            "base_run": self.profile.base_run,
            "transformer_lens": version("transformer_lens"),
            "torch": version("torch"),
            "seed": ",".join(map(str, self.settings.seeds)),
        }
        if self.profile.saved:
            said["saved"] = self.profile.saved
        if self.dictionaries:
            said["dictionaries"] = ", ".join(map(str, self.dictionaries))
        return said

    def with_dictionary(self, site: str, path: str | Path, *, streams: Streams = "", transcoder: bool = False) -> Self:
        """See ``Model.with_dictionary``."""
        place = self.dictionary_from(site, path, streams, transcoder)
        if (there := self.anatomy.layers[place.layer].dictionaries.get(place.kind)) is not None:
            raise ModelError(f"{site} has the dictionary {there.name} ({there.digest}) already: a site has one")
        made = type(self)(
            self._held,
            self.profile,
            self.tokenizer,
            self.name,
            self.weights,
            self.settings,
            self.answers.remembered,
            self.step,
            self.counterexamples,
            self.see_length,
            self.bos_convention,
            (*self.dictionaries, place),
        )
        made.answers.progress = self.answers.progress
        return made

    def dictionary_from(self, site: str, path: str | Path, streams: Streams, transcoder: bool) -> Attachment:
        """A dictionary from disk, for a site of this model and not attached to it: see ``with_dictionary``."""
        remembered = self.answers.remembered
        return attach(self._held, self.anatomy, self.weights, site, Path(path), streams, transcoder, remembered)

    def __repr__(self) -> str:
        return f"<circuitcheck model {self.name}: {plural(self.anatomy.n_layers, 'layer')}, {self.weights} weights>"


def _remembered_anatomy(held: Held, name: str, remembered: Remembered) -> Anatomy:
    """What a run shows of the kinds of sites that there are, unless that was seen before."""
    fact = f"anatomy {digest(repr(KINDS))}"
    if (known := remembered.fact(fact)) is not None:
        with suppress(ValueError):  # what is there may be anybody's
            return Anatomy.from_json(name, known)
    found = anatomy_of(held.bridge, name)
    remembered.note(fact, found.as_json())
    return found
