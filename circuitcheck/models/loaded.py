"""A loaded model: what it is, how it is run, and what is remembered of it."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.checking.regimes import longest_of, stretches
from circuitcheck.engine.memory import default_budget
from circuitcheck.engine.shapes import rounding_of
from circuitcheck.errors import MethodError, ModelError
from circuitcheck.ledger import note_change
from circuitcheck.models.anatomy import anatomy_of
from circuitcheck.models.base_run import COMPARED, BaseRun
from circuitcheck.models.bos import Bos, bos_of, token_of
from circuitcheck.models.chat_templates import chat_template_of
from circuitcheck.models.dictionaries.attaching import Attachment, Streams, attach
from circuitcheck.models.images.attacking import Attacks
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.chats.rendering import Chats
from circuitcheck.prompts.images.aligning import PictureAligner
from circuitcheck.prompts.images.pictures import Attacker
from circuitcheck.records.counterexamples import Counterexamples
from circuitcheck.records.report_fields import ModelFields
from circuitcheck.sampling.remembered import Remembered, version
from circuitcheck.sampling.stages import Sampler
from circuitcheck.settings import Settings
from circuitcheck.texts import digest, plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Weights = Literal["processed", "raw"]


class LoadedModel:
    """A model that claims can be about.

    ``bridge`` is the TransformerLens bridge; ``weights`` says whether LayerNorm was folded and writing weights centred
    ("processed", TransformerLens' convention) or not ("raw"); ``step`` is a checkpoint's training step, None for others; ``counterexamples`` where
    those of claims about every pair are kept, None: nowhere; ``dictionaries``: those that are attached to it; ``bos``: the token that goes in front of text, as ``bos_convention`` has it;
    ``saved``: the dtype of the weights on disk, empty where that is not known.
    """

    def __init__(
        self,
        bridge: Any,
        name: str,
        weights: Weights,
        settings: Settings,
        remembered: Remembered,
        step: int | None = None,
        counterexamples: Counterexamples | None = None,
        base_run: BaseRun | None = None,
        bos: Bos = "auto",
        dictionaries: Sequence[Attachment] = (),
        saved: str = "",
    ):
        self.bridge, self.name, self.weights, self.settings, self.step = bridge, name, weights, settings, step
        self.counterexamples, self.base_run, self.saved = counterexamples, base_run, saved
        self.dictionaries, self.anatomy = tuple(dictionaries), _remembered_anatomy(bridge, name, remembered)
        for one in dictionaries:
            self.anatomy = self.anatomy.having(one.layer, one.kind, one.features)
        self.bos_convention, self.bos = bos, bos_of(bridge, bos)
        network = bridge.original_model
        context = None if stretches(network) else longest_of(network)
        memory = settings.memory or default_budget(str(bridge.cfg.device))
        attached = {(one.layer, one.kind): one.dictionary for one in dictionaries}
        self.answers = Answers(bridge, self.anatomy, token_of(bridge), memory, remembered, attached)
        if base_run is not None:
            self.answers.see_length = base_run.see_length
        self.answers.questions.on_change = partial(note_change, name)
        # Whether it reads pictures, and what attacks these on it.
        self.attack: Attacker | None = None
        if (sight := getattr(bridge, "sight", None)) is not None:
            self.attack = Attacks(bridge, self.answers)
            labels = {label: number for number, label in enumerate(sight.classes)}
            aligner: Aligner = PictureAligner(name, sight.grid, labels, self.attack)
        else:
            chats = Chats(chat_template_of(bridge.tokenizer))
            aligner = Aligner(bridge.tokenizer, self.bos, int(bridge.cfg.d_vocab), context=context, chats=chats)
        self.sampler = Sampler(aligner, settings)

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the model as it is now: see ``circuitcheck.engine.watching.fingerprints``."""
        return self.answers.fingerprint

    @property
    def rounding(self) -> float:
        """How far rounding moves this model's logits, as a share of the largest."""
        return rounding_of(self.bridge)

    @property
    def embeddings(self) -> "Floats":
        """Every token's embedding, of shape [token, d_model]; raises ``MethodError`` for a model that reads pictures."""
        if self.attack is not None:
            raise MethodError(
                f"an adversary with gradients goes by the embeddings of tokens, and {self.name} reads pictures: search against('coordinate')"
            )
        found: Floats = self.bridge.W_E.detach().double().cpu().numpy()
        return found

    def describe(self) -> ModelFields:
        """The model as reports name it; all values are JSON scalars."""
        said: ModelFields = {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "architecture": str(self.bridge.cfg.architecture),
            "step": self.step,
            "layers": self.anatomy.n_layers,
            "weights": self.weights,
            "bos": self.bos,
            "dtype": str(self.bridge.cfg.dtype).removeprefix("torch."),
            "device": str(self.bridge.cfg.device),
            "engine": self.answers.describe(),
            "base_run": COMPARED if self.base_run is None else self.base_run.words,
            "transformer_lens": version("transformer_lens"),
            "torch": version("torch"),
            "seed": ",".join(map(str, self.settings.seeds)),
        }
        if self.saved:
            said["saved"] = self.saved
        if self.dictionaries:
            said["dictionaries"] = ", ".join(map(str, self.dictionaries))
        return said

    def with_dictionary(self, site: str, path: str | Path, *, streams: Streams = "", transcoder: bool = False) -> Self:
        """The same model with a dictionary (a sparse autoencoder or a transcoder) attached at a site: its features are sites, too.

            model = model.with_dictionary("L12.RESID_POST", "gemma-scope/layer_12/width_16k/average_l0_82")
            assert model.on(FRUIT).patch("L12.RESID_POST.F431") > 0.4

        ``path``: a SAELens folder (cfg.json, sae_weights.safetensors), or Gemma Scope's params.npz; "bundled-seed0" and "bundled-seed1" for the
        bundled model's L1.RESID_POST. ``streams``: whether it was trained on "raw" or "processed" ones, where its configuration does not say.
        ``transcoder``: what an npz holds is one. The weights are shared with this model. Raises ``ModelError`` for what is no dictionary of
        that place or this model, ``AddressError`` for what is no site.
        """
        place = self.dictionary_from(site, path, streams, transcoder)
        if (there := self.anatomy.layers[place.layer].dictionaries.get(place.kind)) is not None:
            raise ModelError(f"{site} has the dictionary {there.name} ({there.digest}) already: a site has one")
        made = type(self)(
            self.bridge,
            self.name,
            self.weights,
            self.settings,
            self.answers.remembered,
            self.step,
            self.counterexamples,
            self.base_run,
            self.bos_convention,
            (*self.dictionaries, place),
            self.saved,
        )
        made.answers.progress = self.answers.progress
        return made

    def dictionary_from(self, site: str, path: str | Path, streams: Streams, transcoder: bool) -> Attachment:
        """A dictionary from disk, for a site of this model and not attached to it: see ``with_dictionary``."""
        store = self.answers.remembered.store
        return attach(self.bridge, self.anatomy, self.weights, site, Path(path), streams, transcoder, store)

    def __repr__(self) -> str:
        return f"<circuitcheck model {self.name}: {plural(self.anatomy.n_layers, 'layer')}, {self.weights} weights>"


def _remembered_anatomy(bridge: Any, name: str, remembered: Remembered) -> Anatomy:
    """What a run shows of the kinds of sites that there are, unless that was seen before."""
    fact = f"anatomy {digest(repr(KINDS))}"
    if (known := remembered.fact(fact)) is not None:
        with suppress(ValueError):  # what is there may be anybody's
            return Anatomy.from_json(name, known)
    found = anatomy_of(bridge, name)
    remembered.note(fact, found.as_json())
    return found
