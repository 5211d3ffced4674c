"""What the unchanged runs show: how the last stream is read, what components write into it, where heads attend.

Nothing is put in: all of it comes from the base runs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitcheck.addresses.kinds import lacking
from circuitcheck.addresses.sites import Position, Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.checking.agreement import agree
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.hooks.hookpoints import output_projection, targets
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.named import Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


# Pairs on whose logits of all tokens it is seen that they are a multiple of those that are read off the last stream.
_MULTIPLE_PAIRS = 4
_NOT_LINEAR = (
    "this model's logits are no linear function of its last stream after the final norm (a soft cap?), so that they are no sum "
    "of what its components write: ablate or patch them"
)


def lens(answers: Answers, sample: Sample, site: Site, side: Side, readout: Readout) -> "Floats":
    """The readout of the stream at a site, at the last token, through the final norm and the unembedding; shape [pair]."""
    _one_token(sample, "a logit lens")
    readout.check(sample.pairs)

    def look(chunk: Chunk) -> "Floats":
        from transformer_lens.tools.analysis.logit_lens import logit_readout

        engine = answers.engine
        reading, stream = engine.reading(readout, chunk), _at_end(engine, chunk, side, site)
        try:
            logits = logit_readout(engine.bridge, stream, vocab=reading.vocabulary).values
        except (ValueError, NotImplementedError) as error:
            raise MethodError(f"a logit lens cannot read this model's stream: {error}") from error
        return reading.read(logits, torch.arange(len(chunk.pairs)))[:, None]

    return answers.looked_at(sample, ("lens", site, side, readout), look)[:, 0]


def direct(answers: Answers, sample: Sample, sets: Sequence[Sequence[Site]], side: Side, readout: Readout) -> "Floats":
    """What the components of each set write into the last token's stream, as the answer - foil logit difference reads it
    with the final norm's scale held where it is; of shape [set, pair]."""
    _one_token(sample, "direct logit attribution")
    read = answers.base(sample, side, readout).values
    noise = float(answers.noise(sample, readout).max())

    def look(chunk: Chunk) -> "Floats":
        engine = answers.engine
        size = noise / engine.rounding  # of the logits
        written = _Written(engine, chunk, side, _directions(engine, chunk, side, read[list(chunk.rows)], size))
        found: Floats = (
            torch.stack([torch.stack([written.by(site) for site in sites]).sum(0) for sites in sets], 1).cpu().numpy()
        )
        return found

    return answers.looked_at(sample, ("direct", tuple(map(tuple, sets)), side), look).T


def attention(answers: Answers, sample: Sample, head: Site, places: tuple[Position, Position], side: Side) -> "Floats":
    """The attention that a head pays from the one token at the first place to those at the second; shape [pair]."""
    destination, source = places

    def look(chunk: Chunk) -> "Floats":
        at, rows = _the_one(chunk, destination, side), torch.arange(len(chunk.pairs))
        first = int(at.min())
        pattern = _from(answers.engine, chunk, side, replace(head, kind="H.PATTERN"), first)
        paid = pattern[rows, at - first, head.index].double().cpu() * _sources(chunk, source, at, side)
        numbers: Floats = paid.sum(1, keepdim=True).clamp(max=1.0).numpy()
        return numbers

    return answers.looked_at(sample, ("attention", head, places, side), look)[:, 0]


def _one_token(sample: Sample, what: str) -> None:
    """Raise ``MethodError`` for answers of several tokens, which are read at as many positions."""
    if several := next((pair for pair in sample.pairs if pair.has_several), None):
        texts = " or ".join(repr(one) for one in (*several.pair.answer, *several.pair.foil))
        raise MethodError(
            f"{what} is of the prediction of one token, and after {several.pair.clean.text!r} there are several in {texts}: give answers "
            "of one token, or patch and ablate"
        )


class _Written:
    """What components write at the last token of a chunk's runs, along each pair's direction [pair, d_model]."""

    def __init__(self, engine: Engine, chunk: Chunk, side: Side, directions: torch.Tensor):
        self.engine, self.chunk, self.side, self.directions = engine, chunk, side, directions
        self._rows: dict[tuple[int, str], torch.Tensor] = {}

    def by(self, site: Site) -> torch.Tensor:
        """Of shape [pair]."""
        value = _at_end(self.engine, self.chunk, self.side, site)
        if site.traits.host and site.traits.numbered:
            attached, end = self.engine.attached, self.chunk.end_of(self.side)
            read = attached.read(self.engine.runner, self.chunk, self.side, site.layer, site.kind, end)[:, 0]
            value = attached.of(site.layer, site.kind).written(value, read, [site.index])
        value = value.double()
        if site.traits.weights is None:
            return (value * self.directions).sum(-1)
        width = self._output_rows(site)[site.index].double()  # of shape [its width, d_model]
        return (value[:, site.index].reshape(len(value), -1) * (self.directions @ width.T)).sum(-1)

    def _output_rows(self, site: Site) -> torch.Tensor:
        """What the components of a layer write by, of shape [component, its width, d_model]; raises ``MethodError`` where
        what they write does not add up to what the layer writes."""
        if (site.layer, site.kind) not in self._rows:
            if site.traits.weights is None:
                raise AssertionError("it writes by the weights of a module")
            whole, (module, _, weights) = site.traits.whole, site.traits.weights
            block = self.engine.bridge.blocks[site.layer]
            value = _at_end(self.engine, self.chunk, self.side, site)
            try:
                rows = getattr(getattr(block, module), weights).detach()
                scale = getattr(block, "residual_contribution_scale", 1.0)  # Granite's multiplier
                rows = scale * rows.reshape(value.shape[1], -1, rows.shape[-1])
            except (AttributeError, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
                raise MethodError(f"the output weights of L{site.layer}.{whole} cannot be read: {error}") from error
            flat = value.flatten(1)
            with torch.inference_mode():
                added_up = flat @ rows.flatten(0, 1) + scale * output_projection(block, site.kind)(
                    torch.zeros_like(flat[:1])
                )
            if not agree(_at_end(self.engine, self.chunk, self.side, Site(site.layer, whole)), added_up):
                raise MethodError(
                    f"what L{site.layer}.{whole} writes is not the sum of what its parts write (a norm behind it?): "
                    f"attribute L{site.layer}.{whole} as a whole"
                )
            self._rows[site.layer, site.kind] = rows
        return self._rows[site.layer, site.kind]


def _directions(engine: Engine, chunk: Chunk, side: Side, read: "Floats", size: float) -> torch.Tensor:
    """Along what each pair's last stream is read as its answer - foil logit difference, of shape [pair, d_model]; raises
    ``MethodError`` where that does not give what was ``read``, of logits as large as ``size``."""
    if any(len(pair.answer) != 1 or len(pair.foil) != 1 for pair in chunk.pairs):
        raise MethodError(
            "direct logit attribution is of one answer and one foil: the log-odds of sets are no sum of parts"
        )
    bridge = engine.bridge
    if reason := lacking("RESID_POST", engine.anatomy.layers[-1]):
        raise MethodError(f"the last layer of {engine.anatomy.name} {reason}: ablate or patch what writes there")
    stream = _at_end(engine, chunk, side, Site(engine.anatomy.n_layers - 1, "RESID_POST"))
    answers, foils = ([getattr(pair, what)[0] for pair in chunk.pairs] for what in ("answer", "foil"))
    with torch.inference_mode():
        unembedding = (bridge.W_U[:, answers] - bridge.W_U[:, foils]).double()
        bias = (bridge.b_U[answers] - bridge.b_U[foils]).double()
        linear, constant, scale = _final_norm(bridge, stream)
        some = torch.arange(min(len(chunk.pairs), _MULTIPLE_PAIRS))
        normed = stream[some].double() @ linear / scale[: len(some)] + constant
        multiple = _multiple(engine.last_logits(chunk, side, some), normed.to(bridge.W_U) @ bridge.W_U + bridge.b_U)
        directions = multiple * (linear @ unembedding).T / scale
        whole = (stream.double() * directions).sum(-1) + multiple * (constant @ unembedding + bias)
    if not agree(torch.tensor(read).to(stream.dtype), whole.cpu().to(stream.dtype), size):
        raise MethodError(_NOT_LINEAR)
    found: torch.Tensor = directions
    return found


def _multiple(logits: torch.Tensor, read: torch.Tensor) -> float:
    """What a model multiplies the logits by that are ``read`` off its last streams, both of shape [pair, token] and of all tokens
    (Granite and Cohere do); raises ``MethodError`` where its ``logits`` are no multiple of them."""
    wanted, there = logits.double(), read.double()
    found = float((wanted * there).sum() / there.square().sum().clamp(min=torch.finfo(torch.float64).tiny))
    # Where it is 1, rounding must not make it anything else.
    multiple = 1.0 if agree(logits, read.to(logits)) else found
    if not agree(logits, (multiple * there).to(logits)):
        raise MethodError(_NOT_LINEAR)
    return multiple


def _final_norm(bridge: Any, stream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The final norm of each stream x [row, d_model] as x @ linear / scale + constant: ``linear`` [d_model, d_model],
    ``constant`` [d_model] and ``scale`` [row, 1] in double precision. Where there is no norm, as if there were none."""
    d_model = stream.shape[-1]
    basis = torch.eye(d_model, dtype=stream.dtype, device=stream.device)
    name = "ln_final.hook_scale"
    if name not in bridge.hook_dict:
        return basis.double(), basis.new_zeros(d_model).double(), basis.new_ones(1, 1).double()
    scales: list[torch.Tensor] = []
    normed = []
    with bridge.hooks(fwd_hooks=[(name, lambda scale, hook: scales.append(scale.detach().double()))]):
        for vectors in (stream, basis, basis.new_zeros(1, d_model)):
            normed.append(bridge.ln_final(vectors.unsqueeze(0))[0].double())
    constant = normed[2][0]
    return (normed[1] - constant) * scales[1][0], constant, scales[0][0]


def _at_end(engine: Engine, chunk: Chunk, side: Side, site: Site) -> torch.Tensor:
    """A site's activation at the last token, of shape [pair, ...]."""
    return _from(engine, chunk, side, site, chunk.end_of(side))[:, 0]


def _from(engine: Engine, chunk: Chunk, side: Side, site: Site, start: int) -> torch.Tensor:
    """A site's activation from a token on, of shape [pair, position, ...]."""
    [target] = targets([site])
    return engine.recorded(chunk, side, target, start)


def _the_one(chunk: Chunk, position: Position, side: Side) -> torch.Tensor:
    """The one token at a position of each pair's prompt, of shape [pair]."""
    for pair in chunk.pairs:
        if len(places := pair.positions(position, side)) != 1:
            raise MethodError(
                f"attention is paid from one token, and @{position} is {len(places)} in {pair.prompt(side).text!r}: name one, "
                "such as @end"
            )
    return chunk.mask(position, side).int().argmax(1)


def _sources(chunk: Chunk, position: Position, destination: torch.Tensor, side: Side) -> torch.Tensor:
    """True at the tokens that attention is paid to, of shape [pair, position]; none of them behind the destination."""
    mask = chunk.mask(position, side)
    for row, pair in enumerate(chunk.pairs):
        if pair.looks_back and int(mask[row].int().argmax()) > int(destination[row]):
            raise MethodError(
                f"@{position} stands behind the token that attends in {pair.prompt(side).text!r}, and no head looks ahead"
            )
    return mask
