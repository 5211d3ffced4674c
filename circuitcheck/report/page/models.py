"""Several models beside each other: a claim's verdict on each, and its effect against the training step of checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from circuitcheck.records.report_fields import ModelFields
from circuitcheck.report.page.content import Row
from circuitcheck.report.page.plots import steps
from circuitcheck.texts import natural, plural


@dataclass(frozen=True)
class Compared:
    """A claim that several models were asked; ``cells`` in the order of the models (by their step), None where one was not."""

    title: str
    test: str
    cells: tuple[Row | None, ...]

    @property
    def steps(self) -> Markup:
        """Its first comparison's effect against the training step; empty where fewer than two models have one."""
        points = [
            (row.claim.step, row.claim.effects[0])
            for row in self.cells
            if row and row.claim.step is not None and row.claim.effects
        ]
        first = points[0][1] if points else None
        alike = [(step, effect) for step, effect in points if first and effect["unit"] == first["unit"]]
        if first is None or len(alike) < 2:
            return Markup()
        way = "; ".join(
            f"{step:,}: {effect['estimate']:.3g}" for step, effect in alike if effect["estimate"] is not None
        )
        return steps(alike, f"{first['label']} by training step: {way}")

    @property
    def measured(self) -> str:
        """What the plot is of."""
        return next((row.comparisons[0].effect["label"] for row in self.cells if row and row.comparisons), "")

    @property
    def unit(self) -> str:
        return next((row.comparisons[0].phrase for row in self.cells if row and row.comparisons), "")


def by_step(models: Sequence[ModelFields]) -> list[ModelFields]:
    """Checkpoints by their training step, after them other models by their names."""

    def place(model: ModelFields) -> tuple[bool, int, list[str | int], str]:
        return model["step"] is None, model["step"] or 0, natural(model["name"]), model["fingerprint"]

    return sorted(models, key=place)


def described(model: ModelFields) -> list[tuple[str, str]]:
    """A model as the page names it; what is empty does not apply."""
    step = model["step"]
    return [
        ("model", model["name"]),
        ("fingerprint", model["fingerprint"]),
        ("training step", "" if step is None else f"{step:,}"),
        ("architecture", f"{model['architecture']}, {plural(model['layers'], 'layer')}"),
        ("weights", f"{model['weights']}, {model['dtype']}{_saved(model)} on {model['device']}"),
        ("run by", f"{model['engine']}; torch {model['torch']}, transformer_lens {model['transformer_lens']}"),
        ("base run", model.get("base_run", "")),
    ]


def _saved(model: ModelFields) -> str:
    """How the weights are on disk, where they were not run so."""
    saved = model.get("saved", "")
    return f" (saved in {saved})" if saved not in ("", model["dtype"]) else ""


def compared(rows: Sequence[Row], models: Sequence[ModelFields]) -> tuple[list[ModelFields], list[Compared]]:
    """The models and the claims that more than one of them was asked, in the order of their files and lines."""
    tests: dict[str, dict[str, Row]] = {}
    for row in sorted(rows, key=lambda row: (row.file, row.claim.line or 0)):
        if row.claim.model:
            tests.setdefault(row.claim.test or row.claim.nodeid, {})[row.claim.model["fingerprint"]] = row
    several = {
        test: found
        for test, found in tests.items()
        if len(found) > 1 or any(row.claim.baseline for row in found.values())
    }
    asked = [model for model in models if any(model["fingerprint"] in found for found in several.values())]
    order = [model["fingerprint"] for model in asked]
    return asked, [
        Compared(next(iter(found.values())).title, test.partition("::")[2], tuple(found.get(key) for key in order))
        for test, found in several.items()
    ]
