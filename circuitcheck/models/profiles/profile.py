"""What is known of a model without loading it: what was seen of it when it was loaded before.

    profile = Profile.of(bridge, bos="auto", base_run="the untouched model's", saved="bfloat16")
    note(asked, profile, bridge)          # asked: a Remembered under what the files and options are
    known(asked)                          # the same again, in a session that has loaded nothing; None where it is not there

It is noted when a model was loaded whole and compared, under the hashes of its files, what was asked of them, and the versions of
what read them. What a model's files do not say (a bridge from elsewhere, a tokenizer in Python) is noted nowhere.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from circuitcheck.engine.checking.regimes import longest_of, stretches
from circuitcheck.engine.generation.continuing import stops_of
from circuitcheck.engine.shapes import rounding_of
from circuitcheck.models.bos import Bos, bos_of, special_tokens_of, token_of
from circuitcheck.models.chat_templates import text_of_template
from circuitcheck.models.profiles.tokenizer import FastTokenizer, reads_alike
from circuitcheck.sampling.remembered import Remembered

_PROFILE, _TOKENIZER = "profile", "tokenizer"
# Goes up with what a profile says.
_FORMAT = 1


@dataclass(frozen=True)
class Profile:
    """A model's sizes and conventions. ``bos``: the token that goes in front of text; ``bos_token``: what means BOS wherever it stands;
    ``context``: the tokens that it is made for (None: any number); ``rounding``: how far that moves logits, as a share of the largest;
    ``template`` and ``special``: its tokenizer's chat template, and the special tokens that the template may write; ``stops``: the tokens that end a text;
    ``pictures``: height, width and patches of the pictures that it reads, in pixels (empty where it reads text); ``classes``: its head's, in order."""

    architecture: str
    dtype: str
    device: str
    saved: str
    base_run: str
    rounding: float
    d_vocab: int
    d_model: int
    d_head: int
    n_ctx: int
    context: int | None
    bos: int | None
    bos_token: int | None
    has_tokenizer: bool
    unknown: str | None
    template: str | None
    special: Mapping[str, Any]
    stops: list[int]
    pictures: list[int]
    classes: list[str]

    @classmethod
    def of(cls, bridge: Any, bos: Bos, base_run: str, saved: str) -> "Profile":
        """Of a bridge as it is."""
        cfg, network, tokenizer = bridge.cfg, bridge.original_model, bridge.tokenizer
        template, sight = text_of_template(tokenizer), getattr(bridge, "sight", None)
        grid = None if sight is None else sight.grid
        return cls(
            architecture=str(cfg.architecture),
            dtype=str(cfg.dtype).removeprefix("torch."),
            device=str(cfg.device),
            saved=saved,
            base_run=base_run,
            rounding=rounding_of(bridge),
            d_vocab=int(cfg.d_vocab),
            d_model=int(cfg.d_model),
            d_head=int(cfg.d_head),
            n_ctx=int(cfg.n_ctx),
            context=None if stretches(network) else longest_of(network),
            bos=bos_of(bridge, bos),
            bos_token=token_of(bridge),
            has_tokenizer=tokenizer is not None,
            unknown=None if tokenizer is None else tokenizer.unk_token,
            template=template,
            special={} if template is None else special_tokens_of(tokenizer),
            stops=sorted(stops_of(bridge)),
            pictures=[] if grid is None else [grid.height, grid.width, grid.patch],
            classes=[] if sight is None else list(sight.classes),
        )


@dataclass(frozen=True)
class Known:
    """A model that need not be loaded: its ``fingerprint``, its ``profile``, and what reads its texts (None: nothing)."""

    fingerprint: str
    profile: Profile
    tokenizer: FastTokenizer | None


def note(asked: Remembered, fingerprint: str, profile: Profile, tokenizer: Any) -> None:
    """Note a model that was loaded under what was ``asked``; one whose texts are not read alike without it is not noted."""
    if asked.store is None or known(asked) is not None:
        return
    said = {"format": _FORMAT, "fingerprint": fingerprint, **asdict(profile)}
    with suppress(TypeError):  # of special tokens that are more than text
        if json.loads(json.dumps(said)) == said and (tokenizer is None or reads_alike(tokenizer)):
            if tokenizer is not None:
                asked.note(_TOKENIZER, tokenizer.backend_tokenizer.to_str())
            asked.note(_PROFILE, json.dumps(said))


def known(asked: Remembered) -> Known | None:
    """What was noted under what is ``asked``."""
    try:
        said = json.loads(asked.fact(_PROFILE) or "")
        if said.pop("format") != _FORMAT or set(said) != {"fingerprint", *(one.name for one in fields(Profile))}:
            return None
        fingerprint, profile = said.pop("fingerprint"), Profile(**said)
    except (ValueError, KeyError, AttributeError, TypeError):  # what is there may be anybody's
        return None
    if not profile.has_tokenizer:
        return Known(fingerprint, profile, None)
    text = asked.fact(_TOKENIZER)
    return None if text is None else Known(fingerprint, profile, FastTokenizer(text, profile.unknown))
