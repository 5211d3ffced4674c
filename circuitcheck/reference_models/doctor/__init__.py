"""How often verdicts are wrong, in all their kinds: what `circuitcheck doctor` measures, and `make calibration` for docs/evidence.md."""

from collections.abc import Callable

from circuitcheck.reference_models import calibration
from circuitcheck.reference_models.calibration import Found
from circuitcheck.reference_models.doctor import bounded, gathered, new_ones, suites
from circuitcheck.reference_models.doctor.rows import Table, as_json, as_markdown, broken, with_tables
from circuitcheck.settings import Settings

__all__ = ["as_json", "as_markdown", "broken", "examine", "with_tables"]

# Suites, and claims that are asked as in a session, take long: so many claims of other kinds go with one of them.
_CLAIMS_A_SUITE, _CLAIMS_A_SESSIONS = 10, 80


def examine(settings: Settings, claims: int, tell: Callable[[str], None]) -> tuple[list[Found], list[Table]]:
    """Simulate so many claims of each kind; ``tell`` gets a line about what is being done."""
    shapes = [*calibration.shapes(), *calibration.of_planted(), calibration.of_bundled()]
    found = []
    for number, shape in enumerate(shapes, start=1):
        tell(f"{number} of {len(shapes)}: {shape.name}")
        found.append(calibration.examine(shape, settings, claims))
    kinds: list[Callable[[], Table]] = [
        lambda: new_ones.means(settings, claims),
        lambda: new_ones.counts(settings, claims),
        lambda: bounded.accuracies(settings, claims),
        lambda: bounded.equivalences(settings, claims),
        lambda: bounded.presence(settings, claims),
        lambda: bounded.precision(settings, claims),
        lambda: bounded.controls(settings, claims),
        lambda: suites.suites(settings, max(10, claims // _CLAIMS_A_SUITE)),
        lambda: gathered.gathered(settings, max(10, claims // _CLAIMS_A_SESSIONS)),
    ]
    tables = []
    for make in kinds:
        tables.append(make())
        tell(tables[-1].title)
    return found, tables
