"""The units of effects, and the words after a number. A readout's own units are shares of nothing."""

PHRASES = {
    "gap": "of the gap",
    "behaviour": "of the behaviour",
    "clean": "of the clean readout",
    "parts": "times the sum of its parts",
    "pairs": "of the pairs",
    "errors": "of the model's errors",
    "right answers": "of the model's right answers",
    "logits": "logits",
    "accuracy": "accuracy",
    "attention": "of the attention",
    "probability": "in probability",
    "nats": "nats",
    "places": "places",
    "function": "",
    "rank": "",
    "congruence": "",
    "area under the curve": "",
}
SHARES = ("gap", "behaviour", "clean", "parts")
# Of these shares there is no more than all.
PARTIAL = ("gap", "behaviour", "clean")
# Units of readouts that lie between 0 and 1.
BOUNDED = ("accuracy", "probability")
# Counts among some of the pairs, of which there must be one.
AMONG = ("errors", "right answers")


def written(number: float, unit: str, digits: int = 3) -> str:
    """A number as reports write it: so many digits, but ranks in full."""
    return f"{number:,.0f}" if unit == "rank" else f"{number:.{digits}g}"


def with_unit(number: str, unit: str, *, after: str) -> str:
    """A number with its unit's words, unless what it is about (``after``) has just said them."""
    return number if after == unit else f"{number} {PHRASES[unit]}".rstrip()


def counted(n: int, what: str) -> str:
    """How many there were of what was counted, in words."""
    return f"n={n}" if what == "pairs" else f"{n:,} {what}"


def certainty(exact: bool, level: float, low: float | None, high: float | None) -> str:
    """ "exact", or the interval in words."""
    if exact:
        return "exact"
    ends = ["unbounded" if limit is None else f"{limit:.3g}" for limit in (low, high)]
    return f"{100 * level:.6g}% interval {' to '.join(ends)}"
