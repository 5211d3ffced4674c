"""The page of 500 claims: how large it is, how long it takes to write, to open and to answer.

python -m benchmarks.page          about a minute on two cores; needs circuitcheck[html], selenium and Chromium
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from circuitcheck.report.page.page import page
from tests.browser import browser, file_url
from tests.some_claims import MODEL, claims

_RUNS = 5


def page_of(count: int) -> str:
    """The page of so many claims."""
    settings = {"seed": "0", "alpha": "0.05", "budget": "1024", "bound": "2"}
    return page(claims(count), [MODEL], settings, datetime(2026, 1, 1, tzinfo=UTC))


# Each ends in a frame that was laid out and drawn.
_DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))))"
_TASKS = {
    "filter: a keystroke in the search": "const box = document.getElementById('words'); box.value = 'number 4'; "
    "box.dispatchEvent(new Event('input', {bubbles: true}))",
    "filter: show all again": "document.getElementById('clear').click()",
    "filter: a verdict": "document.querySelector('[name=state][value=supported]').click()",
    "sort: by effect": "document.querySelector('[data-key=effect] button').click()",
    "open a claim": "document.querySelector('#claims tbody:not([hidden]) button').click()",
}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main() -> None:
    """Print the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--claims", type=int, default=500)
    count = asked.parse_args().claims
    page_of(1)  # imports
    seconds, text = _timed(lambda: page_of(count))
    print(f"{count} claims: {len(text.encode()) / 1e6:.2f} MB, written in {seconds:.1f} s")
    with tempfile.TemporaryDirectory() as folder, browser() as driver:
        path = Path(folder, "page.html")
        path.write_text(text, encoding="utf-8")
        loads: list[float] = []
        times: dict[str, list[float]] = {name: [] for name in _TASKS}
        for _ in range(_RUNS):
            driver.get(file_url(path))
            loads.append(driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
            for name, task in _TASKS.items():
                times[name].append(driver.execute_script(f"const began = performance.now(); {task}; return {_DRAWN}"))
        print(f"from navigation to load: {median(loads):.0f} ms ({min(loads):.0f}-{max(loads):.0f})")
        for name, found in times.items():
            print(f"{name}: {median(found):.0f} ms ({min(found):.0f}-{max(found):.0f})")


if __name__ == "__main__":
    main()
