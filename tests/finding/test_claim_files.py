"""From candidates to a file of claims about the other half: thresholds, records, and pytest on what was written."""

from pathlib import Path

import numpy as np
import pytest

from circuitcheck import MethodError, Model, PromptError, PromptPairs, cli, contrast
from circuitcheck.finding.source import source_of
from circuitcheck.statistics.prediction import in_the_running, lower_prediction_limit, standard_error

FRUITS = contrast(
    clean=["apple", "orange", "olive", "egg", "onion", "apricot"],
    corrupt=["lemon", "banana", "peach", "pear", "plum", "fig"],
)
PAIRS = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum"],
    fruit=FRUITS,
    answer=" an",
    foil=" a",
)


def test_what_is_written_is_decided_by_pytest(bundled: Model, pytester: pytest.Pytester) -> None:
    """Each claim names what it was found on, among how many, by what, and what the halves have in common."""
    candidates = bundled.on(PAIRS.split("discover", by="fruit")).find("L*.N* | L*.H*", top=6)
    path = candidates.write(pytester.path / "test_found.py", top=2)
    text = path.read_text()
    assert "def test_l1_n8_end_restores(model):" in text
    assert "def test_l1_n8_end_is_needed(model):" in text
    assert "def test_l1_n8_end_beats_its_layer(model):" in text
    assert ".split(\"confirm\", by=('fruit',))" in text
    assert "among      144 neurons, 12 heads" in text
    result = pytester.runpytest_inprocess("--circuit-model=bundled", "--circuit-json=r.json", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes == {"passed": text.count("def test_")}
    said = (pytester.path / "r.json").read_text()
    assert "number 1 of 144 neurons by attribution; here the same fillers of {tree}, new fillers of {fruit}" in said
    assert "in 1 run of find" in said


def test_claims_about_features_attach_their_dictionary(bundled: Model, pytester: pytest.Pytester) -> None:
    featured = bundled.with_dictionary("L1.RESID_POST", "bundled-seed0")
    candidates = featured.on(PAIRS.split("discover")).find("L1.RESID_POST.F* | L1.RESID_POST.ERROR", top=6)
    assert candidates.kinds == ("features", "errors")
    path = candidates.write(pytester.path / "test_features.py", top=2)
    text = path.read_text()
    assert "pytestmark = pytest.mark.circuit(dictionary=['L1.RESID_POST=bundled-seed0'])" in text
    assert "def test_l1_resid_post_f82_end_restores(model):" in text
    result = pytester.runpytest_inprocess("--circuit-model=bundled", "--circuit-json=r.json", "-p", "no:cacheprovider")
    assert result.parseoutcomes() == {"passed": text.count("def test_")}
    assert "number 1 of 512 features by attribution" in (pytester.path / "r.json").read_text()


def test_thresholds_are_of_the_discovering_half_alone(bundled: Model, tmp_path: Path) -> None:
    candidates = bundled.on(PAIRS.split("discover")).find("L1.N*", top=3)
    text = candidates.write(tmp_path / "test_found.py", top=1).read_text()
    threshold = float(text.partition('patch("L1.N8@end") > ')[2].split()[0])
    best, base = candidates.top()[0], candidates.run.gaps_on(candidates.sample)
    further = bundled._loaded.sampler.drawn(PAIRS.split("confirm")).size
    assert further is not None
    limit = lower_prediction_limit(best.shift, base, further, 0.05 / 4)
    assert threshold == pytest.approx(limit, abs=0.0101)
    assert 0.1 < threshold < best.exact
    assert "here the same fillers of {tree}, the same fillers of {fruit}, the same templates" in text


def test_rows_that_count_several_times_count_so_in_thresholds(bundled: Model, tmp_path: Path) -> None:
    """The limit is below the weighted mean, which is the one that is claimed, and as wide as fewer pairs make it."""
    fruits = [("apple", "lemon"), ("egg", "banana"), ("olive", "peach"), ("onion", "pear"), ("orange", "plum")]
    rows = [
        {"clean": f"I climbed up the {one} tree and picked", "corrupt": f"I climbed up the {other} tree and picked"}
        for (one, other), times in zip(
            [*fruits, *[(one[0], "fig") for one in fruits]], [12, 1, 1, 1, 1] * 2, strict=True
        )
        for _ in range(times)
    ]
    pairs = PromptPairs.from_rows([row | {"answer": " an", "foil": " a"} for row in rows])
    candidates = bundled.on(pairs.split("discover")).find("L1.N*@end", top=2)
    best, base = candidates.top()[0], candidates.run.gaps_on(candidates.sample)
    counted = np.array([pair.pair.weight for pair in candidates.pairs])
    assert len(set(counted)) > 1
    assert best.exact == pytest.approx(counted @ best.shift / (counted @ base))
    (tmp_path / "prompts.py").touch()
    text = candidates.write(tmp_path / "test_found.py", top=1, pairs=f"{tmp_path / 'prompts.py'}::ROWS").read_text()
    threshold = float(text.partition('patch("L1.N8@end") > ')[2].split()[0])
    further = bundled._loaded.sampler.drawn(pairs.split("confirm")).size
    assert further is not None
    assert threshold == pytest.approx(lower_prediction_limit(best.shift, base, further, 0.05 / 4, counted), abs=0.0101)


def test_weights_are_pairs_that_were_drawn_once() -> None:
    """Equal weights are none; and of weights the error is what draws of pairs with their weights make it."""
    rng = np.random.default_rng(0)
    shift, base = rng.normal(0.5, 0.2, 40), rng.normal(2, 0.3, 40)
    assert standard_error(shift, base, np.full(40, 3.0)) == pytest.approx(standard_error(shift, base))
    residual = shift - shift.mean() / base.mean() * base
    assert standard_error(shift, base) == pytest.approx(residual.std(ddof=1) / base.mean() / 40**0.5)
    weights, ratios, errors = np.array([6.0, 1, 1, 1, 1, 1, 3, 1] * 4), [], []
    for _ in range(4000):
        numbers, ones = rng.normal(0.5, 0.2, 32), np.ones(32)
        ratios.append(weights @ numbers / weights.sum())
        errors.append(standard_error(numbers, ones, weights))
    assert np.mean(np.square(errors)) == pytest.approx(np.var(ratios), rel=0.1)
    assert standard_error(np.ones(1), np.ones(1)) == np.inf


def test_another_behaviour_makes_claims_specific(bundled: Model, tmp_path: Path) -> None:
    other = PromptPairs(
        "{name} went home because",
        name=contrast(clean=["Mary", "Anna", "Emma", "Sarah"], corrupt=["John", "Tom", "James", "Mark"]),
        answer=" she",
        foil=" he",
    )
    found = bundled.on(PAIRS.split("discover")).find("L*.N*", top=3)
    text = found.write(tmp_path / "test_found.py", top=1, other=other.split("discover")).read_text()
    assert "OTHER = PromptPairs(" in text
    assert "def test_l1_n8_end_is_specific(model):" in text
    assert 'model.on(OTHER).patch("L1.N8@end") < ' in text


def test_what_cannot_be_written_is_refused(bundled: Model, tmp_path: Path) -> None:
    whole = bundled.on(PAIRS).find("L1.N*", top=2)
    half = bundled.on(PAIRS.split("discover")).find("L1.N*", top=2)
    with pytest.raises(PromptError, match=r"is no half, .* find on pairs.split\('discover'\)"):
        whole.write(tmp_path / "test_found.py")
    with pytest.raises(MethodError, match="found.py is no file that pytest collects: call it test_found.py"):
        half.write(tmp_path / "found.py")
    half.write(tmp_path / "test_found.py")
    with pytest.raises(MethodError, match="is there already"):
        half.write(tmp_path / "test_found.py")
    with pytest.raises(MethodError, match="are written next to it"):
        half.write(tmp_path / "test_other.py", pairs="elsewhere/prompts.py::PAIRS")
    small = bundled.on(PAIRS.split("discover")).find("L2.N*", top=2)
    with pytest.raises(MethodError, match="nothing that was found is large enough"):
        small.write(tmp_path / "test_small.py")
    asked = PromptPairs("The {x}", x=contrast(clean=["a"], corrupt=["b"]), answer=lambda fillers: " c")
    with pytest.raises(PromptError, match="answer= of .* is a function"):
        source_of(asked.description)


@pytest.mark.parametrize(
    "pairs",
    [
        PAIRS,
        PromptPairs(
            "A {x}{y} or {z}",
            [{"role": "user", "content": "Say {x}, {y} {z}"}],
            x={"one": 2.0, "two": 1.0},
            y=contrast.pairs([("a", "b"), ("c", "d")]),
            z=contrast(clean="{x}", corrupt="{y}"),
            distinct=("x", "y"),
            answer=[" {x}", " it's"],
            foil=" b",
            merging="as tokens",
        ),
    ],
)
def test_pairs_that_are_written_out_are_the_same_pairs(pairs: PromptPairs) -> None:
    made = eval(source_of(pairs.description), {"PromptPairs": PromptPairs, "contrast": contrast})  # noqa: S307
    assert made.identity == pairs.identity


def test_the_command_goes_from_a_file_to_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundled: Model
) -> None:
    monkeypatch.chdir(tmp_path)
    made = f"from circuitcheck import PromptPairs, contrast\nFRUIT = {source_of(PAIRS.description)}\n"
    (tmp_path / "prompts_of_fruit.py").write_text(made)
    monkeypatch.setattr("circuitcheck.session.commands.find.load", lambda *given, **named: bundled)
    command = ["find", "prompts_of_fruit.py::FRUIT", "--model=bundled", "--by=fruit", "--top=3"]
    assert cli.main([*command, "--write=test_fruit.py", "--save=fruit.csv"]) == 0
    said = capsys.readouterr().out
    assert "neurons: 3 measured of 144" in said
    assert "pytest test_fruit.py --circuit-model=bundled" in said
    text = (tmp_path / "test_fruit.py").read_text()
    assert "from prompts_of_fruit import FRUIT" in text
    assert "PAIRS = FRUIT.split(\"confirm\", by=('fruit',))" in text
    assert (tmp_path / "fruit.csv").exists()
    assert cli.main([*command, "--dictionary=L1.RESID_POST=bundled-seed0"]) == 0
    assert "features: 3 measured of 512" in capsys.readouterr().out
    assert cli.main([*command, "--dictionary=bundled-seed0"]) == 2
    assert "--dictionary=bundled-seed0: a dictionary is asked for as SITE=PATH" in capsys.readouterr().err
    for wrong, words in (
        ("prompts_of_fruit.py::APPLE", "is no PromptPairs (there are: FRUIT)"),
        ("nowhere.py::FRUIT", "is no such file and name"),
        ("prompts_of_fruit.py", "named FILE.py::NAME"),
    ):
        assert cli.main(["find", wrong, "--model=bundled"]) == 2
        assert words in capsys.readouterr().err


def _decided(rng: np.random.Generator, pairs: int, effects: "np.ndarray") -> list[bool]:
    """Whether the claims on the five best are true of another half of as many pairs."""
    spread = 0.02 + 0.6 * np.abs(effects)

    def half() -> "np.ndarray":
        return effects[:, None] + spread[:, None] * rng.standard_normal((len(effects), pairs))

    found, other, base = half(), half().mean(1), np.ones(pairs)
    sizes, decided = found.mean(1), []
    for row in np.argsort(-np.abs(sizes))[:5]:
        sign = np.sign(sizes[row])
        error = float(found[row].std(ddof=1)) / pairs**0.5
        level = 0.05 / max(5, in_the_running(sizes, sizes[row], error))
        limit = lower_prediction_limit(sign * found[row], base, pairs, level)
        if limit >= 0.02:
            decided.append(bool(sign * other[row] > limit))
    return decided


WORLDS = {
    "a few large ones": lambda rng: np.concatenate([rng.uniform(0.1, 0.5, 8), rng.normal(0, 0.01, 417)]),
    "none stands out": lambda rng: rng.normal(0, 0.05, 425),
    "heavy tails": lambda rng: 0.02 * rng.standard_t(2, 425),
}


@pytest.mark.parametrize("trials", [12, pytest.param(400, marks=pytest.mark.slow)])
def test_of_five_best_of_425_at_least_ninety_percent_are_supported_and_at_most_two_refuted(trials: int) -> None:
    """On halves of equal size that are taken in whole, so that a claim is either."""
    rng = np.random.default_rng(0)
    decided = []
    for made in WORLDS.values():
        for _ in range(trials):
            decided += _decided(rng, 32, made(rng))
    assert len(decided) > 0.9 * 5 * 3 * trials
    assert np.mean(decided) >= 0.98


def test_without_regard_to_the_choice_more_would_be_refuted() -> None:
    """What the level that is split over those in the running is for: all of 425 have the same effect."""
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(20):
        found, other = (0.1 + 0.08 * rng.standard_normal((425, 32)) for _ in range(2))
        for row in np.argsort(-found.mean(1))[:5]:
            error = float(found[row].std(ddof=1)) / 32**0.5
            running = in_the_running(found.mean(1), float(found[row].mean()), error)
            limits = [lower_prediction_limit(found[row], np.ones(32), 32, 0.05 / n) for n in (5, running)]
            kept.append([other[row].mean() > limit for limit in limits])
    naive, split = np.mean(kept, axis=0)
    assert naive < 0.9 < 0.97 < split
