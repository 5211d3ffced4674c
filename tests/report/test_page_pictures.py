"""The pictures of the page are to scale."""

import random

import pytest

from tests.report.page_reading import one_claim, page_of, places, read
from tests.some_claims import effect


def test_a_strip_is_to_scale() -> None:
    base = effect(random.Random(0)) | {"controls": None}
    numbers = [{"estimate": place, "low": place - 0.1, "high": place + 0.1, "threshold": 0.0} for place in (0.2, 0.8)]
    made = [one_claim(nodeid=f"t.py::test_{n}", effects=[base | given], line=n) for n, given in enumerate(numbers)]
    strips = [body.all("svg", class_="forest")[0] for body in read(page_of(made)).all("tbody", role="rowgroup")]
    low, high = (places(strip, "estimate")[0][0][0] for strip in strips)
    [(zero, _), _] = places(strips[0], "zero")[0]
    assert (high - zero) / (low - zero) == pytest.approx(4, rel=0.01)
    [(start, _), (end, _)] = places(strips[0], "interval")[0]
    assert (end - start) / (low - zero) == pytest.approx(1, rel=0.02)
    assert places(strips[0], "threshold")[0][0][0] == pytest.approx(zero, abs=0.11)


def test_an_effect_in_another_unit_has_an_axis_of_its_own_and_one_beyond_the_axis_an_arrow() -> None:
    base = effect(random.Random(0))
    logits = base | {"unit": "logits", "estimate": 21.0, "low": 20.0, "high": 22.0, "threshold": 5.0}
    far = base | {"estimate": -3.0, "low": -3.5, "high": -2.5}
    root = read(page_of([one_claim(nodeid="t.py::a", effects=[logits]), one_claim(nodeid="t.py::b", effects=[far])]))
    own, beyond = root.all("tbody", role="rowgroup")
    assert "0 to 23 logits" in own.text
    assert "data-own" in own.attributes
    loss = base | {"unit": "logits", "estimate": -4.0, "low": None, "high": None, "threshold": -10.0, "controls": None}
    [strip] = read(page_of([one_claim(effects=[loss])])).all("svg", class_="forest")
    [(start, _), (end, _)] = places(strip, "own")[0]
    found = [(places(strip, name)[0][0][0] - start) / (end - start) for name in ("estimate", "threshold")]
    assert found == pytest.approx([6.6 / 11.2, 0.6 / 11.2], abs=0.01)  # from -10.6 to 0.6
    assert not own.all("svg", class_="forest")[0].all("path", class_="grid")
    assert beyond.all("svg", class_="forest")[0].all("path", class_="beyond")
    assert not beyond.all("svg", class_="forest")[0].all("path", class_="estimate")


def test_a_histogram_counts_the_pairs() -> None:
    exact = {
        "spread": [0.2] * 3 + [0.8],
        "estimate": 0.35,
        "threshold": 0.1,
        "exact": True,
        "low": 0.35,
        "high": 0.35,
        "n": 4,
    }
    [plot] = read(page_of([one_claim(effects=[effect(random.Random(0)) | exact])])).all("svg", class_="plot")
    corners = places(plot, "pairs")[0]
    ground = max(y for _, y in corners)
    heights = sorted({round(ground - y, 1) for _, y in corners if y < ground})
    assert heights[1] / heights[0] == pytest.approx(3, rel=0.02)
    assert "Distribution over 4 pairs: lowest 0.2, median 0.2, highest 0.8" in plot.attributes["aria-label"]
    assert not places(plot, "interval")
    assert len(places(plot, "estimate")) == len(places(plot, "threshold")) == 1


def about(component: str, verb: str = "keep") -> dict[str, object]:
    """A comparison about some address."""
    base = effect(random.Random(0))
    return base | {"method": base["method"] | {"verb": verb, "component": component}}


def test_a_circuit_with_edges_is_drawn_as_it_is_written() -> None:
    """Layers upwards, an input of a head as the head, and what is written where the pointer is."""
    circuit = (
        "L0.H2 -> L1.H1.V | L0.MLP -> L1.H1.K | EMBED -> L0.H2.Q | L1.H1 -> L2.N[3,5] | L2.N[3,5] -> LOGITS | L1.H3"
    )
    root = read(page_of([one_claim(effects=[about(circuit)])]))
    [figure] = root.all("figure", class_="circuit")
    named = {one.text: float(one.attributes["y"]) for one in figure.all("text")}
    assert sorted(named, key=named.__getitem__) == [
        "LOGITS",
        "L2.N[3,5]",
        "L1.H1",
        "L1.H3",
        "L0.MLP",
        "L0.H2",
        "EMBED",
    ]
    told = [one.text for one in figure.all("title")]
    assert [one.strip() for one in circuit.split("|")[:-1]] == told[:5]
    assert len(figure.all("path")) == 5
    assert figure.all("figcaption")[0].text.startswith(
        "5 edges between 7 components, layers upwards; what no line leads to"
    )
    [drawn] = figure.all("svg")
    assert drawn.attributes["role"] == "img"
    assert not drawn.all("style"), "colours are the page's own"


@pytest.mark.parametrize(
    ("component", "verb"),
    [("L0.H2 -> L1.N8", "patch"), ("L0.H2 | L1.N8", "keep"), ("L*.H* -> L2.MLP | L2.MLP", "keep")],
)
def test_what_is_no_circuit_with_edges_or_lies_in_no_one_layer_is_not_drawn(component: str, verb: str) -> None:
    assert not read(page_of([one_claim(effects=[about(component, verb)])])).all("figure", class_="circuit")


def test_a_strangers_circuit_is_text() -> None:
    component = "L0.H0 -> L1.H1<script>alert(1)</script> | L1.H1"
    [figure] = read(page_of([one_claim(effects=[about(component)])])).all("figure", class_="circuit")
    assert not figure.all("script")
    assert "L1.H1<script>alert(1)</script>" in figure.text
