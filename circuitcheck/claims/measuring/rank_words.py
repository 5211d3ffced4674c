"""Where a number stands among its controls, and which these are: the words that every report has for it.

>>> place(asdict(controls))
'rank 1 of 17 (16 drawn of 47, on the same 96 pairs)'
"""

from collections.abc import Mapping
from typing import Any

from circuitcheck.texts import plural


def place(controls: Mapping[str, Any]) -> str:
    """The rank among the controls of an effect or a probe (as the JSON report has them): how many they are, of how many they
    were drawn, and on which pairs they were measured."""
    among = _other_probes(controls) if "arbitrary" in controls else _other_components(controls)
    return f"rank {controls['rank']} of {controls['of']} ({among})"


def _other_components(controls: Mapping[str, Any]) -> str:
    count, dead = controls["of"] - 1 + controls["dead"], controls["dead"]
    if controls["of_directions"]:
        which = plural(count, "random direction")
    elif controls["drawn_of"] is None:
        which = f"all {count} others" if count > 1 else "the only other"
    else:
        which = f"{count} drawn of {controls['drawn_of']}"
    left_out = f", {dead} dead left out" if dead else ""
    pairs = "pair" if controls["pairs"] == 1 else f"{controls['pairs']} pairs"
    return f"{which}{left_out}, on the same {pairs}"


def _other_probes(controls: Mapping[str, Any]) -> str:
    untrained = f", {controls['untrained']} random weights" if controls["untrained"] else ""
    return f"{controls['arbitrary']} arbitrary labels{untrained}"
