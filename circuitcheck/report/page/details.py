"""What the page says of one comparison of a claim."""

from dataclasses import dataclass
from functools import cached_property
from statistics import median

from markupsafe import Markup

from circuitcheck.claims.measuring.rank_words import place
from circuitcheck.claims.measuring.search_words import known_before, pairs_tried
from circuitcheck.records.report_fields import EffectFields, SearchFields
from circuitcheck.report.page.circuits import DrawnCircuit, drawn
from circuitcheck.report.page.plots import Distributions, own_axis, rivals
from circuitcheck.texts import plural
from circuitcheck.units import UNITS, Unit, certainty, counted, limit, with_unit, written

# Fillers of a slot that are listed at each end where there are many.
_FILLERS = 6
_METHOD = {
    "verb": "verb",
    "component": "component",
    "granularity": "granularity",
    "value": "what is put there",
    "reference": "reference set",
    "positions": "positions",
    "direction": "direction",
    "sites": "sites",
    "universe": "universe",
    "frozen": "frozen",
    "readout": "readout",
    "clipped": "clipped to",
    "chosen": "chosen on other pairs",
}


def side_by_side(clean: list[list[str]], corrupt: list[list[str]]) -> list[tuple[str, str, str]] | None:
    """Both prompts in one: each stretch of the clean one, its slot, and what the corrupted one has there instead ("" where
    it has the same); None where they do not correspond."""
    if [slot for _, slot in clean] != [slot for _, slot in corrupt]:
        return None
    couples = list(zip(clean, corrupt, strict=True))
    if any(one[0] != other[0] and not one[1] for one, other in couples):
        return None
    return [(text, slot, "" if text == other else other) for (text, slot), (other, _) in couples]


@dataclass(frozen=True)
class Comparison:
    """A comparison as the page shows it; ``effect`` is what the JSON report has of it."""

    effect: EffectFields
    distributions: Distributions

    @property
    def verdict(self) -> str:
        return str(self.effect["verdict"])

    @property
    def unit(self) -> str:
        """The unit's words after a number, unless the label says them."""
        return with_unit("", self.effect["unit"], after=self.effect["label"]).strip()

    @property
    def claimed(self) -> str:
        """The operator with the threshold."""
        effect = self.effect
        return limit(effect["operator"], effect["threshold"], effect["margin"], effect["unit"])

    def number(self, value: float | None, digits: int = 3) -> str:
        """A number as all reports write it."""
        return written(value, self.effect["unit"], digits)

    @property
    def found(self) -> str:
        return self.number(self.effect["estimate"])

    @property
    def sure(self) -> str:
        """Exact, the interval in words, or what a search can say."""
        effect = self.effect
        if "searched" in effect:
            return "counterexample" if effect["searched"]["clean"] else "worst pair found"
        return certainty(effect["exact"], effect["level"], effect["low"], effect["high"])

    @property
    def interval(self) -> str:
        """The interval's ends, as short as can be."""
        effect = self.effect
        if "searched" in effect:
            return self.sure
        if effect["exact"]:
            return "exact"
        return " to ".join("unbounded" if end is None else self.number(end) for end in (effect["low"], effect["high"]))

    @property
    def counted(self) -> str:
        return counted(self.effect["n"], self.effect["counted"])

    @property
    def axis(self) -> str:
        """From where to where its own axis goes, where it is not on the common one."""
        low, high = own_axis(self.effect)
        return f"{low:.2g} to {high:.2g} {self.unit}".strip()

    @cached_property
    def distance(self) -> float | None:
        """How far the estimate is on the claimed side of the threshold; below 0 on the other."""
        effect = self.effect
        if effect["estimate"] is None:
            return None
        over = float(effect["estimate"] - effect["threshold"])
        if effect["operator"] == "==":
            return float(effect["margin"] or 0.0) - abs(over)
        return over if effect["operator"] in (">", ">=") else -over

    @property
    def ahead(self) -> str:
        """The distance with its sign."""
        if self.distance is None:
            return "none"
        found = self.number(abs(self.distance), 2)
        return f"+{found}" if self.distance > 0 else f"-{found}" if self.distance < 0 else "0"

    @property
    def controls(self) -> str:
        """The controls in words; empty where there are none."""
        found = self.effect.get("controls")
        if not found:
            return ""
        if "arbitrary" not in found:
            others = (
                f"the others' median is {found['median']:.3g}, their highest {found['highest']:.3g} ({found['best']})"
            )
            whole = f"; the whole that it is a part of: {found['whole']:.3g}" if found["whole"] is not None else ""
            return f"{place(found)}; {others}{whole}"
        labels = f"arbitrary labels (of {found['arbitrary']}) reach {found['arbitrary_highest']:.3g}"
        weights = f"random weights (of {found['untrained']}) {found['untrained_highest'] or 0:.3g}"
        untrained = weights if found["untrained"] else f"no random weights: {found['why_none']}"
        return f"rank {found['rank']} of {found['of']}; chance is {found['chance']:.3g}; {labels}, {untrained}"

    @cached_property
    def circuit(self) -> DrawnCircuit | None:
        """The graph of a circuit with edges, where the claim is about one."""
        method = self.effect["method"]
        return drawn(method["component"], method["verb"])

    @property
    def has_pairs(self) -> bool:
        return bool(self.effect.get("spread"))

    @cached_property
    def spread(self) -> str:
        """How the pairs' numbers spread, in words."""
        numbers = self.effect["spread"]
        ends = f"lowest {numbers[0]:.3g}, median {median(numbers):.3g}, highest {numbers[-1]:.3g}"
        if self.effect["unit"] == "rank":
            return f"By how much it is ahead of the nearest other in each of {plural(self.effect['n'], 'pair')}: {ends}"
        return f"Distribution over {plural(self.effect['n'], 'pair')}: {ends}"

    @property
    def plot(self) -> Markup:
        """The distribution over pairs."""
        mark = "" if self.effect["unit"] == "rank" else f"; the claim is {self.claimed}, the estimate {self.found}"
        return self.distributions.histogram(self.effect, f"{self.spread}{mark}")

    @property
    def legend(self) -> list[tuple[str, str]]:
        """What the lines of the distribution are."""
        if self.effect["unit"] == "rank":
            return [("threshold", "0: level with the nearest")]
        found = [("estimate", f"estimate {self.found}"), ("threshold", f"claimed {self.claimed}")]
        beside = rivals(self.effect)
        return [*found, ("control", f"highest control {max(beside):.3g}")] if beside else found

    @property
    def fillers(self) -> list[tuple[str, list[tuple[str, float, str] | None], int]]:
        """Of each slot the fillers with their means, the largest first, and a bar; None stands for those left out."""
        found = []
        for slot, means in (self.effect.get("fillers") or {}).items():
            ordered = sorted(means.items(), key=lambda one: -one[1])
            low, high = min(0.0, ordered[-1][1]), max(0.0, ordered[0][1])
            lines: list[tuple[str, float, str] | None] = [
                (name or "(none)", mean, _bar(mean, low, high)) for name, mean in ordered
            ]
            left_out = len(lines) - 2 * _FILLERS if len(lines) > 2 * _FILLERS + 1 else 0
            if left_out:
                lines = [*lines[:_FILLERS], None, *lines[-_FILLERS:]]
            found.append((slot, lines, left_out))
        return found

    @property
    def method(self) -> list[tuple[str, str]]:
        """All of the method that says something."""
        method = dict(self.effect["method"])
        return [(words, str(method[key])) for key, words in _METHOD.items() if method.get(key) not in ("", None)]

    @property
    def unsaid(self) -> str:
        """The fields of the method that do not apply."""
        method = self.effect["method"]
        return ", ".join(words for key, words in _METHOD.items() if method.get(key) in ("", None))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the number rests on beside its method."""
        effect = self.effect
        gap, e_value, needed = effect.get("gap"), effect.get("e_value"), effect.get("needed")
        won = "not finite: exact" if e_value is None else f"{e_value:.3g}"
        rejected = f"{effect['rejected']}: {effect.get('rejections')}" if effect["rejected"] else "none"
        population, identity = effect["population"], effect["population_id"]
        return [
            ("population", population if identity == population else f"{population} ({identity})"),
            ("pairs rejected", rejected),
            *([("mean gap", f"{gap:.3g}")] if gap is not None else []),
            ("level", f"{100 * effect['level']:.6g} %"),
            ("e-value", won),
            *([("pairs it may take", f"{needed:,}")] if needed is not None else []),
            *([("examples", f"the last of {effect['examples']}")] if effect["examples"] > 1 else []),
            ("model", f"{effect['model']} ({effect['fingerprint']})"),
        ]

    @property
    def searched(self) -> SearchFields | None:
        """What a search found."""
        return self.effect.get("searched")

    @property
    def found_in_search(self) -> str:
        """How many pairs were tried, and how many break the claim, now and as was known before."""
        if (searched := self.searched) is None:
            return ""
        known = known_before(searched["known_failing"], searched["known_loosened"], searched["known_fixed"])
        return f"{pairs_tried(searched['tried'], searched['of'], searched['failing'])}{known}"

    @property
    def duel(self) -> str:
        """What an adversary found beside random search."""
        duel = None if self.searched is None else self.searched["duel"]
        if duel is None:
            return ""
        ours = _worst(duel["worst"], duel["failing"])
        theirs = _worst(duel["random_worst"], duel["random_failing"])
        return f"{duel['name']}: {ours} in {plural(duel['spent'], 'evaluation')}; random search in as many: {theirs}"

    @property
    def phrase(self) -> str:
        """The unit's words."""
        return UNITS.get(self.effect["unit"], Unit()).phrase


def _worst(worst: float | None, failing: int) -> str:
    return "nothing" if worst is None else f"worst {worst:.3g}, {failing} break the claim"


def _bar(value: float, low: float, high: float) -> str:
    """A line from zero to a value, in a box 100 wide."""
    reach = (high - low) or 1.0
    zero, end = (round(100 * (number - low) / reach, 1) for number in (0.0, value))
    return f"M{zero:g} 4H{end:g}"
