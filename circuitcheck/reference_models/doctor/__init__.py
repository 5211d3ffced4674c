"""How often verdicts are wrong, in all their kinds: what `circuitcheck doctor` measures, and `make calibration` for docs/explanation/evidence.md."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from circuitcheck.reference_models import calibration
from circuitcheck.reference_models.calibration import Found
from circuitcheck.reference_models.doctor import bounded, carried, drawn, gathered, new_ones, suites
from circuitcheck.reference_models.doctor.rows import Table, as_json, as_markdown, broken, with_tables
from circuitcheck.settings import Settings

__all__ = ["as_json", "as_markdown", "broken", "examine", "with_tables"]

# What makes each table, and how many of the claims that are asked for go with one of its rows: some kinds take long.
TABLES: tuple[tuple[Callable[[Settings, int], Table], int], ...] = (
    (new_ones.means, 1),
    (new_ones.counts, 1),
    (bounded.accuracies, 1),
    (bounded.equivalences, 1),
    (bounded.presence, 1),
    (bounded.precision, 10),
    (bounded.controls, 1),
    (drawn.others, 1),
    (drawn.references, 2),
    (suites.suites, 10),
    (gathered.gathered, 20),
    (carried.carried, 20),
)
_LEAST = 10


def examine(settings: Settings, claims: int, tell: Callable[[str], None]) -> tuple[list[Found], list[Table]]:
    """Simulate so many claims of each kind, on two cores; ``tell`` gets a line about what is being done."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        making = [other.submit(make, settings, max(_LEAST, claims // many)) for make, many in TABLES]
        shapes = [*calibration.shapes(), *calibration.of_planted(), calibration.of_bundled()]
        steps = len(shapes) + len(TABLES)
        tell(f"{claims:,} simulated claims a kind, in {steps} steps; with 2,000 of them this takes minutes")
        found = []
        for number, shape in enumerate(shapes, start=1):
            tell(f"{number} of {steps}: {shape.name}")
            found.append(calibration.examine(shape, settings, claims))
        tables = []
        for number, made in enumerate(making, start=len(shapes) + 1):
            tables.append(made.result())
            tell(f"{number} of {steps}: {tables[-1].title}")
    return found, tables
