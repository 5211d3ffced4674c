"""The method of a number in words: what reports, locks and comparisons say of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Held
from circuitcheck.records.report_fields import MethodFields


@dataclass(frozen=True)
class Method:
    """All that a number depends on beside the model and the pairs. Every field is a JSON scalar. ``chosen``: what was
    chosen or trained on other pairs."""

    verb: str
    granularity: str
    component: str
    value: str
    reference: str = ""
    positions: str = ""
    direction: str = ""
    sites: int = 1
    universe: str = ""
    frozen: str = ""
    readout: str = ""
    clipped: str = "nothing"
    chosen: str = ""

    @property
    def intervenes(self) -> bool:
        """Whether anything is put into a run; otherwise unchanged runs are looked at."""
        return self.verb != "observe"

    def as_json(self) -> MethodFields:
        return cast(MethodFields, asdict(self))


def difference(ours: Method, theirs: Method) -> Method:
    """The method of a paired difference."""

    def both(one: str, other: str) -> str:
        return " - ".join(dict.fromkeys([one, other]))

    return replace(
        ours,
        component=f"{ours.component} - {theirs.component}",
        value=both(ours.value, theirs.value),
        positions=both(ours.positions, theirs.positions),
        direction=both(ours.direction, theirs.direction),
        sites=ours.sites + theirs.sites,
    )


def together(methods: Sequence[Method], worst: Method) -> Method:
    """The method of a claim about several effects: what they do not have in common is listed one after another, and what was
    found out in gathering is that of the ``worst``."""
    said: dict[str, Any] = {
        name: ", ".join(dict.fromkeys(str(getattr(one, name)) for one in methods))
        for name in ("component", "granularity", "value", "positions", "direction", "frozen")
    }
    said |= {name: getattr(worst, name) for name in ("reference", "clipped", "chosen")}
    return replace(methods[0], **said)


def frozen(sites: Sequence[Site], held: Held) -> str:
    """What stays as it was beside what is written, in words."""
    found = []
    if any(site.via for site in sites):
        found.append("heads and MLPs on the way" if held.mlps else "heads on the way")
    if held.norms:
        found.append("normalisation scales")
    return " and ".join(found) or "nothing"
