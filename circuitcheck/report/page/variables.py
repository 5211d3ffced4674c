"""What components carry, as far as claims say: interchanges of a file's claims, a row a site and a column a variable."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from circuitcheck.report.page.content import Row
from circuitcheck.report.page.details import Comparison


@dataclass
class Carried:
    """The interchanges of one file's claims about one model; ``cells`` by site and variable: a claim, and the comparison that it makes."""

    file: str
    model: str
    cells: dict[tuple[str, str], tuple[Row, Comparison]] = field(default_factory=dict)

    @property
    def sites(self) -> list[str]:
        return list(dict.fromkeys(site for site, _ in self.cells))

    @property
    def variables(self) -> list[str]:
        return list(dict.fromkeys(variable for _, variable in self.cells))


def carried(rows: Sequence[Row]) -> list[Carried]:
    """Of each file and model whose claims interchange variables, what they found."""
    found: dict[tuple[str, str], Carried] = {}
    for row in rows:
        for comparison in row.comparisons:
            method = comparison.effect["method"]
            if method["verb"] != "interchange" or comparison.effect["unit"] != "right pairs":
                continue
            here = found.setdefault((row.file, row.model), Carried(row.file, row.model))
            here.cells[method["component"], method["direction"].removesuffix(" from the source")] = row, comparison
    return list(found.values())
