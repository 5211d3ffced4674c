"""What a report carries of a claim: the fields of the JSON report, as the plugin, the workers and all reports share them.

``report/schema.json`` says what each means; a test holds the two against each other.
"""

from typing import Literal, NotRequired, TypedDict, final

from circuitcheck.drawing.heatmaps import SweepFields

Answer = str | int | list[int]  # text, or the ids of its tokens
Stretch = list[str]  # a text and the slot that it fills, "" between slots


class PairFields(TypedDict):
    """A pair of prompts."""

    clean: list[Stretch]
    corrupt: list[Stretch]
    answer: list[Answer]
    foil: list[Answer]
    value: NotRequired[float]
    texts: NotRequired[dict[str, str]]
    pictures: NotRequired[dict[str, str]]


class MethodFields(TypedDict):
    """How a number was measured."""

    verb: str
    granularity: str
    component: str
    value: str
    reference: str
    positions: str
    direction: str
    sites: int
    universe: str
    frozen: str
    readout: str
    clipped: str
    chosen: str


@final
class ControlsFields(TypedDict):
    """A component among others, a direction among random ones."""

    rank: int
    of: int
    median: float
    highest: float
    best: str
    whole: float | None
    pairs: int
    of_directions: bool
    drawn_of: int | None
    dead: int


@final
class ProbeControlsFields(TypedDict):
    """A probe among those that have nothing to read."""

    rank: int
    of: int
    accuracy: float
    chance: float
    arbitrary: int
    arbitrary_median: float
    arbitrary_highest: float
    untrained: int
    untrained_median: float | None
    untrained_highest: float | None
    why_none: str


class DuelFields(TypedDict):
    """An adversary and random search."""

    name: str
    spent: int
    worst: float | None
    failing: int
    random_worst: float | None
    random_failing: int


class SearchFields(TypedDict):
    """A search for a pair that breaks the claim."""

    tried: int
    of: int | None
    failing: int
    absent: int
    known_failing: int
    known_fixed: int
    known_loosened: int
    fixed: list[str]
    standing: str
    clean: str | None
    corrupt: str | None
    pair: PairFields | None
    free: list[str]
    first: str | None
    replay: str | None
    duel: DuelFields | None


class SpreadFields(TypedDict, total=False):
    """How the pairs' numbers spread; empty of what has no pairs."""

    spread: list[float]
    lowest: list[PairFields]
    highest: list[PairFields]


class MeasurementFields(TypedDict):
    """What was measured."""

    label: str
    site: str
    method: MethodFields
    unit: str
    estimate: float | None
    low: float | None
    high: float | None
    level: float
    exact: bool
    n: int
    counted: str
    stopped: str | None
    rejected: int
    rejections: str
    gap: float | None
    model: str
    fingerprint: str
    origin: str | None
    population: str
    population_id: str
    fillers: dict[str, dict[str, float]] | None
    controls: ControlsFields | ProbeControlsFields | None


class EffectFields(MeasurementFields, SpreadFields):
    """A comparison: what was measured, and what it was compared with."""

    verdict: Literal["supported", "unrefuted", "inconclusive", "refuted"]
    operator: str
    threshold: float
    margin: float | None
    needed: int | None
    clipped: int | None
    unseen: float | None
    examples: int
    e_value: float | None
    notes: list[str]
    worst: NotRequired[str]
    member: NotRequired[bool]
    searched: NotRequired[SearchFields]
    pairs: NotRequired[dict[str, list[float | None]]]
    accuracy: NotRequired[float | None]
    gap_unit: NotRequired[str]
    prompts: NotRequired[dict[str, list[str]]]


class ModelFields(TypedDict):
    """A model that claims were made about."""

    name: str
    fingerprint: str
    architecture: str
    layers: int
    weights: str
    bos: int | None
    dtype: str
    saved: NotRequired[str]
    device: str
    engine: str
    base_run: NotRequired[str]
    transformer_lens: str
    torch: str
    seed: str
    step: int | None
    dictionaries: NotRequired[str]
    asked: NotRequired[str | None]


class SettingsFields(TypedDict):
    """What decides which pairs are drawn, and how many; ``drift``: of the test's own marker."""

    seed: str
    budget: int
    bound: float
    precision: float | None
    reference: int
    drift: float | None


class ClaimFields(TypedDict):
    """A test that made a claim."""

    nodeid: str
    test: str
    file: str
    line: int | None
    claim: str
    verdict: str
    outcome: str
    problem: str
    explanation: str
    model: str | None
    fingerprint: str | None
    asked: str | None
    mutants: dict[str, str]
    sweeps: list[SweepFields]
    effects: list[EffectFields]
    settings: NotRequired[SettingsFields]
