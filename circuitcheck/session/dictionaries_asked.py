"""The dictionaries that a session attaches to its models: a site's features are sites, too.

--circuit-dictionary L12.RESID_POST=gemma-scope/layer_12/width_16k/average_l0_82
--circuit-dictionary L5.MLP=runs/transcoder,streams=raw
@pytest.mark.circuit(dictionary="L12.RESID_POST=runs/sae")
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from circuitcheck.texts import plain

if TYPE_CHECKING:
    from circuitcheck.model import Model

_CHOICES = {"streams": ("raw", "processed"), "transcoder": ("yes", "no")}


@dataclass(frozen=True)
class Dictionary:
    """One dictionary as it was asked for: ``options`` are those that ``Model.with_dictionary`` takes."""

    site: str
    path: str
    options: tuple[tuple[str, str], ...] = ()

    def place(self, root: Path) -> Path:
        """Where it is, seen from ``root``."""
        return here if (here := root / self.path).exists() else Path(self.path)

    @property
    def named(self) -> dict[str, Any]:
        """The options by name."""
        said = dict(self.options)
        return {"streams": said.get("streams", ""), "transcoder": said.get("transcoder") == "yes"}


def dictionaries_of(config: pytest.Config, marked: object = None) -> tuple[Dictionary, ...]:
    """Those of the ini file, of a marker and of ``--circuit-dictionary``: at each site, the last of these. Raises ``UsageError``."""
    given = [*config.getini("circuit_dictionary"), *_texts(marked), *(config.getoption("circuit_dictionary") or ())]
    return tuple({one.site: one for one in map(read, given)}.values())


def attached(model: "Model", dictionaries: Iterable[Dictionary], root: Path) -> "Model":
    """The model with these dictionaries, whose paths are seen from ``root``."""
    for one in dictionaries:
        model = model.with_dictionary(one.site, one.place(root), **one.named)
    return model


def _texts(marked: object) -> Iterable[str]:
    given = [marked] if isinstance(marked, str) else [] if marked is None else marked
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise pytest.UsageError(
            f"@pytest.mark.circuit(dictionary=...) is a text such as 'L1.RESID_POST=PATH', or several; not {marked!r}"
        )
    return given


def read(text: str) -> Dictionary:
    """A dictionary as it is asked for in a text. Raises ``UsageError``."""
    site, equals, rest = text.partition("=")
    path, *said = rest.split(",")
    if not (site.strip() and equals and path):
        raise pytest.UsageError(
            f"--circuit-dictionary={plain(text)}: a dictionary is asked for as SITE=PATH, such as L1.RESID_POST=runs/sae"
        )
    options = []
    for one in said:
        name, _, value = one.partition("=")
        if value not in _CHOICES.get(name, ()):
            known = ", ".join(f"{known}={' or '.join(values)}" for known, values in _CHOICES.items())
            raise pytest.UsageError(f"--circuit-dictionary={plain(text)}: after its path stand {known}, not {one!r}")
        options.append((name, value))
    return Dictionary(site.strip(), path, tuple(options))
