"""The units of effects, and the words after a number. A readout's own units are shares of nothing."""

from dataclasses import dataclass

from circuitcheck.texts import plural


@dataclass(frozen=True)
class Unit:
    """``phrase``: the words after a number. A share ``is_share`` of what must be there; there may be no more than all of it
    (``is_partial``). What ``is_bounded`` lies between 0 and 1 in every pair; ``is_among``: a count among some of the pairs, of
    which there must be one; ``is_of_one``: a fraction all the same."""

    phrase: str = ""
    is_share: bool = False
    is_partial: bool = False
    is_bounded: bool = False
    is_among: bool = False
    is_of_one: bool = False

    @property
    def has_common_axis(self) -> bool:
        """Whether its numbers are mostly between 0 and 1, and drawn on the axis that such effects have in common."""
        return self.is_share or self.is_bounded or self.is_among or self.is_of_one


UNITS = {
    "gap": Unit("of the gap", is_share=True, is_partial=True),
    "behaviour": Unit("of the behaviour", is_share=True, is_partial=True),
    "clean": Unit("of the clean readout", is_share=True, is_partial=True),
    "parts": Unit("times the sum of its parts", is_share=True),
    "pairs": Unit("of the pairs", is_of_one=True),
    "new ones": Unit("of the new ones", is_of_one=True),
    "errors": Unit("of the model's errors", is_among=True),
    "right answers": Unit("of the model's right answers", is_among=True),
    "right pairs": Unit("of the model's right pairs", is_among=True),
    "margin": Unit("of the gap", is_share=True, is_partial=True),
    "logits": Unit("logits"),
    "accuracy": Unit("accuracy", is_bounded=True),
    "attention": Unit("of the attention", is_of_one=True),
    "probability": Unit("in probability", is_bounded=True),
    "prompts": Unit("of the prompts", is_bounded=True),
    "nats": Unit("nats"),
    "places": Unit("places"),
    "function": Unit(),
    "rank": Unit(),
    "congruence": Unit(),
    "of the top": Unit(is_of_one=True),
    "score": Unit(),
    "tokens": Unit("of the tokens", is_of_one=True),
    "variance": Unit("of the variance", is_of_one=True),
    "loss": Unit("of the loss", is_of_one=True),
    "features": Unit("features a token"),
    "dead features": Unit("of the features", is_of_one=True),
    "cosine": Unit(is_of_one=True),
    "area under the curve": Unit(is_of_one=True),
}


def written(number: float | None, unit: str, digits: int = 3) -> str:
    """A number as reports write it: so many digits, but ranks in full; None as "none"."""
    if number is None:
        return "none"
    number += 0.0  # of which -0 is 0
    return f"{number:,.0f}" if unit == "rank" else f"{number:.{digits}g}"


def with_unit(number: str, unit: str, *, after: str) -> str:
    """A number with its unit's words, unless what it is about (``after``) has just said them."""
    phrase = UNITS[unit].phrase if unit in UNITS else unit  # those of another version's units are their names
    return number if after == unit else f"{number} {phrase}".rstrip()


def limit(operator: str, threshold: float, margin: float | None, unit: str) -> str:
    """What a number is compared with.

    >>> limit("==", 0.4, 0.1, "gap")
    '== 0.4 ± 0.1'
    """
    around = "" if margin is None else f" ± {margin:g}"
    return f"{operator} {written(threshold, unit, 6)}{around}"


def statement(label: str, operator: str, threshold: float, margin: float | None, unit: str) -> str:
    """A comparison in words.

    >>> statement("patch L1.N8", ">", 0.4, None, "gap")
    'patch L1.N8 > 0.4 of the gap'
    """
    return f"{label} {with_unit(limit(operator, threshold, margin, unit), unit, after=label)}"


def counted(n: int, what: str, stopped: str | None = None) -> str:
    """How many there were of what was counted, in words; and where gathering ``stopped`` before the budget was spent."""
    many = f"n={n}" if what == "pairs" else plural(n, what.removesuffix("s"))
    return f"{many}, stopped at the {stopped}" if stopped else many


def unseen(clipped: int | None, share: float | None) -> str:
    """Of a supported claim: how many pairs were clipped that spoke against it, and of how many of the others nobody knows."""
    if share is None:
        return ""
    seen = plural(clipped, "pair") if clipped else "no pair"
    return f"; {seen} clipped, of those unseen at most {share:.1%}"


# Without a natural size: how far a number in these may drift is a share of what it was.
_UNSIZED = ("logits", "nats", "places", "function", "parts", "rank", "congruence", "features")


def margin_of_drift(allowed: float, unit: str, estimate: float | None) -> float:
    """How far a number may drift, in its own unit."""
    return allowed * max(abs(estimate or 0.0), 1e-12) if unit in _UNSIZED else allowed


def certainty(exact: bool, level: float, low: float | None, high: float | None) -> str:
    """ "exact", or the interval in words."""
    if exact:
        return "exact"
    ends = ["unbounded" if limit is None else f"{limit:.3g}" for limit in (low, high)]
    return f"{100 * level:.6g}% interval {' to '.join(ends)}"
