"""Claims that several models were asked about: a row a test, a column a model; checkpoints in the order of their steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from circuitcheck.report.claims import Claim
from circuitcheck.units import written


@dataclass(frozen=True)
class Column:
    """A model: as it was asked for, and its training step where it is a checkpoint."""

    asked: str
    step: int | None

    @property
    def short(self) -> str:
        """Its name without folders."""
        return PurePath(self.asked).name or self.asked


@dataclass(frozen=True)
class Line:
    """A test: its claim about each model, None where there is none."""

    test: str
    cells: tuple[Claim | None, ...]

    @property
    def first(self) -> Claim:
        return next(claim for claim in self.cells if claim is not None)


def matrix(claims: Sequence[Claim]) -> tuple[list[Column], list[Line]]:
    """Nothing where no test was asked of more than one model, and none was compared with a baseline."""
    by_test: dict[str, dict[str, Claim]] = {}
    for claim in claims:
        by_test.setdefault(claim.test, {})[_name(claim)] = claim
    several = {
        test: found
        for test, found in by_test.items()
        if len(found) > 1 or any(claim.baseline for claim in found.values())
    }
    columns = {name: Column(name, claim.step) for found in several.values() for name, claim in found.items()}
    ordered = sorted(columns.values(), key=lambda column: (column.step is None, column.step or 0))
    return ordered, [
        Line(test, tuple(found.get(column.asked) for column in ordered)) for test, found in several.items()
    ]


def told(claim: Claim | None) -> str:
    """A cell: the verdict, or how the claim compares to a baseline's, and the number that gave it."""
    if claim is None:
        return ""
    effect = claim.decisive
    word = claim.lock_state if claim.baseline else claim.verdict
    told = word if effect is None else f"{word} {written(effect['estimate'], effect['unit'])}"
    return f"{told}, {claim.lock_state}" if claim.is_off and not claim.baseline else told


def _name(claim: Claim) -> str:
    """Its model's."""
    return claim.asked or ("" if claim.model is None else claim.model["name"])
