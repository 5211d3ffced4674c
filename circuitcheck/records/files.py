"""Writing files: each is there whole, or as it was before; and what cannot be written costs a line, not the results."""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def told_in_a_line(lines: list[str], doing: str) -> Iterator[None]:
    """Around work that must not take results with it: an error inside becomes a line such as ``doing: No space left``."""
    try:
        yield
    except Exception as error:
        lines.append(f"{doing}: {reason(error)}")


def reason(error: BaseException) -> str:
    """Why something failed, in a line without the names of temporary files."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def write(path: Path, content: bytes) -> None:
    """Write a file whole: see ``write_together``."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none: beside their places first, then moved there; folders are made where they are
    missing, and what was there stays where that fails. A device or a pipe is written to as it is. Raises ``OSError``."""
    beside: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            if is_special(path):
                path.write_bytes(content)
                continue
            place = Path(os.path.realpath(path))
            place.parent.mkdir(parents=True, exist_ok=True)
            beside[place] = place.with_name(f".circuitcheck-{os.getpid()}-{len(beside)}.tmp")
            beside[place].write_bytes(content)
            if place.is_file():
                shutil.copymode(place, beside[place])
        _move(beside)
    finally:
        for new in beside.values():
            with suppress(OSError):
                new.unlink()


def _move(beside: Mapping[Path, Path]) -> None:
    """Move new files to their places; those that were moved before one that cannot be are put back."""
    first = [*beside][:-1]
    before = {place: place.read_bytes() if place.exists() else None for place in first}
    moved: list[Path] = []
    try:
        for place, new in beside.items():
            os.replace(new, place)
            moved.append(place)
    except OSError:
        for place in moved:
            if (content := before[place]) is None:
                place.unlink()
            else:
                place.write_bytes(content)
        raise


def is_special(path: Path) -> bool:
    """Whether there is a device, a pipe or a socket at the path."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
