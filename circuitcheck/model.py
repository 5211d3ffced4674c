"""Load a model, know what it is, hold it.

model = circuitcheck.load("gpt2")          # a name in the local Hugging Face cache
model = circuitcheck.load("./checkpoint")  # an ordinary Hugging Face folder
model = circuitcheck.load("bundled")       # the small model inside the package
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.claims.exact.activations import Activation
from circuitcheck.claims.exact.congruence import Congruence
from circuitcheck.claims.exact.heads import HeadScores
from circuitcheck.claims.exact.texts import Texts
from circuitcheck.claims.gathering import Gathering
from circuitcheck.engine.reading.weights import Against
from circuitcheck.finding.explanations import Explanation, explain
from circuitcheck.finding.token_neurons import TokenNeurons, token_neurons
from circuitcheck.ledger import note_model
from circuitcheck.models import loading
from circuitcheck.models.bos import Bos
from circuitcheck.models.dictionaries.attaching import Streams
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.models.sources.how import Weights
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.records.counterexamples import Counterexamples
from circuitcheck.records.store import Store
from circuitcheck.run import Run
from circuitcheck.settings import Settings

if TYPE_CHECKING:
    from circuitcheck.engine.readouts.generated import Generated
    from circuitcheck.engine.readouts.named import Function, ReadoutName


class Model:
    """A loaded model. ``model.on(pairs)`` is a run, whose verbs give effects.

    A ``Model`` is made by ``circuitcheck.load``, and is what the ``model`` fixture gives.
    """

    def __init__(self, loaded: LoadedModel):
        self._loaded = loaded

    @property
    def name(self) -> str:
        """As reports name it: what it was loaded as, or the last part of its folder's path.

        circuitcheck.load("runs/checkpoint-500").name    # "checkpoint-500"
        """
        return self._loaded.name

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the model as it is now; another where anything that can change its output is another.

        assert model.fingerprint != model.untrained(seed=0).fingerprint
        """
        return self._loaded.fingerprint

    @property
    def weights(self) -> Weights:
        """Whether LayerNorm was folded and writing weights centred ("processed", TransformerLens' convention) or not ("raw")."""
        return self._loaded.weights

    @property
    def step(self) -> int | None:
        """The training step of a checkpoint; None of others.

        circuitcheck.load("runs/checkpoint-500").step    # 500
        """
        return self._loaded.step

    @property
    def bos(self) -> int | None:
        """The token id that goes in front of text; None where none does.

        circuitcheck.load("gpt2", bos="never").bos    # None
        """
        return self._loaded.bos

    @property
    def anatomy(self) -> Anatomy:
        """Which components there are, by layer: what addresses may name.

        model.anatomy.n_layers, model.anatomy.layers[0].count("N")    # 3, 48
        """
        return self._loaded.anatomy

    @property
    def bridge(self) -> Any:
        """The TransformerLens bridge, for what circuitcheck does not do. What is changed in it is noticed: numbers of before are not its."""
        return self._loaded.bridge

    def __repr__(self) -> str:
        return repr(self._loaded)

    def on(
        self,
        pairs: "PromptPairs",
        readout: "ReadoutName | Function | Generated" = "logit_diff",
        generalise: str = "",
        at: str = "",
    ) -> "Run":
        """The model on a population of pairs.

            model.on(FRUIT).patch("L1.N8") > 0.4
            model.on(FRUIT, readout="probability").patch("L1.N8") > 0.4
            model.on(FRUIT, readout=lambda logits, pairs: logits[:, 7] - logits[:, 9]).gap > 1
            model.on(FRUIT, readout=generated(lambda text: "olive" in text)).ablate("L1.N8") < -0.4
            model.on(AFTER_THE_FRUIT, at="@{fruit}").patch("L1.N8") > 0.4
            model.on(FRUIT, generalise="fruit").patch("L1.N8") > 0.4

        ``readout``: "logit_diff" (answer - foil), "accuracy", "probability", "log_probability", "rank" or "kl" (to the
        clean run), or a function of logits (double precision, of shape [row, token]) and the rows' pairs (with the token
        ids ``answer`` and ``foil``) that gives a number a row: see ``circuitcheck.engine.readouts``; or ``circuitcheck.generated(predicate)``,
        of what the model writes. ``at``: the position whose
        prediction is read and which answer and foil follow, of several tokens the last; the prompts are run up to there,
        so that ``@end`` means it. ``generalise`` makes the statement one about new fillers of a slot, or new templates ("template"), of which those
        given are a sample: each counts once, and gives as many pairs; at least 6 are needed, and 36 for a mean of what nothing bounds.
        """
        note_model(self._loaded)
        return Run(Gathering(self._loaded, pairs, readout, generalise, at))

    def congruence(self, neuron: str, token: str | int, against: "Against" = "unembedding") -> "Congruence":
        """A neuron's output weights beside a token's vector: claims about weights, exact and without prompts.

            assert model.congruence("L31.N892", " an").rank_among_neurons == 1
            assert model.congruence("L31.N892", " an").value > 2

        ``token`` is a text that is one token, or a token's id; ``against`` "unembedding" or "embedding". Raises
        ``MethodError`` for what is not one neuron and where weights cannot be read, ``PromptError`` for what is not one token.
        """
        note_model(self._loaded)
        return Congruence(self._loaded, neuron, token, against)

    def activation(self, neuron: str, predicts: str | int, on: "Texts") -> "Activation":
        """Whether a neuron fires where the model's top prediction is a token: claims about given texts, exact about them.

            assert model.activation("L31.N892", predicts=" an", on="novel.txt").auc > 0.9
            assert model.activation("L12.RESID_POST.F431", predicts=" an", on=FRUIT).auc > 0.9

        ``neuron``: one, or one feature of an attached dictionary.
        ``on``: ``PromptPairs`` (the prompts of the first 256 pairs), a text file's path (its paragraphs), or a list of texts.
        Raises ``MethodError`` for what is not one neuron, ``PromptError`` for what is not one token and for texts that are
        none, ``BehaviourAbsent`` (when it is compared) where the token is predicted nowhere, or everywhere.
        """
        note_model(self._loaded)
        return Activation(self._loaded, neuron, predicts, on)

    def token_neurons(self, top: int = 20, on: "Texts | None" = None) -> "TokenNeurons":
        """Which neurons write for one token, and for which: the couples of all neurons and all tokens that are each other's most
        congruent, the ``top`` by mutually exclusive congruence (Miller and Neo 2023).

            model.token_neurons(top=20)
            model.token_neurons(top=20, on="novel.txt").as_frame()

        Weights alone; ``on`` texts (as of ``activation``), also whether each neuron fires where its token is predicted, and how many logits of the
        token's lead are lost there when the neuron is held at its mean. Exact; it decides nothing: claim what was found on other texts.
        Raises ``MethodError`` where there are no neurons, or their weights cannot be read; ``PromptError`` for texts that are none.
        """
        note_model(self._loaded)
        return token_neurons(self._loaded, top, on)

    def explain(self, neuron: str, top: int = 10, on: "Texts | None" = None) -> "Explanation":
        """What a neuron writes and reads, by its weights, and where it fires.

            model.explain("L31.N892")
            model.explain("L31.N892", on="novel.txt").save("L31.N892.svg")

        The ``top`` tokens that it writes for and against (output weights times unembedding); that its input weights, of a gated MLP
        those of the gate and of the up projection, read for and against (times embedding); the neurons of earlier layers that write
        for and against what it reads; and ``on`` texts (as of ``activation``) where it fires. Raises ``MethodError`` for what is not one neuron and
        where weights cannot be read, ``PromptError`` for texts that are none.
        """
        note_model(self._loaded)
        return explain(self._loaded, neuron, top, on)

    def head(self, head: str, on: "Texts | None" = None) -> HeadScores:
        """What a head copies by its weights, and what it attends to in plain sequences: claims that are exact about these.

            assert model.head("L5.H1").rank_by_prefix_matching == 1    # an induction head
            assert model.head("L4.H11").previous_token > 0.9
            assert model.head("L9.H9").copying > 0.5

        ``on``: the sequences, as ``activation`` takes them; where nothing is said 16 times 50 random tokens, each said twice, drawn with a
        fixed seed. Raises ``MethodError`` for what is not one head and where weights or attention cannot be read, ``PromptError`` for texts that are
        none, ``BehaviourAbsent`` (when it is compared) for prefix matching in texts in which no token occurs twice.
        """
        note_model(self._loaded)
        return HeadScores(self._loaded, head, on)

    def with_dictionary(
        self, site: str, path: str | Path, *, streams: Streams = "", transcoder: bool = False
    ) -> "Model":
        """The same model with a dictionary (a sparse autoencoder or a transcoder) attached at a site: its features are sites, too.

            model = model.with_dictionary("L12.RESID_POST", "gemma-scope/layer_12/width_16k/average_l0_82")
            assert model.on(FRUIT).patch("L12.RESID_POST.F431") > 0.4

        ``path``: a SAELens folder (cfg.json, sae_weights.safetensors), or Gemma Scope's params.npz; "bundled-seed0" and "bundled-seed1" for the
        bundled model's L1.RESID_POST. ``streams``: whether it was trained on "raw" or "processed" ones, where its configuration does not say.
        ``transcoder``: what an npz holds is one. The weights are shared with this model. Raises ``ModelError`` for what is no dictionary of
        that place or this model, ``AddressError`` for what is no site.
        """
        return Model(self._loaded.with_dictionary(site, path, streams=streams, transcoder=transcoder))

    def untrained(self, seed: int) -> "Model":
        """A model of the same architecture with weights as they are drawn before any training.

            model.untrained(seed=0).on(FRUIT).gap.measure()

        Raises ``ModelError`` where none can be made: for models that are not of Hugging Face's ``transformers``.
        """
        return Model(loading.untrained(self._loaded, seed))


def load(
    name_or_path: str | Path | Any,
    *,
    weights: Weights = "processed",
    device: str | None = None,
    dtype: str = "float32",
    revision: str | None = None,
    bos: Bos = "auto",
    settings: Settings | None = None,
    store: Store | None = None,
    counterexamples: Counterexamples | None = None,
    adapter: str | Path | None = None,
) -> Model:
    """Load a model for claims, from this machine only.

        model = circuitcheck.load("bundled")
        model.on(FRUIT).patch("L1.N8").measure()

    ``name_or_path``: "bundled"; "bundled-images", which reads pictures; "smollm2", once ``circuitcheck fetch`` has got it; a Hugging Face folder; a GGUF file; a hub name whose files are in the local cache; a
    TransformerLens-native model as ``NAME.safetensors`` or weights-only ``NAME.pt`` with ``NAME.config.json`` beside
    it; or a ``TransformerBridge``, which stays where and as it is. ``weights="raw"`` leaves LayerNorm unfolded.
    ``bos``: whether the BOS token goes in front of text that does not begin with it: "always", "never" or "auto", which is what the tokenizer
    adds by itself, else BOS where it is also EOS (GPT-2's convention), else none; token ids and chats are as they are.
    ``revision``: of a cached model, such as a checkpoint's; ``adapter``: the folder of a PEFT adapter, which is merged into it. ``device``: "cpu", "cuda" (the default where there is one), or "auto" (transformers' ``device_map``: offloaded weights must be raw);
    ``dtype``: "float32", "float64", "bfloat16", "float16"; "8bit" and "4bit" (by bitsandbytes, raw weights).
    ``store``: where numbers are remembered; ``counterexamples``: where those of claims about every pair are kept (None: nowhere).
    Raises ``ModelError`` saying what is missing and how to get it; pickles and remote code are never loaded.
    """
    loaded = loading.loaded(
        name_or_path,
        weights,
        device,
        dtype,
        revision,
        settings,
        store,
        counterexamples,
        None if adapter is None else Path(adapter),
        bos,
    )
    return Model(loaded)
