"""What the page says of a claim: its row in the list, and what opens below it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from circuitcheck.drawing.heatmaps import SweepFields, picture
from circuitcheck.experiments.mutants import OUTCOMES
from circuitcheck.records.report_fields import ModelFields
from circuitcheck.report.claims import Claim
from circuitcheck.report.page.details import Comparison
from circuitcheck.report.page.plots import Distributions, Forest, has_common_axis
from circuitcheck.texts import digest

# What came of a claim, in the order in which one wants to read them, each with a sign of its own.
STATES = {
    "refuted": "✕",
    "undecided": "!",
    "inconclusive": "?",
    "unrefuted": "≈",
    "supported": "✓",
    "refuted, as expected": "✕",
    "skipped": "○",
}
FAILED = ("failed", "error")


@dataclass(frozen=True)
class Row:
    """A claim on the page."""

    order: int
    claim: Claim
    anchor: str
    model: str
    comparisons: tuple[Comparison, ...]
    forest: Forest
    strip: int | None

    @property
    def state(self) -> str:
        """The verdict, with whether that was expected."""
        return f"{self.claim.verdict}, as expected" if self.claim.outcome == "xfailed" else self.claim.verdict

    @property
    def symbol(self) -> str:
        return STATES.get(self.state, "·")

    @property
    def rank(self) -> int:
        """Its state's place in the order of states."""
        return list(STATES).index(self.state) if self.state in STATES else len(STATES)

    @property
    def fails(self) -> bool:
        """Whether its test failed, or it is weaker than in the lock."""
        return self.claim.outcome in FAILED or self.claim.is_off

    @property
    def title(self) -> str:
        """The claim in words (of its docstring the first paragraph), or its test's name."""
        words = " ".join(self.claim.words.partition("\n\n")[0].split())
        _, bracket, parameters = self.claim.test.rpartition("::")[2].partition("[")
        return f"{words}{' ' if bracket else ''}{bracket}{parameters}" if words else self.test

    @property
    def more_words(self) -> str:
        """What the docstring goes on to say."""
        return self.claim.words.partition("\n\n")[2].strip()

    @property
    def file(self) -> str:
        return self.claim.nodeid.partition("::")[0]

    @property
    def name(self) -> str:
        """The test's name behind that of its file, without the folders."""
        return f"{self.file.rpartition('/')[2]} · {self.test}"

    @property
    def test(self) -> str:
        return self.claim.nodeid.partition("::")[2]

    @cached_property
    def decisive(self) -> Comparison | None:
        """The comparison that gave the verdict."""
        return next((one for one in self.comparisons if one.effect is self.claim.decisive), None)

    @property
    def picture(self) -> Markup:
        """Its strip of the forest plot; empty where nothing was measured."""
        return Markup() if self.strip is None else self.forest.strip(self.strip)

    @property
    def is_common(self) -> bool:
        """Whether it stands on the axis of shares."""
        return self.decisive is not None and has_common_axis(self.decisive.effect)

    @property
    def sought(self) -> str:
        """What is searched beside what the row shows."""
        return " ".join([self.model, *(one.effect["label"] for one in self.comparisons)])

    @property
    def problem(self) -> str:
        """What ended the test, unless it is what a comparison says below."""
        told = ("circuitcheck.ClaimRefuted: ", "circuitcheck.ClaimInconclusive: ")
        return "" if self.comparisons and self.claim.problem.startswith(told) else self.claim.problem

    @property
    def sweeps(self) -> list[tuple[SweepFields, Markup]]:
        """Sweeps that the test made, with their pictures (whose texts are escaped as they are drawn)."""
        return [(sweep, Markup(picture(sweep))) for sweep in self.claim.sweeps]  # noqa: S704

    @property
    def mutants(self) -> list[tuple[str, str]]:
        """What became of each mutant."""
        found = [(name.replace("_", " "), what) for name, what in self.claim.mutants.items()]
        return sorted(found, key=lambda one: OUTCOMES.index(one[1]) if one[1] in OUTCOMES else len(OUTCOMES))


def rows_of(claims: Sequence[Claim]) -> list[Row]:
    """The rows of claims, in the order of their files and lines; but those that fail first, and skipped ones last."""
    ordered = sorted(claims, key=_place)
    decisive = [claim.decisive for claim in ordered]
    strips = [effect for effect in decisive if effect is not None]
    forest, distributions, names = Forest(strips), Distributions(), model_names(ordered)
    rows, drawn = [], 0
    for order, claim in enumerate(ordered):
        comparisons = tuple(Comparison(effect, distributions) for effect in claim.effects)
        has_strip = decisive[order] is not None
        model = names[claim.model["fingerprint"]] if claim.model else ""
        rows.append(Row(order, claim, _anchor(claim), model, comparisons, forest, drawn if has_strip else None))
        drawn += has_strip
    return rows


def _place(claim: Claim) -> tuple[int, str, int, str]:
    group = 0 if claim.outcome in FAILED or claim.is_off else 2 if claim.verdict == "skipped" else 1
    return group, claim.nodeid.partition("::")[0], claim.line or 0, claim.nodeid


def model_names(claims: Sequence[Claim]) -> dict[str, str]:
    """Each model's name by its fingerprint; of several with one name, with what tells them apart."""
    models = {claim.model["fingerprint"]: claim.model for claim in claims if claim.model}
    named = Counter(model["name"] for model in models.values())
    return {
        key: model["name"] if named[model["name"]] == 1 else f"{model['name']} ({_told_apart(model)})"
        for key, model in models.items()
    }


def _told_apart(model: ModelFields) -> str:
    step = model["step"]
    return ", ".join([*([f"step {step:,}"] if step is not None else []), model["dtype"], model["fingerprint"][:6]])


def _anchor(claim: Claim) -> str:
    """A link's end that stays the same while the test keeps its name."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", claim.nodeid.rpartition("::")[2]).strip("-")[:60]
    return f"{words}-{digest(claim.nodeid, 6)}"
