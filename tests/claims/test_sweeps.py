"""Sweeps: each site's number is what a claim on it alone would say; labels, intervals and pictures."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from circuitcheck import MethodError, Model, PromptError, PromptPairs, contrast
from circuitcheck.drawing.heatmaps import bars, heatmap
from circuitcheck.prompts.aligned_pairs import token_positions
from tests.conftest import Claims, first


@pytest.fixture(scope="module")
def other(anew: Callable[..., Model]) -> Model:
    """The same model, which remembers nothing of what the first has computed."""
    return anew()


@pytest.mark.parametrize(
    ("address", "verb", "given"),
    first(
        3,
        [
            ("L1.N*", "patch", {}),
            ("L1.N*@end", "patch", {"into": "clean"}),
            ("L*.H*", "patch", {}),
            ("L0-2.MLP | L*.ATTN@end", "patch", {}),
            ("L*.RESID_PRE@*", "patch", {}),
            ("L*.H*", "ablate", {"value": "mean"}),
            ("L1.N[3,8,20]", "ablate", {"value": "zero"}),
            ("L*.MLP@*", "ablate", {"value": "resample"}),
        ],
    ),
)
def test_a_site_of_a_sweep_is_what_its_own_claim_says(
    bundled: Model, other: Model, more_fruit: PromptPairs, address: str, verb: Any, given: dict[str, Any]
) -> None:
    sweep = bundled.on(more_fruit).sweep(address, verb, **given)
    run = other.on(more_fruit)
    for number in {0, len(sweep.sites) // 2, len(sweep.sites) - 1}:
        site = str(sweep.sites[number])
        alone = (run.patch if verb == "patch" else run.ablate)(site, **given).measure()
        assert sweep.values.flat[number] == pytest.approx(alone.estimate, abs=1e-5), site
        assert sweep[site].estimate == pytest.approx(alone.estimate, abs=1e-5)


def test_a_sweep_is_labelled(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    neurons, heads, stream = run.sweep("L1.N*"), run.sweep("L*.H*"), run.sweep("L*.RESID_PRE@*")
    assert (neurons.dims, neurons.values.shape, neurons.coords["neuron"][8]) == (("neuron",), (48,), "N8")
    assert (heads.dims, heads.values.shape) == (("layer", "head"), (3, 4))
    assert heads.coords == {"layer": ["L0", "L1", "L2"], "head": ["H0", "H1", "H2", "H3"]}
    assert (stream.dims, stream.values.shape) == (("layer", "position"), (3, 20))
    at_the_fruit, at_the_end = (stream.coords["position"].index(name) for name in ("@{fruit}", "@end"))
    assert stream.values[0, at_the_fruit] == pytest.approx(1, abs=1e-5)
    assert stream.values[2, at_the_end] > 0.9
    assert run.sweep("L1.N* | L0.H*").dims == ("site",)
    assert run.sweep("L0.H[0,1] | L0.N[0,1]").values.shape == (4,)


def test_the_largest_come_first(bundled: Model, fruit: PromptPairs) -> None:
    sweep = bundled.on(fruit).sweep("L1.N*")
    address, estimate = sweep.top(1)[0]
    assert address == "L1.N8"
    assert estimate == sweep.values.max() == sweep.values[8]
    assert str(sweep).splitlines()[1].startswith("  L1.N8 ")


def test_a_sweep_prints_both_signs_by_size_and_what_it_leaves_out(bundled: Model, fruit: PromptPairs) -> None:
    sweep = bundled.on(fruit).sweep("L*.H* | L1.N*", "ablate", value="mean")
    by_size = sorted(sweep.values, key=abs, reverse=True)
    assert min(by_size[:10]) < 0 < max(by_size[:10])
    assert [number for _, number in sweep.top(60)] == by_size
    _, *shown, last = str(sweep).splitlines()
    assert [line.split()[1] for line in shown] == [f"{number:.3g}" for number in by_size[:10]]
    assert last == f"  ... 50 more, between {min(by_size[10:]):.3g} and {max(by_size[10:]):.3g}"
    assert len({line.index(" of the behaviour") - len(line.split()[1]) for line in shown}) == 1  # in a column
    assert f"{len(sweep.sites)} effects of" in sweep.svg()
    assert ", the 20 largest<" in sweep.svg()
    assert "largest" not in bundled.on(fruit).sweep("L*.RESID_PRE@*").svg()
    assert str(bundled.on(fruit).sweep("L1.N8")).startswith("1 effect of ")


def test_a_sweep_says_which_pairs_it_leaves_out(bundled: Model, fruit: PromptPairs) -> None:
    pairs = PromptPairs(
        "I climbed up the {fruit} tree and picked",
        fruit=contrast(clean=["apple", "zebrafish"], corrupt=["lemon"]),
        answer=" an",
        foil=" a",
    )
    assert "  rejected " in str(bundled.on(pairs).sweep("L1.H*"))
    assert "rejected" not in str(bundled.on(fruit).sweep("L1.H*"))


def test_every_number_has_its_interval(bundled: Model, more_fruit: PromptPairs) -> None:
    exact = bundled.on(more_fruit).sweep("L1.N[0-9]")
    assert exact.exact
    assert np.array_equal(exact.low, exact.values)
    drawn = bundled.on(more_fruit).sweep("L*.H*", "ablate", value="resample")
    assert not drawn.exact
    alone = drawn["L1.H2"]
    assert (drawn.low[1, 2], drawn.high[1, 2]) == pytest.approx((alone.low, alone.high))
    assert (drawn.low <= drawn.values).all()


def test_a_sweep_of_all_neurons_takes_a_few_runs(
    anew: Callable[..., Model], fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = anew(), []
    assert model.on(fruit)._setup.gaps.mean() > 1
    cone = model._loaded.answers.engine.trust.cone
    assert cone is not None
    run = cone.decoder.run
    monkeypatch.setattr(cone.decoder, "run", lambda tokens, *given: (rows.append(len(tokens)), run(tokens, *given))[1])
    model.on(fruit).sweep("L1.N*")
    assert sum(rows) >= 48 * 12
    assert len(rows) < 12


def test_tokens_are_named_once_each_and_alike_in_every_pair(
    bundled: Model, stories: Model, fruit: PromptPairs, named: PromptPairs
) -> None:
    one_template = PromptPairs(
        "Once upon a time, there was a little {who} named {name}.",
        who=contrast.pairs([("girl", "boy")]),
        name=["Lily", "Tim", "Sue", "Anna", "Amy"],
        answer=" She",
        foil=" He",
    )
    rows = PromptPairs.from_rows([{"clean": [5, 6, 7], "corrupt": [5, 8, 7], "answer": 1, "foil": 2}])
    for model, pairs in ((bundled, fruit), (stories, one_template), (bundled, rows)):
        aligned = model.on(pairs)._setup.sample.pairs
        positions = token_positions(aligned)
        for pair in aligned:
            assert sorted(place for at in positions for place in pair.positions(at)) == list(range(pair.length))
    assert len({pair.length for pair in stories.on(one_template)._setup.sample.pairs}) > 1
    uneven = [{"clean": [5, 6, 7][-n:], "corrupt": [5, 8, 9][-n:], "answer": 1, "foil": 2} for n in (2, 3)]
    for model, pairs in ((stories, named), (bundled, PromptPairs.from_rows(uneven))):
        with pytest.raises(PromptError, match="several templates or lengths: sweep each by itself"):
            model.on(pairs).sweep("L0.RESID_PRE@*")


def test_what_a_sweep_cannot_do_is_said(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    with pytest.raises(MethodError, match="a sweep's verb is one of patch, ablate, direct, lens, not 'zero'"):
        run.sweep("L1.N*", "zero")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match=r"L0\.N3.* is none of the 48 sites"):
        run.sweep("L1.N*")["L0.N3"]


def test_a_sweep_decides_nothing(claims: Claims) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).sweep('L1.N*').top(1)[0][0] == 'L1.N8'")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*passed without deciding a claim*"])


def test_pictures_are_drawn_to_scale_and_escaped() -> None:
    values = [[0.5, -1.0], [0.0, 0.25]]
    drawn = ElementTree.fromstring(heatmap("a < b & c", values, ("layer", ["L0", "L1"]), ("position", ["<x>", "&y"])))
    cells = [cell for cell in drawn.findall(".//{*}rect") if cell.find("{*}title") is not None]
    assert [cell.find("{*}title").text for cell in cells[:2]] == ["L0 <x>: 0.5", "L0 &y: -1"]  # type: ignore[union-attr]
    assert cells[0].get("fill") != cells[1].get("fill")
    assert [cell.get("fill-opacity") for cell in cells] == ["0.5", "1", "0", "0.25"]
    assert float(cells[0].get("y", 0)) > float(cells[2].get("y", 0))  # the first layer is below
    widths = [
        float(bar.get("width", 0)) for bar in ElementTree.fromstring(bars("t", "ab", [1.0, 0.5])).findall(".//{*}rect")
    ]
    assert widths[1] == pytest.approx(2 * widths[2])
    odd = ElementTree.fromstring(bars("a \x07 bell", ["\ud800"], [1.0]))  # which XML does not take as they are
    assert [text.text for text in odd.findall(".//{*}text")][:2] == ["a \\x07 bell", "\\ud800"]


def test_a_picture_can_be_saved_and_shown(bundled: Model, fruit: PromptPairs, tmp_path: Any) -> None:
    for address in ("L*.RESID_PRE@*", "L1.N*", "L1.H0"):
        sweep = bundled.on(fruit).sweep(address)
        sweep.save(tmp_path / "sweep.svg")
        assert (tmp_path / "sweep.svg").read_text() == sweep._repr_html_()
        ElementTree.parse(tmp_path / "sweep.svg")
    sweep.save(str(tmp_path / "SWEEP.SVG"))
    for name, what in (("x.png", "no .png"), ("x.pdf", "no .pdf"), ("x", "nothing else")):
        with pytest.raises(MethodError, match=rf"drawn as SVG, and {what}: save it as 'x.svg'"):
            sweep.save(tmp_path / name)
        assert not (tmp_path / name).exists()
