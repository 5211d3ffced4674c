"""Long work shows how far it is and how long it will take, on a screen and in a log, and is told beforehand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from circuitcheck import Model, PromptPairs
from circuitcheck.engine import progress
from circuitcheck.session.showing_progress import progress_of
from tests.conftest import Claims


class Clock:
    """The clock that progress looks at."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def work(show: Callable[[str, int, int], None], clock: Clock, seconds: int, what: str = "sweep of L*.N*") -> None:
    """100 batches of 10 runs in so many seconds."""
    for done in range(0, 1001, 10):
        clock.now += seconds / 100 if done else 0
        show(what, done, 1000)


def test_a_screen_has_one_line_with_an_estimate(clock: Clock) -> None:
    lines, shown = list[str](), list[str]()
    show = progress.Progress(lines.append, shown.append)
    work(show, clock, 1)
    assert (lines, shown) == ([], [])
    work(show, clock, 50)
    assert lines == []
    assert "sweep of L*.N*: 30 of 1,000 runs " in shown
    assert shown[-1] == "sweep of L*.N*: 990 of 1,000 runs, about 1 s left "
    assert "sweep of L*.N*: 500 of 1,000 runs, about 25 s left " in shown


def test_what_takes_minutes_is_told_beforehand_and_in_a_log_once_a_minute(clock: Clock) -> None:
    lines = list[str]()
    show = progress.Progress(lines.append, None)
    work(show, clock, 80)
    assert lines == []
    work(show, clock, 200)
    assert lines[0] == "sweep of L*.N*: 1,000 runs will take about 3 min"
    assert lines[1:] == [
        f"sweep of L*.N*: {n} of 1,000 runs, about {left} left"
        for n, left in ((330, "2 min"), (640, "72 s"), (950, "10 s"))
    ]
    work(show, clock, 20_000, "sweep of L*.H*\x1b")
    assert lines[4] == "sweep of L*.H*\\x1b: 1,000 runs will take about 5.6 h"


def test_a_log_and_a_quiet_session_have_nothing_of_short_work(claims: Claims) -> None:
    body = "def test_it(model):\n    model.on(FRUIT).sweep('L1.N*')\n    assert model.on(FRUIT).patch(ALL).each > 0.5"
    for options in ((), ("-q",)):
        claims(body, *options).stdout.no_fnmatch_line("*runs*")


@pytest.mark.parametrize("verbose", [0, -1])
def test_a_worker_says_it_beside_the_capture(clock: Clock, verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    @contextmanager
    def disabled() -> Iterator[None]:
        yield

    capture = SimpleNamespace(global_and_fixture_disabled=disabled)
    plugins = SimpleNamespace(get_plugin={"capturemanager": capture}.get)
    config = SimpleNamespace(pluginmanager=plugins, workerinput={"workerid": "gw1"}, getoption=lambda name: verbose)
    work(progress_of(config), clock, 100)  # type: ignore[arg-type]
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert said[:1] == ([] if verbose else ["gw1: sweep of L*.N*: 1,000 runs will take about 2 min"])


@pytest.mark.parametrize(
    ("do", "what", "runs"),
    [
        (lambda run: run.sweep("L1.N*"), "sweep of patch L1.N*", 48),
        (lambda run: run.sweep("L*.H*", "ablate"), "sweep of ablate L*.H* (mean)", 12),
        (lambda run: run.patch("L1.N8").each > 0.1, "search of every pair's patch L1.N8", 3),
        (lambda run: run.minimality("L0.H2 | L1.N8") > 0, "minimality of L0.H2 | L1.N8", 8),
        (lambda run: run.completeness("L0.H2 | L1.N8").measure(), "completeness of L0.H2 | L1.N8", 16),
    ],
)
def test_long_work_is_one_work_that_begins_at_nothing_and_ends(
    anew: Callable[..., Model], fruit: PromptPairs, do: Callable[[object], object], what: str, runs: int
) -> None:
    model, told = anew(), list[tuple[str, int, int]]()
    model._loaded.answers.progress = lambda *said: told.append(said)
    run = model.on(fruit)
    do(run)
    ours = [(done, total) for name, done, total in told if name == what]
    pairs = len(run._setup.sample.pairs)
    assert (ours[0], ours[-1]) == ((0, runs * pairs), (runs * pairs, runs * pairs))
    assert len(ours) > 2
    assert [done for done, _ in ours] == sorted(done for done, _ in ours)


def test_where_nobody_looks_at_a_screen_long_work_has_a_line_a_minute_and_short_work_none(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a notebook, and where a script's output goes to a file."""
    work(progress.on_stderr(), clock, 60)
    assert capsys.readouterr().err == ""
    work(progress.on_stderr(), clock, 600)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "sweep of L*.N*: 1,000 runs will take about 10 min"
    assert 7 <= len(others) <= 9
    assert all("left" in line for line in others)
