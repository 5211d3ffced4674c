"""Load a model, know what it is, hold it.

model = circuitcheck.load("gpt2")          # a name in the local Hugging Face cache
model = circuitcheck.load("./checkpoint")  # an ordinary Hugging Face folder
model = circuitcheck.load("bundled")       # the small model inside the package
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitcheck.alignment import Aligner
from circuitcheck.base_run import Expected, Untouched
from circuitcheck.bos import bos_of, follow_tokenizer, token_of
from circuitcheck.bridges import anatomy_of
from circuitcheck.checkpoints import step_of
from circuitcheck.engine import Engine
from circuitcheck.engine.memory import default_budget
from circuitcheck.engine.remembered import Remembered
from circuitcheck.engine.torch_settings import precision
from circuitcheck.errors import ModelError, ModelMissing
from circuitcheck.fingerprints import fingerprint
from circuitcheck.folders import check_folder, network_of
from circuitcheck.ledger import note_change, note_model
from circuitcheck.native import boot_native
from circuitcheck.sampling import Sampler
from circuitcheck.settings import Settings

if TYPE_CHECKING:
    from circuitcheck.activations import Activation, Texts
    from circuitcheck.prompts import PromptPairs
    from circuitcheck.readouts import Function, ReadoutName
    from circuitcheck.runs import Run
    from circuitcheck.weights import Against, Congruence

Weights = Literal["processed", "raw"]
_DTYPES = ("float32", "float64", "bfloat16", "float16")
_SAFE_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


class Model:
    """A loaded model. ``model.on(pairs)`` is a run, whose verbs give effects.

    ``bridge`` is the TransformerLens bridge; ``weights`` says whether LayerNorm was folded and writing weights centred
    ("processed", TransformerLens' convention) or not ("raw"); ``step`` is a checkpoint's training step, None for others.
    """

    def __init__(
        self,
        bridge: Any,
        name: str,
        weights: Weights,
        settings: Settings,
        remembered: Remembered,
        step: int | None = None,
    ):
        self.bridge, self.name, self.weights, self.settings, self.step = bridge, name, weights, settings, step
        self.anatomy = anatomy_of(bridge, name)
        self.bos = bos_of(bridge)
        self.sampler = Sampler(Aligner(bridge.tokenizer, self.bos, int(bridge.cfg.d_vocab)), settings)
        memory = settings.memory or default_budget(str(bridge.cfg.device))
        self.engine = Engine(bridge, self.anatomy, token_of(bridge), memory, remembered)
        self.engine.questions.on_change = partial(note_change, name)

    def on(
        self,
        pairs: "PromptPairs",
        readout: "ReadoutName | Function" = "logit_diff",
        generalise: str = "",
        at: str = "",
    ) -> "Run":
        """The model on a population of pairs.

            model.on(FRUIT).patch("L1.N8") > 0.4
            model.on(FRUIT, readout="probability").patch("L1.N8") > 0.4
            model.on(FRUIT, readout=lambda logits, pairs: logits[:, 7] - logits[:, 9]).gap > 1
            model.on(AFTER_THE_FRUIT, at="@{fruit}").patch("L1.N8") > 0.4
            model.on(FRUIT, generalise="fruit").patch("L1.N8") > 0.4

        ``readout``: "logit_diff" (answer - foil), "accuracy", "probability", "log_probability", "rank" or "kl" (to the
        clean run), or a function of logits (double precision, of shape [row, token]) and the rows' pairs (with the token
        ids ``answer`` and ``foil``) that gives a number a row: see ``circuitcheck.readouts``. ``at``: the position whose
        prediction is read and which answer and foil follow, of several tokens the last; the prompts are run up to there,
        so that ``@end`` means it. ``generalise`` makes the statement one about new fillers of a slot, or new templates ("template"), of which those
        given are a sample: each counts once, and at least 6 are needed.
        """
        from circuitcheck.runs import Run

        note_model(self)
        return Run(self, pairs, readout, generalise, at)

    def congruence(self, neuron: str, token: str | int, against: "Against" = "unembedding") -> "Congruence":
        """A neuron's output weights beside a token's vector: claims about weights, exact and without prompts.

            assert model.congruence("L31.N892", " an").rank_among_neurons == 1
            assert model.congruence("L31.N892", " an").value > 2

        ``token`` is a text that is one token, or a token's id; ``against`` "unembedding" or "embedding". Raises
        ``MethodError`` for what is not one neuron and where weights cannot be read, ``PromptError`` for what is not one token.
        """
        from circuitcheck.weights import Congruence

        note_model(self)
        return Congruence(self, neuron, token, against)

    def activation(self, neuron: str, predicts: str | int, on: "Texts") -> "Activation":
        """Whether a neuron fires where the model's top prediction is a token: claims about given texts, exact about them.

            assert model.activation("L31.N892", predicts=" an", on="novel.txt").auc > 0.9

        ``on``: ``PromptPairs`` (the prompts of the first 256 pairs), a text file's path (its paragraphs), or a list of texts.
        Raises ``MethodError`` for what is not one neuron, ``PromptError`` for what is not one token and for texts that are
        none, ``BehaviourAbsent`` (when it is compared) where the token is predicted nowhere, or everywhere.
        """
        from circuitcheck.activations import Activation

        note_model(self)
        return Activation(self, neuron, predicts, on)

    def untrained(self, seed: int) -> "Model":
        """A model of the same architecture with weights as they are drawn before any training.

            model.untrained(seed=0).on(FRUIT).gap.measure()

        Raises ``ModelError`` where none can be made: for models that are not of Hugging Face's ``transformers``.
        """
        with _quiet_libraries():
            bridge = _redrawn(self.bridge, self.name, seed)
        return load(bridge, weights=self.weights, settings=self.settings)

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the model as it is now: see ``circuitcheck.fingerprints``."""
        return self.engine.fingerprint

    @property
    def rounding(self) -> float:
        """How far rounding moves this model's logits, as a share of the largest."""
        return self.engine.rounding

    def describe(self) -> dict[str, Any]:
        """The model as reports name it; all values are JSON scalars."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "architecture": str(self.bridge.cfg.architecture),
            "step": self.step,
            "layers": self.anatomy.n_layers,
            "weights": self.weights,
            "bos": self.bos,
            "dtype": str(self.bridge.cfg.dtype).removeprefix("torch."),
            "device": str(self.bridge.cfg.device),
            "engine": self.engine.describe(),
            "transformer_lens": version("transformer_lens"),
            "torch": version("torch"),
        }

    def __repr__(self) -> str:
        return f"<circuitcheck model {self.name}: {self.anatomy.n_layers} layers, {self.weights} weights>"


def load(
    name_or_path: str | Path | Any,
    *,
    weights: Weights = "processed",
    device: str | None = None,
    dtype: str = "float32",
    revision: str | None = None,
    settings: Settings | None = None,
) -> Model:
    """Load a model for claims, from this machine only.

        model = circuitcheck.load("bundled")
        model.on(FRUIT).patch("L1.N8").measure()

    ``name_or_path``: "bundled"; a Hugging Face folder; a hub name whose files are in the local cache; a
    TransformerLens-native model as ``NAME.safetensors`` or weights-only ``NAME.pt`` with ``NAME.config.json`` beside
    it; or a ``TransformerBridge``, which stays where and as it is. ``weights="raw"`` leaves LayerNorm unfolded.
    ``revision``: of a cached model, such as a checkpoint's. ``device``: "cpu", "cuda" (the default where there is one); ``dtype``: "float32", "float64", "bfloat16", "float16".
    Raises ``ModelError`` saying what is missing and how to get it; pickles and remote code are never loaded.
    """
    if weights not in ("processed", "raw"):
        raise ModelError(f"weights are 'processed' or 'raw', not {weights!r}")
    place = _place(device, dtype)
    with _quiet_libraries():
        bridge, name, untouched = _boot(name_or_path, place, revision)
        if (
            getattr(bridge.cfg, "attention_dir", "causal") != "causal"
            or getattr(bridge, "encoder_blocks", None) is not None
        ):
            raise ModelError(f"{name} is not a causal decoder, and claims are about next-token predictions")
        bridge.eval()
        settings = settings or Settings()
        identity = fingerprint(bridge, weights, bos_of(bridge), wrapped_elsewhere=untouched is None)
        remembered = Remembered(settings.store, identity, str(bridge.cfg.device), precision())
        _see_base_run(bridge, name, untouched, weights, remembered)
    remembered.note("name", name)
    step = None if name_or_path is bridge else step_of(revision or name_or_path)
    return Model(bridge, name, weights, settings, remembered, step)


def _place(device: str | None, dtype: str) -> dict[str, Any]:
    """A device and a dtype by their names, as the bridge takes them."""
    import torch

    if dtype not in _DTYPES:
        raise ModelError(f"a dtype is one of {', '.join(_DTYPES)}, not {dtype!r}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except Exception as error:
        raise ModelError(
            f"there is no device {device!r} here ({str(error).splitlines()[0]}); 'cpu' always is"
        ) from None
    return {"device": device, "dtype": getattr(torch, dtype)}


def _boot(source: str | Path | Any, place: dict[str, Any], revision: str | None) -> tuple[Any, str, Untouched | None]:
    """A bridge, its name, and what it was before it was wrapped (None for one that was wrapped by somebody else)."""
    here = not isinstance(source, str | Path) or str(source) == "bundled" or Path(source).expanduser().exists()
    if revision is not None and here:
        raise ModelError(f"a revision is of a model in the Hugging Face cache, and {source} is not looked for there")
    if not isinstance(source, str | Path):
        if not hasattr(source, "hook_dict"):
            raise ModelError(f"load takes a name, a path or a TransformerBridge, not a {type(source).__name__}")
        return source, str(getattr(source.cfg, "model_name", None) or "bridge"), None
    if str(source) == "bundled":
        from circuitcheck.bundled import PATH

        bridge, untouched = _boot_folder(PATH, place)
        return bridge, "bundled", untouched
    path = Path(source).expanduser()
    if path.is_dir():
        bridge, untouched = _boot_folder(path, place)
        return bridge, path.resolve().name, untouched
    if path.is_file() or path.suffix in (".pt", ".pth", ".safetensors"):
        bridge, untouched = boot_native(path, place)
        return bridge, path.stem, untouched
    bridge, untouched = _boot_folder(_cached_snapshot(str(source), revision), place)
    return bridge, str(source) if revision is None else f"{source} at {revision}", untouched


def _boot_folder(folder: Path, place: dict[str, Any]) -> tuple[Any, Untouched]:
    from transformer_lens.model_bridge import TransformerBridge

    check_folder(folder)
    try:
        network, network_class = network_of(folder, **place)
        untouched = Untouched(network)
        bridge = follow_tokenizer(
            TransformerBridge.boot_transformers(str(folder), hf_model=network, model_class=network_class, **place)
        )
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{folder} could not be loaded: {type(error).__name__}: {error}") from error
    return bridge, untouched


def _cached_snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    at = "" if revision is None else f" --revision {revision}"
    fetch = f"hf download {name}{at} --include {' '.join(map(repr, _SAFE_FILES))}"
    folder: Path | None = None
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=_SAFE_FILES))
    except HFValidationError:
        raise ModelError(f"{name!r} is neither a folder or file here, nor a model's name on the hub") from None
    except LocalEntryNotFoundError:
        pass
    # A cache may hold the tokenizer alone, which somebody else asked for.
    if folder is None or not [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
        raise ModelMissing(name, fetch)
    return folder


def _redrawn(bridge: Any, name: str, seed: int) -> Any:
    """A bridge of the same architecture, its weights drawn as its class draws them."""
    import torch
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers import PreTrainedModel

    original = bridge.original_model
    if not isinstance(original, PreTrainedModel):
        raise ModelError(f"{name} is no transformers model, so that it is not known how its weights are drawn")
    config = deepcopy(original.config)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = type(original)(config).to(device=bridge.cfg.device, dtype=bridge.cfg.dtype)
            made = build_bridge_from_module(
                network, bridge.cfg.architecture, hf_config=config, model_name=f"{name} with random weights"
            )
    except Exception as error:
        raise ModelError(f"{name} cannot be made with random weights: {type(error).__name__}: {error}") from error
    made.tokenizer = bridge.tokenizer
    made.cfg.default_prepend_bos = bridge.cfg.default_prepend_bos
    return made


def _see_base_run(
    bridge: Any, name: str, untouched: Untouched | None, weights: Weights, remembered: Remembered
) -> None:
    """See that a bridge says what the untouched model says, before and after its weights are folded and centred where they are
    to be; unless that was seen before."""
    seen = remembered.fact(f"base run, {weights}") is not None
    expected = None
    if not seen:
        expected = Expected.of_bridge(bridge) if untouched is None else untouched.expected(bridge)
        expected.compare(bridge, name)
    if weights == "processed":
        try:
            bridge.enable_compatibility_mode(disable_warnings=True)
        except (RuntimeError, NotImplementedError, ValueError) as error:
            advice = 'load it with weights="raw" (--circuit-weights=raw)'
            raise ModelError(f"the weights of {name} cannot be folded and centred ({error}); {advice}") from error
        if expected is not None:
            expected.compare(bridge, name, folded=True)
    remembered.note(f"base run, {weights}", "is the untouched model's")


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """No progress bars and no third-party warnings while a model loads; what matters is raised."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging

        was_on = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if was_on:
                logging.enable_progress_bar()
