"""Claims about what a user's own strategy generates, and claims inside a user's own @given."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from circuitcheck import BehaviourAbsent, Model, PromptError, PromptPairs
from circuitcheck.search.strategies import Generated
from circuitcheck.settings import Settings
from tests.conftest import Claims
from tests.search.test_search import kept

TEXT = "{} climbed up the {} tree and picked"
WHO = ["I", "John", "Mary", "Tom", "Anna", "Kate", "Lucy", "Paul"]


def row(who: str, clean: str, corrupt: str) -> dict[str, str]:
    return {"clean": TEXT.format(who, clean), "corrupt": TEXT.format(who, corrupt), "answer": " an", "foil": " a"}


ROWS = st.builds(
    row,
    st.sampled_from(WHO),
    st.sampled_from(["apple", "olive", "avocado", "orange"]),
    st.sampled_from(["lemon", "peach", "fig", "cherry", "lime", "mango"]),
)
BODY = """
from hypothesis import given, settings, strategies as st
from tests.prompts.test_strategies import ROWS
"""


def test_every_pair_of_a_strategy_is_a_share_of_its_own_gap(bundled: Model) -> None:
    pairs = PromptPairs.from_strategy(ROWS)
    everything = PromptPairs.from_rows(
        [
            row(w, a, b)
            for w in WHO
            for a in ("apple", "olive", "avocado", "orange")
            for b in ("lemon", "peach", "fig", "cherry", "lime", "mango")
        ]
    )
    patched, gaps = (
        effect.measure() for effect in (bundled.on(everything).patch("L1.N8").raw, bundled.on(everything).gap)
    )
    own = patched.per_pair / gaps.per_pair
    worst = float(own.min())
    held = bundled.on(pairs).patch("L1.N8").each > worst - 0.01
    assert (held.decision, held.searched.of) == ("unrefuted", None)
    broken = bundled.on(pairs).patch("L1.N8").each > float(sorted(own)[60])
    assert broken.decision == "refuted"
    found = broken.searched.counterexample
    assert found is not None
    texts = [pair.pair.clean.text for pair in patched.pairs], [pair.pair.corrupt.text for pair in patched.pairs]
    place = list(zip(*texts, strict=True)).index((found.pair.clean.text, found.pair.corrupt.text))
    assert broken.measurement.estimate == pytest.approx(float(own[place]), abs=1e-5)
    assert "each pair over its own gap" in broken.explain()


@dataclass
class InMemory:
    """Trials of which some fail."""

    tried: list[int]
    failing: set[int]

    def seen(self, number: int) -> bool:
        return number in self.tried

    def evaluate(self, numbers: list[int]) -> list[int]:
        return numbers

    def fails(self, number: int) -> bool:
        return number in self.failing


def test_replays_are_answered_from_memory(bundled: Model) -> None:
    """The canary: Hypothesis does not promise that the same seed gives the same pairs. Were it not so, searches would be
    slower, and this test would say so."""
    for seed in range(2):
        space = Generated(ROWS, seed, 200)
        scouted = list(space.order())
        broken = set(scouted[40::7])
        shrunk = space.shrunk(min(broken), InMemory(scouted, broken))  # type: ignore[arg-type]
        assert shrunk in broken
        assert space.early == 0
        assert space.misses <= 60


def test_the_same_seed_finds_the_same(anew: Callable[..., Model]) -> None:
    first, again = (anew().on(PromptPairs.from_strategy(ROWS)).patch("L1.N8").each > 0.6 for _ in range(2))
    assert first.searched == again.searched
    assert first.searched.alone <= 60


def test_averages_of_a_strategy_are_refused(bundled: Model) -> None:
    run = bundled.on(PromptPairs.from_strategy(ROWS))
    for average in (
        lambda: run.patch("L1.N8") > 0.4,
        lambda: run.accuracy > 0.9,
        lambda: run.patch("L1.N8").measure(),
        lambda: run.sweep("L1.N*"),
        lambda: run.ablate("L1.N8", "mean").each > 0.1,
    ):
        with pytest.raises(PromptError, match=r"which is no sample: .*\n.*effect\.each > t"):
            average()
    assert run.ablate("L1.N8", 0.0).each < 9


def test_what_is_no_pair_or_has_no_behaviour_is_told(bundled: Model) -> None:
    with pytest.raises(PromptError, match="the strategy generated 0, which is no pair: a pair is a mapping"):
        _ = bundled.on(PromptPairs.from_strategy(st.just(0))).patch("L1.N8").each > 0
    with pytest.raises(PromptError, match="takes a Hypothesis strategy that generates rows"):
        PromptPairs.from_strategy([1])  # type: ignore[arg-type]
    nothing = st.sampled_from(WHO[1:]).map(lambda who: row(who, "lemon", "apple"))
    with pytest.raises(BehaviourAbsent, match="none of 7 pairs"):
        _ = bundled.on(PromptPairs.from_strategy(nothing)).patch("L1.N8").each > 0
    for change in (
        lambda pairs: pairs.with_typos(),
        lambda pairs: pairs.with_prefix([""]),
        lambda pairs: pairs.strategy(),
        lambda pairs: pairs.split("confirm"),
    ):
        with pytest.raises(PromptError, match="change the strategy itself"):
            change(PromptPairs.from_strategy(ROWS))


def test_counterexamples_of_strategies_stay_too(claims: Claims, pytester: pytest.Pytester) -> None:
    body = (
        BODY + "def test_it(model):\n    assert model.on(PromptPairs.from_strategy(ROWS)).patch('L1.N8').each > 0.6\n"
    )
    claims(body).assert_outcomes(failed=1)
    [path] = kept(pytester.path)
    content = json.loads(path.read_text())
    assert content["number"] is None
    assert set(content["clean"].split()) >= {"climbed", "tree"}
    claims(body).stdout.fnmatch_lines(["*1 pair tried, 1 breaks the claim; 1 known before fails still*"])


@pytest.fixture
def own_profile() -> Iterator[None]:
    """For tests that load a Hypothesis profile, which stays loaded."""
    yield
    settings.load_profile("default")


@pytest.mark.slow
@pytest.mark.usefixtures("own_profile")
def test_the_hypothesis_profile_says_how_a_search_goes(claims: Claims, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from hypothesis import settings, Phase, Verbosity\n"
        "plain = settings.get_profile('default')\n"
        "settings.register_profile('few', plain, max_examples=120)\n"
        "settings.register_profile('raw', plain, phases=[Phase.generate], verbosity=Verbosity.verbose)\n"
    )
    body = """
MANY = FRUIT.with_typos()
def test_it(model):
    assert model.on(MANY).patch("L2.RESID_POST").raw.each {}
"""
    few = claims(body.format("> -50"), "--hypothesis-profile=few")
    few.stdout.fnmatch_lines(["unrefuted*no counterexample in 120 of * pairs*"])
    claims(body.format("> -50"), "--hypothesis-profile=few", "--circuit-examples=150").stdout.fnmatch_lines(
        ["unrefuted*no counterexample in 150 of * pairs*"]
    )
    raw = claims(body.format("> 50"), "--hypothesis-profile=raw")
    raw.stdout.fnmatch_lines(["*tried 256 pairs, the worst is*"])
    raw.stdout.no_fnmatch_line("*or any other*")  # not shrunk


# Inside @given

GIVEN = """
from hypothesis import given, settings

@settings(deadline=None)
@given(pair=FRUIT.strategy())
def test_it(model, pair):
    "A neuron, in any pair."
    assert model.on(pair).patch("L1.N8") {}
"""


def test_examples_in_a_given_test_of_ones_own(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    held = claims(GIVEN.format("> 0.2"), f"--circuit-json={path}")
    held.assert_outcomes(passed=1)
    held.stdout.fnmatch_lines(["supported*patch L1.N8 > 0.2 of the gap: * (the last of 8 examples, n=1*"])
    [effect] = json.loads(path.read_text())["claims"][0]["effects"]
    assert (effect["examples"], effect["n"], effect["exact"]) == (8, 1, True)
    broken = claims(GIVEN.format("> 0.6"))
    broken.assert_outcomes(failed=1)
    broken.stdout.fnmatch_lines(
        ["*ClaimRefuted: refuted: patch L1.N8 > 0.6 of the gap*", "*pair=PromptPairs.from_rows([[]{'clean'*"]
    )
    marked = GIVEN.replace("@settings", "@pytest.mark.xfail(raises=ClaimRefuted, strict=True)\n@settings")
    claims(marked.format("> 0.6")).assert_outcomes(xfailed=1)


def test_a_refutation_that_an_example_hides_fails_the_test(claims: Claims) -> None:
    hidden = GIVEN.replace("    assert", "    with pytest.raises(ClaimRefuted):\n        assert")
    claims(hidden.format("> 5")).stdout.fnmatch_lines(["*came out refuted, and the test passed all the same*"])
    # One claim, of two examples: refuted of the first, supported of the second.
    both = """
from hypothesis import given, settings, strategies as st
from circuitcheck.prompts.populations import Population
from circuitcheck.prompts.prompt_pairs import only
PAIRS = [only(FRUIT, pair) for pair in Population(FRUIT.description, 0).draw()]

@settings(deadline=None)
@given(n=st.just(0))
def test_it(model, n):
    numbers = {pair: model.on(pair).patch("L1.N8").measure().estimate for pair in PAIRS}
    low, high = (chosen(numbers, key=numbers.get) for chosen in (min, max))
    threshold = (numbers[low] + numbers[high]) / 2
    with pytest.raises(ClaimRefuted):
        assert model.on(low).patch("L1.N8") > threshold
    assert model.on(high).patch("L1.N8") > threshold
"""
    claims(both).stdout.fnmatch_lines(["*came out refuted, and the test passed all the same*"])
    never_asserted = GIVEN.replace("assert model", "model")
    claims(never_asserted.format("> 0.2")).stdout.fnmatch_lines(["*a comparison was made and never asserted*"])


def test_an_average_inside_given_is_refused(claims: Claims) -> None:
    for claim in (
        "model.on(FRUIT).patch('L1.N8') > 0.2",
        "model.on(FRUIT).patch('L1.N8').each > 0.2",
        "model.on(FRUIT).patch('L1.N8').beats('L1.N*')",
        "model.on(FRUIT).gap == pytest.approx(20, abs=5)",
    ):
        result = claims(GIVEN.replace('model.on(pair).patch("L1.N8") {}', claim))
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*MethodError: *inside @given it would be decided once an example*"])


def test_examples_without_the_behaviour_are_rejected(claims: Claims) -> None:
    body = """
from hypothesis import given, settings
MIXED = PromptPairs("I climbed up the {fruit} tree and picked", fruit=contrast.pairs(
    [("apple", "lemon"), ("lemon", "apple"), ("olive", "peach"), ("orange", "fig")]), answer=" an", foil=" a")
seen = []

@settings(deadline=None)
@given(pair=MIXED.strategy())
def test_it(model, pair):
    assert model.on(pair).patch("L1.N8") > 0.2
    seen.append(pair.rows[0].clean.text)

def test_those_with_it_were_claimed_of():
    assert {text.split()[4] for text in seen} == {"apple", "olive", "orange"}
"""
    claims(body, "--hypothesis-show-statistics").assert_outcomes(passed=2)
    statistics = claims(body, "--hypothesis-show-statistics")
    statistics.stdout.fnmatch_lines(["*circuitcheck: the behaviour is absent*"])


@pytest.mark.slow
def test_examples_keep_to_where_and_distinct() -> None:
    names = [f"n{number}" for number in range(30)]
    pairs = PromptPairs(
        "{a} {b} {c}",
        a=names,
        b=names,
        c=names[:4],
        distinct=("a", "b"),
        where=lambda clean, _: clean["c"] != "n0",
        answer="x",
    )
    told = settings(max_examples=3000, suppress_health_check=[HealthCheck.filter_too_much], database=None)
    with pytest.raises(NoSuchExample):
        find(pairs.strategy(), lambda pair: len(set(pair.rows[0].clean.text.split()[:2])) == 1, settings=told)
    found = find(pairs.strategy(), lambda pair: pair.rows[0].clean.text.split()[1] == "n7", settings=told)
    assert found.rows[0].clean.text == "n0 n7 n1"


def test_an_examples_slots_can_be_addressed(bundled: Model, fruit: PromptPairs) -> None:
    pair = find(fruit.strategy(), lambda pair: "olive" in pair.rows[0].clean.text)
    assert bundled.on(pair).patch("L0.RESID_PRE@{fruit}") > 0.9
    again = bundled.on(PromptPairs.from_strategy(fruit.strategy())).patch("L0.RESID_PRE@{fruit}").each < 3
    assert (again.searched.tried, again.searched.failing) == (12, 0)
    assert again.decision == "inconclusive"  # that these are all is not known


def test_settings_of_a_strategys_search(anew: Callable[..., Model]) -> None:
    few = anew(Settings(examples=30)).on(PromptPairs.from_strategy(ROWS)).patch("L1.N8").each > -1
    assert few.decision == "inconclusive"
    assert few.searched.tried <= 30
