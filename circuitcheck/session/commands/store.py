"""The commands that look into a store: ``circuitcheck store show|prune|check`` and ``circuitcheck decide``."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from circuitcheck.errors import StoreError
from circuitcheck.records.decisions import Kept, answered, readable, why_final
from circuitcheck.records.store import Store
from circuitcheck.records.store_files import check
from circuitcheck.texts import plain, plural

_DAY_S = 86_400


def show(path: Path) -> int:
    """Print what there is, by model."""
    with closing(_opened(path)) as store:
        models, tests = store.models(), {test for test, content in store.decisions() if not why_final(content)}
        origins = store.by_origin()
    print(f"{path}: {_size(path)}, {plural(len(tests), 'test')} can be decided again")
    rows = [
        (model.name or "?", model.model, f"{model.experiments:,}", f"{model.numbers:,}", _when(model.used))
        for model in models
    ]
    if rows:
        table = [("model", "fingerprint", "experiments", "numbers", "last used"), *rows]
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print(f"  {plain('  '.join(cells))}".rstrip())
    for origin in dict.fromkeys(origin for _, origin, _ in origins):
        of = [(model, many) for model, one, many in origins if one == origin]
        numbers = plural(sum(many for _, many in of), "number")
        print(plain(f"  {numbers} of {plural(len(of), 'model')} computed by {origin}"))
    return 0


def prune(path: Path, days: float, model: str) -> int:
    """Remove what was not used for so many days; everything, with 0."""
    store, before = _opened(path), _bytes(path)
    gone = store.prune(time.time() - days * _DAY_S + (1 if days == 0 else 0), model)
    store.close()
    print(f"removed {plural(gone, 'number')}; {path} was {before / 2**20:.1f} MiB and is {_size(path)}")
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
    """Print the decisions at another threshold; 1 where one is not supported, 2 where something that was asked for is not
    decided again, or cannot be read."""
    kept, unread = list[Kept](), list[str]()
    with closing(_opened(path)) as store:
        decisions = store.decisions()
    for name, content in decisions:
        if why := why_final(content):
            unread += [f"{name} is not decided again, but run: {why}"] if test in name else []
            continue
        try:
            kept.append(readable(name, content))
        except StoreError as error:
            unread += [str(error)] if test in name else []
    asked = [one for one in kept if test in one.test]
    if not asked and not unread:
        known = "\n".join(f"  {name}" for name in dict.fromkeys(one.test for one in kept))
        raise StoreError(f"no test that was decided is called {test!r}; there are\n{known or '  none'}")
    found = set[str]()
    for one in asked:
        try:
            for decision, words in _answers(one, kept, threshold, alpha, site, population):
                found.add(decision)
                print(plain(words))
        except StoreError as error:
            unread.append(str(error))
    for words in unread:
        print(plain(words), file=sys.stderr)
    return 2 if unread else int(found != {"supported"})


def _answers(
    asked: Kept,
    kept: list[Kept],
    threshold: float | None,
    alpha: float | None,
    site: str | None,
    population: str | None,
) -> Iterator[tuple[str, str]]:
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
        yield answered(Kept(asked.test, said, one.evidence), threshold, alpha, told)


def _opened(path: Path) -> Store:
    _there(path)
    store = Store(path, lambda words: print(plain(words), file=sys.stderr))
    if store.off:
        raise StoreError(store.messages[-1])
    for message in store.messages:
        print(plain(message), file=sys.stderr)
    return store


def _there(path: Path) -> None:
    if not path.is_file():
        raise StoreError(f"there is no {path}: pytest writes it as claims are decided (see --circuit-store)")


def _when(used: int) -> str:
    """A moment in seconds since 1970, in words."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
    except (OverflowError, ValueError, OSError):
        return "?"


def _bytes(path: Path) -> int:
    parts = (path.with_name(f"{path.name}{end}") for end in ("", "-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def _size(path: Path) -> str:
    return f"{_bytes(path) / 2**20:.1f} MiB"
