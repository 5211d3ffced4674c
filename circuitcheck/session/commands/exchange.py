"""``circuitcheck store merge|export|import``: numbers that were computed elsewhere, in the one store that verdicts are made from."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from circuitcheck.errors import StoreError
from circuitcheck.records.exchange import lines
from circuitcheck.records.exchange.content import Content
from circuitcheck.records.exchange.merging import Merged, merge, named
from circuitcheck.records.exchange.sources import contents
from circuitcheck.records.files import is_special, reason, write
from circuitcheck.texts import plain, plural


def merge_stores(stores: list[Path], into: Path) -> int:
    """Bring stores together in one; 1 where numbers of different origins disagree."""
    return _merged({str(path): contents(path) for path in stores}, into)


def import_files(files: list[Path], into: Path) -> int:
    """Bring what was exported into a store; 1 where numbers of different origins disagree."""
    return _merged({str(path): _read(path) for path in files}, into)


def export(path: Path, store: Path, model: str) -> int:
    """Write a store, or what is remembered of one model, to a file of text (-: print it)."""
    counted = Merged()

    def counting() -> Iterator[Content]:
        for content in contents(store, [model] if model else None):
            counted.new.update(row[0].origin for row in content.numbers)
            yield content

    written = lines.written(counting())
    if path == Path("-"):
        sys.stdout.writelines(written)
        return 0
    if model and not any(one.numbers for one in contents(store, [model])):
        raise StoreError(f"{store} has nothing of a model {model!r}; circuitcheck store says which there are")
    if path.exists() and not is_special(path):
        raise StoreError(f"there is a file {path} already: name another, or remove it")
    try:
        write(path, "".join(written).encode())
    except OSError as error:
        raise StoreError(f"could not write {path}: {reason(error)}") from None
    print(plain(f"wrote {path}: {plural(counted.new.total(), 'number')}{_by_origin(counted)}"))
    return 0


def _read(path: Path) -> Iterator[Content]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            yield from lines.read(file, str(path))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from None


def _merged(sources: Mapping[str, Iterable[Content]], into: Path) -> int:
    merged = merge(into, sources)
    known = f"; {merged.known:,} of the same origin were there already" if merged.known else ""
    print(plain(f"{plural(merged.new.total(), 'new number')} in {into}{known}{_by_origin(merged)}"))
    if not merged.of_origins:
        return 0
    print(
        plain(
            "numbers of different origins disagree by more than rounding; both are in the store, and a claim has those of one origin "
            f"(--circuit-origin=here: of this session's alone):\n{named(merged.of_origins)}"
        ),
        file=sys.stderr,
    )
    return 1


def _by_origin(merged: Merged) -> str:
    """A line for each origin of numbers."""
    return "".join(f"\n  {count:,} of {origin}" for origin, count in merged.new.most_common())
