"""What the lock says stands in every report, red and green: the page's headline, matrix and claims, and Markdown's first lines."""

import html
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from circuitcheck.report.annotations import annotations
from circuitcheck.report.claims import Claim, LockReport
from circuitcheck.report.markdown import summary
from circuitcheck.report.matrix import matrix, told
from circuitcheck.report.page.page import page
from tests.claims_for_tests import claim, collected, model
from tests.some_claims import checkpoints, claims

FALLEN = "gap 14.7 -> 2.26 logits"
RED = LockReport(
    ["lock: 1 finding against circuitcheck.lock", f"  t.py::t (words): {FALLEN}"], False, {"t.py::t": "drifted"}
)
GREEN = LockReport(["lock: as in circuitcheck.lock"], True, {"t.py::t": "holds"})


def page_of(made: list[Claim], lock: LockReport | None) -> str:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    settings = {"seed": "0", "alpha": "0.05", "budget": "1024", "bound": "2"}
    return page(made, collected(*made).models(), settings, when, lock)


def some(beside: str, changed: list[str]) -> list[Claim]:
    made = claims(4)
    for one in made:
        one.outcome, one.lock_state = "passed", "holds"
    made[2].lock_state, made[2].changed = beside, changed
    return made


def headline(text: str) -> str:
    return html.unescape(re.findall(r"<h1>(.*?)</h1>", text)[0])


def test_the_page_is_red_where_the_lock_is() -> None:
    text = page_of(made := some("drifted", [FALLEN]), RED)
    assert headline(text) == "All 4 claims came out as stated; 1 finding against circuitcheck.lock"
    assert '<header class="top" data-holds="no">' in text
    assert '<section aria-labelledby="lock-heading" class="locked" data-holds="no">' in text
    assert text.partition("</style>")[2].count('data-lock_state="drifted"') == 1
    assert f"<li>{html.escape(FALLEN)}</li>" in text
    first = re.findall(r'<tbody role="rowgroup" id="([^"]*)"', text)[0]
    assert made[2].nodeid.rpartition("::")[2].split("[")[0] in first.replace("-", "_"), "what is red comes first"


def test_the_page_is_green_where_the_lock_is() -> None:
    text = page_of(some("holds", []), GREEN)
    assert headline(text) == "All 4 claims came out as stated; as in circuitcheck.lock"
    assert "data-lock" not in text.partition("<style>")[0] + text.partition("</style>")[2]
    assert 'data-holds="no"' not in text.partition("</style>")[2]
    assert headline(page_of(some("holds", []), None)) == "All 4 claims came out as stated"


def test_a_lock_that_cannot_be_read_is_in_the_headline_too() -> None:
    text = page_of(
        some("", []), LockReport(["lock: there is no circuitcheck.lock: --circuit-lock=update writes it"], False)
    )
    assert headline(text).endswith("; there is no circuitcheck.lock: --circuit-lock=update writes it")


def test_markdown_begins_with_the_lock_and_counts_what_drifted_among_what_failed() -> None:
    fell = claim("t.py::t", words="It restores it.", lock_state="drifted", changed=[FALLEN])
    text = summary(collected(fell, claim("t.py::other")), RED)
    lines = [html.unescape(re.sub(r"<[^>]*>", "", line)) for line in text.splitlines() if line]
    assert lines[:3] == [
        "## Circuit claims",
        "❌ lock: 1 finding against circuitcheck.lock",
        f"- t.py::t (words): {FALLEN}",
    ]
    failed = text[text.index("### Not as claimed or locked") : text.index("### The others")]
    assert "❌ supported, drifted" in failed
    assert FALLEN in html.unescape(failed)
    green = summary(collected(claim("t.py::t", lock_state="holds")), GREEN).splitlines()
    assert html.unescape(re.sub(r"<[^>]*>", "", green[2])) == "✅ lock: as in circuitcheck.lock"


def test_a_matrix_says_what_came_of_each_claim_beside_a_baseline() -> None:
    made = [
        claim(
            f"t.py::t[c-{n}]",
            test="t.py::t",
            asked=f"c-{n}",
            model=model(f"c-{n}"),
            lock_state=state,
            baseline="base",
            words="It.",
        )
        for n, state in enumerate(("holds", "drifted", "broken"))
    ]
    _, [line] = matrix(made)
    assert [*map(told, line.cells)] == ["holds 0.6", "drifted 0.6", "broken 0.6"]
    text = summary(collected(*made), RED)
    row = next(line for line in text.splitlines() if line.startswith("| It"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
        "✅ holds 0.6",
        "❌ drifted 0.6",
        "❌ broken 0.6",
    ]
    assert text.index("### By model") < text.index("### Not as claimed"), "matrices before lists"
    alone = claim("t.py::t", lock_state="drifted", baseline="base")
    assert len(matrix([alone])[1]) == 1, "one model beside a baseline, too"
    assert matrix([claim("t.py::t", lock_state="drifted")])[1] == []


def test_the_page_has_the_same_matrix() -> None:
    made = checkpoints(3, [10, 20])
    for one in made:
        one.lock_state, one.baseline = "behaviour absent", "base"
    text = page_of(made, RED).partition('models-heading"')[2].partition("</table>")[0]
    assert text.count("behaviour absent ") == text.count('data-state="refuted"') == len(made)


def test_parametrised_claims_are_told_apart() -> None:
    made = [claim(f"t.py::t[{n}]", words="It restores it.\nMore.", outcome="failed", verdict="refuted") for n in (1, 2)]
    assert [one.title for one in made] == ["It restores it. [1]", "It restores it. [2]"]
    assert claim("t.py::t[m-1]", test="t.py::t[1]", words="It.").title == "It. [1]"
    assert claim("t.py::t[1]").title == "t[1]"
    on_page = claims(2)
    for n, one in enumerate(on_page):
        one.nodeid = one.test = f"t.py::t[{n}]"
        one.words = "It restores it."
    assert all(f">It restores it. [{n}]<" in page_of(on_page, None) for n in (0, 1))

    commands = annotations(Path("/x"), collected(*made), None)
    assert ["[1]" in commands[0], "[2]" in commands[1]] == [True, True]


@pytest.mark.parametrize("state", ["changed", "drifted", "behaviour absent", "broken"])
def test_what_is_not_as_in_the_lock_is_said_of_the_claim(state: str) -> None:
    one = claim("t.py::t", lock_state=state)
    assert (one.standing, one.is_off) == (f"supported, {state}", True)
    assert (claim("t.py::t", lock_state="holds").standing, claim("t.py::t").standing) == ("supported", "supported")
