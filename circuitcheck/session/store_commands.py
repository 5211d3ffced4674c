"""The commands that look into a store: ``circuitcheck store show|prune|check`` and ``circuitcheck decide``."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from circuitcheck.errors import StoreError
from circuitcheck.records.decisions import Answer, Kept, answer, read
from circuitcheck.records.store import Store, check

_DAY_S = 86_400


def show(path: Path) -> int:
    """Print what there is, by model."""
    store, rows = _opened(path), []
    for model in store.models():
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.used))
        rows.append((model.name or "?", model.model, f"{model.experiments:,}", f"{model.numbers:,}", used))
    print(f"{path}: {_size(path)}, {len({test for test, _ in store.decisions()})} tests can be decided again")
    if rows:
        table = [("model", "fingerprint", "experiments", "numbers", "last used"), *rows]
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        for row in table:
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def prune(path: Path, days: float, model: str) -> int:
    """Remove what was not used for so many days; everything, with 0."""
    store, before = _opened(path), _bytes(path)
    gone = store.prune(time.time() - days * _DAY_S + (1 if days == 0 else 0), model)
    store.close()
    print(f"removed {gone:,} numbers; {path} was {before / 2**20:.1f} MiB and is {_size(path)}")
    return 0


def examine(path: Path) -> int:
    """Print what is wrong with the file; 1 where anything is."""
    _there(path)
    problems = check(path)
    print("\n".join(f"{path}: {problem}" for problem in problems) or f"{path}: nothing is wrong with it")
    return int(bool(problems))


def decide(
    path: Path, test: str, threshold: float | None, alpha: float | None, site: str | None, population: str | None
) -> int:
    """Print the decisions at another threshold; 1 where one is not supported."""
    kept = [read(name, content) for name, content in _opened(path).decisions()]
    asked = [one for one in kept if test in one.test]
    if not asked:
        known = "\n".join(f"  {name}" for name in dict.fromkeys(one.test for one in kept))
        raise StoreError(f"no test that was decided is called {test!r}; there are\n{known or '  none'}")
    answers = [found for one in asked for found in _answers(one, kept, threshold, alpha, site, population)]
    print("\n".join(map(str, answers)))
    return int(any(one.decision != "supported" for one in answers))


def _answers(
    asked: Kept,
    kept: list[Kept],
    threshold: float | None,
    alpha: float | None,
    site: str | None,
    population: str | None,
) -> Iterator[Answer]:
    """Those to one comparison: its own, or that of the site or the population that stand in its place."""
    found = [one for one in kept if one.stands_for(asked, site, population)]
    if not found:
        others = dict.fromkeys(
            f"  {one.site}, population {one.population} ({one.said['population']})"
            for one in kept
            if one.stands_for(asked, one.site, one.population)
        )
        there = "\n".join(others)
        raise StoreError(f"nothing like {asked.said['label']} was decided of that; there are\n{there}")
    for one in [asked] if any(one is asked for one in found) else found[:1]:
        told = []
        if one.site != asked.site:
            told.append(f"of {one.site}, where the test is about {asked.site}")
        if one.population != asked.population:
            told.append(f"of {one.said['population']}, where the test is about {asked.said['population']}")
        said = one.said | {name: asked.said[name] for name in ("operator", "threshold", "margin")}
        yield answer(Kept(asked.test, said, one.evidence), threshold, alpha, told)


def _opened(path: Path) -> Store:
    _there(path)
    store = Store(path)
    for message in store.messages:
        print(message, file=sys.stderr)
    return store


def _there(path: Path) -> None:
    if not path.is_file():
        raise StoreError(f"there is no {path}: pytest writes it as claims are decided (see --circuit-store)")


def _bytes(path: Path) -> int:
    parts = (path.with_name(f"{path.name}{end}") for end in ("", "-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def _size(path: Path) -> str:
    return f"{_bytes(path) / 2**20:.1f} MiB"
