"""A dictionary at a site of a model, converted to the streams that this model has.

Folding and centring a model's weights changes what dictionaries read: a LayerNorm's streams lose their mean, an MLP's input the weights of the
norm before it. A dictionary that was trained on the one kind reads the other exactly where what it needs is still there; where it is not,
it is refused, with what to load the model as.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from circuitcheck.addresses.anatomy import Anatomy, Features
from circuitcheck.addresses.kinds import KINDS, lacking
from circuitcheck.addresses.parsing import parse
from circuitcheck.bundled import DICTIONARIES
from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.hooks.attached import MLP_INPUT
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.watching.held import Held
from circuitcheck.errors import ModelError
from circuitcheck.models.dictionaries.configuration import Configuration
from circuitcheck.models.dictionaries.loading import read_dictionary
from circuitcheck.models.dictionaries.places import INPUTS, Place
from circuitcheck.models.dictionaries.tensors import files_of
from circuitcheck.records.identity import Files
from circuitcheck.records.store import Store
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.texts import digest

Streams = Literal["", "raw", "processed"]
# What rounding makes of a sum of an encoder's weights, as a share of their size.
_ROUNDING = 1e-5
_BUNDLED = {f"bundled-{one}": DICTIONARIES / one for one in ("seed0", "seed1")}
_SAY = "say which, with streams='raw' or streams='processed' (--circuit-dictionary SITE=PATH,streams=raw)"


@dataclass(frozen=True)
class Attachment:
    """A dictionary at the site ``layer``, ``kind``; ``asked``: as it was asked for, and can be again (``--circuit-dictionary``). It is read,
    and converted, by ``load`` when its numbers are needed; ``digest`` is the hash of all that it is made of."""

    layer: int
    kind: str
    n_features: int
    name: str
    digest: str
    asked: str
    load: Callable[[], Dictionary] = field(compare=False, repr=False)

    @cached_property
    def dictionary(self) -> Dictionary:
        return self.load()

    @property
    def features(self) -> Features:
        return Features(self.n_features, self.name, self.digest[:8])

    def __str__(self) -> str:
        return f"L{self.layer}.{self.kind}: {self.features.name} ({self.features.digest})"


def attach(
    held: Held,
    anatomy: Anatomy,
    weights: str,
    site: str,
    path: Path,
    streams: Streams,
    transcoder: bool,
    remembered: Remembered,
) -> Attachment:
    """A dictionary from disk, for a site of a model. Raises ``ModelError`` for files that hold none, and for one of another place, model or
    processing; ``AddressError`` for what is no site. One that was attached there before is not read again."""
    layer, kind = place_of(site, anatomy)
    asked = f"L{layer}.{kind}={path}{f',streams={streams}' if streams else ''}{',transcoder=yes' if transcoder else ''}"
    if streams not in ("", "raw", "processed"):
        raise ModelError(f"streams are 'raw' or 'processed', not {streams!r}")
    path, store = _BUNDLED.get(str(path), path), remembered.store
    files = Files.of(files_of(path), store).digests
    fact = (
        f"dictionary {digest([layer, kind, [list(one) for one in files], path.name, streams, transcoder], digits=32)}"
    )

    def load() -> Dictionary:
        found = _attached(held.bridge, anatomy, weights, layer, kind, site, path, streams, transcoder, store)
        if Files.of(files_of(path), store).digests != files:
            raise ModelError(f"the dictionary {path} is not on disk what it was when it was attached: attach it again")
        return found

    if not held.is_loaded and (known := _known(remembered.fact(fact))) is not None:
        return Attachment(layer, kind, *known, asked, load)
    found = load()
    remembered.note(fact, json.dumps([found.n_features, found.name, found.digest]))
    return Attachment(layer, kind, found.n_features, found.name, found.digest, asked, lambda: found)


def _known(noted: str | None) -> tuple[int, str, str] | None:
    """How many features a dictionary has, its name and its digest, as they were noted."""
    with suppress(ValueError, TypeError):  # what is there may be anybody's
        n_features, name, named = json.loads(noted or "")
        if isinstance(n_features, int) and isinstance(name, str) and isinstance(named, str):
            return n_features, name, named
    return None


def _attached(
    bridge: Any,
    anatomy: Anatomy,
    weights: str,
    layer: int,
    kind: str,
    site: str,
    path: Path,
    streams: Streams,
    transcoder: bool,
    store: Store | None,
) -> Dictionary:
    """A dictionary as a model's streams are."""
    read, said = read_dictionary(path, str(bridge.cfg.device), transcoder, store)
    if read.is_transcoder and (why := lacking("RESID_MID", anatomy.layers[layer])):
        raise ModelError(f"no transcoder can be attached at {site}: the layer {why}")
    _check_place(bridge, read, said, layer, kind)
    model = _Model(bridge, layer, weights == "processed", str(bridge.cfg.normalization_type).startswith("LN"))
    with torch.inference_mode(False), torch.no_grad():
        converted = (
            model.converted_transcoder(read, said, streams)
            if read.is_transcoder
            else model.converted(read, said, streams)
        )
    named = digest([read.digest, streams, transcoder], digits=16) if streams or transcoder else read.digest
    return replace(converted, digest=named)


def place_of(site: str, anatomy: Anatomy) -> tuple[int, str]:
    """The one place that a dictionary is for."""
    sites = parse(site, anatomy)
    one = sites[0]
    if len(sites) != 1 or one.via or f"{one.kind}.F" not in KINDS or not one.position.everywhere:
        hosts = ", ".join(dict.fromkeys(row.host for row in KINDS.values() if row.host))
        raise ModelError(
            f"a dictionary is attached at one layer's {hosts}, such as L{one.layer}.RESID_POST, and not at {site}"
        )
    return one.layer, one.kind


def _check_place(bridge: Any, read: Dictionary, said: Configuration, layer: int, kind: str) -> None:
    d_model, site = int(bridge.cfg.d_model), f"L{layer}.{kind}"
    if (width := int(read.encoder.shape[0])) != d_model or int(read.decoder.shape[1]) != d_model:
        raise ModelError(
            f"the dictionary {read.name} is of a model with streams of {width} numbers, and those of this model have {d_model}"
        )
    if read.is_transcoder and kind != "MLP":
        raise ModelError(
            f"the dictionary {read.name} is a transcoder, which writes what an MLP does: attach it at L{layer}.MLP, not at {site}"
        )
    if read.is_transcoder and (
        MLP_INPUT.format(layer) not in bridge.hook_dict or not hasattr(bridge.blocks[layer], "ln2")
    ):
        raise ModelError(
            f"the MLP of L{layer} has no norm of its own before it that TransformerLens shows: no transcoder can read what it reads"
        )
    for hook, wanted in ((said.hook, INPUTS if read.is_transcoder else (kind,)), (said.hook_out, ("MLP",))):
        if not hook:
            continue
        if (place := Place.of(hook)) is None:
            raise ModelError(f"the dictionary {read.name} says hook_name={hook!r}, and no address names what is there")
        at_inputs = place.what in wanted and place.layer == layer if wanted == INPUTS else place.is_at(layer, wanted[0])
        if not at_inputs:
            raise ModelError(
                f"the dictionary {read.name} was trained on {place} (hook_name={hook!r}), and is not one of {site}"
            )


@dataclass(frozen=True)
class _Model:
    """What a model has at a layer. ``has_mean``: whether its norms take out a mean, which folding then centres the streams by."""

    bridge: Any
    layer: int
    is_processed: bool
    has_mean: bool

    def converted(self, read: Dictionary, said: Configuration, streams: Streams) -> Dictionary:
        """An autoencoder of streams, or of what is written into them."""
        if not self.has_mean:
            return read
        sums = read.encoder.sum(0).abs()
        # A layer_norm takes the mean out before the encoder; constant_norm_rescale divides by a norm that the mean is part of.
        sees_mean = read.normalisation == "constant_norm_rescale" or (
            read.normalisation == "none" and bool((sums > _ROUNDING * read.encoder.norm(p=1, dim=0)).any())
        )
        was = _was_processed(said, streams, "center_writing_weights")
        if was is None and sees_mean:
            raise ModelError(
                f"the dictionary {read.name} does not say (in model_from_pretrained_kwargs) whether the streams that it was trained on "
                f"were centred: {_SAY}"
            )
        if self.is_processed and not was:
            if sees_mean:
                raise ModelError(
                    f"the dictionary {read.name} was trained on streams with their mean, which folding has taken out of this model's: "
                    'load the model with weights="raw" (--circuit-weights=raw)'
                )
            _centre_written(read)
        return replace(read, centres=bool(was)) if not self.is_processed else read

    def converted_transcoder(self, read: Dictionary, said: Configuration, streams: Streams) -> Dictionary:
        place, normalised = Place.of(said.hook), _was_processed(said, streams, "fold_ln")
        # TransformerLens shows what an RMSNorm makes before its weights; Gemma Scope's, which name no hook point, were trained on that.
        if not self.has_mean and (place.what == "normalised" if place else not streams):
            normalised = True
        if normalised is None:
            raise ModelError(
                f"the dictionary {read.name} does not say (in model_from_pretrained_kwargs) whether the norm before the MLP was folded: {_SAY}"
            )
        if self.is_processed and self.has_mean:
            _centre_written(read)
        if normalised == self.is_processed:
            return read
        if self.is_processed:
            raise ModelError(
                f"the dictionary {read.name} was trained on what the MLP reads with the weights of the norm before it, which are folded into "
                'this model\'s MLP: load the model with weights="raw" (--circuit-weights=raw)'
            )
        weight, bias = self._norm()
        if not bool((weight.abs() > 0).all()):
            raise ModelError(
                f"the norm before the MLP of L{self.layer} has weights that are 0: load the model with its weights processed "
                f"(--circuit-weights=processed) to read the dictionary {read.name} there"
            )
        return replace(read, input_weights=(weight.to(read.encoder), bias.to(read.encoder)))

    def _norm(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The weight and the bias of the norm before the MLP, whatever its class makes of its parameters: of what it makes of vectors whose
        entries are 1 and -1, so large that its epsilon is nothing beside them."""
        parameter = next(self.bridge.blocks[self.layer].ln2.parameters())
        signs = torch.ones(int(self.bridge.cfg.d_model), dtype=parameter.dtype, device=parameter.device)
        signs[1::2] = -1
        one, other = (
            self.bridge.blocks[self.layer].ln2(sign * 1e3 * signs[None, None])[0, 0].double() for sign in (1, -1)
        )
        return (one - other) / 2 * signs.double(), (one + other) / 2


def _was_processed(said: Configuration, streams: Streams, word: str) -> bool | None:
    """Whether a dictionary was trained on a model of which that was processed; None where nothing says so. SAELens loads models without
    processing, unless ``streams`` says otherwise."""
    if streams:
        return streams == "processed"
    return None if said.kwargs is None else bool(said.kwargs.get(word, False))


def _centre_written(read: Dictionary) -> None:
    """Take the mean out of what a dictionary writes, in place."""
    read.decoder.sub_(read.decoder.mean(1, keepdim=True))
    read.offset.sub_(read.offset.mean())
    if read.skip is not None:
        read.skip.sub_(read.skip.mean(0, keepdim=True))
