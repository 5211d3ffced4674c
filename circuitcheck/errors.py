"""Every exception that circuitcheck raises on purpose.

CircuitError
├── ClaimRefuted          the evidence speaks against the claim (also an AssertionError)
├── ClaimInconclusive     the evidence does not decide it       (also an AssertionError)
├── BehaviourAbsent       a share of a behaviour that the model does not show
├── ComparisonError       a comparison that would mean nothing (also a TypeError)
├── AddressError          an address that the model does not have
├── PromptError           prompts that cannot be built, aligned or answered
├── MethodError           an intervention, readout or unit that does not fit
├── ModelError            a model that cannot be found or safely loaded
│   └── ModelMissing          a model that is not on this machine
│       └── DictionaryMissing     a dictionary that is not
├── LockError             a lock file that cannot be read, or would claim less than before
├── StoreError            a store of remembered numbers that is not there, or does not hold what is asked
└── EngineError           a forward pass that cannot be believed
    ├── NumericsError         NaN or infinite logits
    └── InterventionError     a write that did not happen as addressed
"""

from typing import TYPE_CHECKING, Any

from circuitcheck.texts import plain

# Names that were public once, by the class that had them, and what is written now. They go with version 1.0.
_RENAMED = {
    "Effect": {
        **dict.fromkeys(
            ("in_logits", "in_nats", "in_accuracy", "in_probability", "in_places", "in_prompts", "in_values"), ".raw"
        ),
        "per_pair": ".measure().per_pair",
        "method": ".measure().method",
    },
    "PromptPairs": {"with_noise": ".with_typos(...)"},
}


class CircuitError(Exception):
    """The root: ``except CircuitError`` catches all that circuitcheck raises on purpose. Its text is plain, whatever prompts,
    addresses and files of others put into it."""

    def __str__(self) -> str:
        return plain(super().__str__())


class ClaimRefuted(CircuitError, AssertionError):
    """The evidence speaks against the claim. The only exception that ``xfail`` may expect of a claim, where a comparison has
    raised it (``of_comparison``)."""

    of_comparison = False


class ClaimInconclusive(CircuitError, AssertionError):
    """The evidence does not decide the claim. Not decided is not passed."""


class BehaviourAbsent(CircuitError):
    """The model does not show the behaviour, so that a share of it means nothing."""


class ComparisonError(CircuitError, TypeError):
    """A comparison of effects that would mean nothing, or the truth of an effect that was not compared."""


class AddressError(CircuitError):
    """The model has no such component; the message points at the fault and names the nearest valid address."""


class PromptError(CircuitError):
    """Prompts that cannot be built, aligned or answered."""


class MethodError(CircuitError):
    """An intervention, a readout or a unit that does not fit the question."""


class ModelError(CircuitError):
    """A model that cannot be found or safely loaded."""


class ModelMissing(ModelError):
    """A model whose weights are not on this machine; ``fetch`` is the command that brings them."""

    def __init__(self, name: str, fetch: str):
        super().__init__(
            f"{name!r} is neither a folder here nor in a local cache, and a test run downloads nothing.\n"
            f"Fetch it once with\n"
            f"  {fetch}\n"
            "or pass the path of a folder that holds its config.json, *.safetensors and tokenizer files."
        )
        self.name, self.fetch = name, fetch


class DictionaryMissing(ModelMissing):
    """A dictionary whose files are not on this machine; ``fetch`` is the option that says where it is."""

    def __init__(self, path: str):
        CircuitError.__init__(
            self,
            f"there is no dictionary {path}: give a folder with cfg.json and sae_weights.safetensors, or params.npz",
        )
        self.name, self.fetch = f"the dictionary {path}", "--circuit-dictionary SITE=PATH"


class LockError(CircuitError):
    """A lock file that cannot be read, or an update that would make it claim less than it did."""


class StoreError(CircuitError):
    """What is asked of a store of remembered numbers that is not there, or does not hold it."""


class EngineError(CircuitError):
    """A forward pass whose numbers cannot be believed."""


class NumericsError(EngineError):
    """The model returned NaN or infinite logits."""


class InterventionError(EngineError):
    """A write that did not fire, or did not write exactly its target."""


# Tracebacks and summaries name the exceptions as users import them.
for _name in [name for name, value in globals().items() if isinstance(value, type)]:
    if issubclass(globals()[_name], CircuitError):
        globals()[_name].__module__ = "circuitcheck"
del _name


class OldNames:
    """A class some of whose names were others before: asking for an old one raises ``AttributeError`` with the new one."""

    if not TYPE_CHECKING:  # to which no other name would be wrong

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            there = [_RENAMED[one.__name__] for one in type(self).__mro__ if one.__name__ in _RENAMED]
            now = next((names[name] for names in there if name in names), None)
            wrong = f"{kind!r} object has no attribute {name!r}"
            raise AttributeError(wrong if now is None else f"{wrong}: write {now}", name=name, obj=self)
