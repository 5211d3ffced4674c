"""Writing files: each is there whole, or as it was before; and what cannot be written costs a line, not the results."""

import errno
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Under these a process names its own open files.
_OF_PROCESSES = ("/dev/fd/", "/dev/std", "/proc/")
# How long another process is waited for that writes the same files.
_WAIT_S = 60.0
_inside: set[tuple[str, int]] = set()


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
    missing, and what was there stays where that fails. A device, a pipe or an open file (``/dev/stdout``) is written to as it
    is, and so is what a link leads to. Raises ``OSError``."""
    beside: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            if is_special(path):
                _write_to(path, content)
                continue
            place = Path(os.path.realpath(path))
            place.parent.mkdir(parents=True, exist_ok=True)
            beside[place] = place.with_name(f".circuitcheck-{secrets.token_hex(8)}.tmp")
            beside[place].write_bytes(content)
            if place.is_file():
                shutil.copymode(place, beside[place])
        _move(beside)
    finally:
        for new in beside.values():
            with suppress(OSError):
                new.unlink()


def _write_to(path: Path, content: bytes) -> None:
    try:
        # A pipe that nobody reads from would be waited for without an end.
        there = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads from it", str(path)) from None
        raise
    with os.fdopen(there, "wb") as file:
        os.set_blocking(there, True)
        file.write(content)


def _move(beside: Mapping[Path, Path]) -> None:
    """Move new files to their places; those that were moved before one that cannot be are put back. A file that has other names
    (hard links) is written to, so that it keeps them."""
    linked = [place for place in beside if place.exists() and place.stat().st_nlink > 1]
    before = {
        place: place.read_bytes() if place.exists() else None for place in dict.fromkeys([*[*beside][:-1], *linked])
    }
    touched: list[Path] = []
    try:
        for place, new in beside.items():
            if place in linked:
                touched.append(place)
                place.write_bytes(new.read_bytes())
            else:
                os.replace(new, place)
                touched.append(place)
    except OSError:
        for place in touched:
            if (content := before[place]) is None:
                place.unlink()
            else:
                place.write_bytes(content)
        raise


def is_special(path: Path) -> bool:
    """Whether there is a device, a pipe, a socket or a file that is open already (such as ``/dev/stdout``) at the path."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or (stat.S_ISREG(mode) and _is_open_already(path))


def _is_open_already(path: Path) -> bool:
    """Whether the path, or what it links to, is a process's own name for one of its files."""
    place = os.path.abspath(path)
    while not place.startswith(_OF_PROCESSES):
        if not os.path.islink(place):
            return False
        place = os.path.abspath(os.path.join(os.path.dirname(place), os.readlink(place)))
    return True


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Around reading and writing files that belong together: no other process is in such a block of the same folder. Where the
    system does not know such locks, or the folder is not there, the block is entered at once. Raises ``TimeoutError``."""
    key = os.path.realpath(folder), threading.get_ident()
    if key in _inside:
        yield
        return
    there = _locked(folder)
    _inside.add(key)
    try:
        yield
    finally:
        _inside.remove(key)
        if there is not None:
            os.close(there)


def _locked(folder: Path) -> int | None:
    """A folder that is open and locked until it is closed; None where it cannot be."""
    if fcntl is None:
        return None
    try:
        there = os.open(folder, os.O_RDONLY)
    except (OSError, ValueError):
        return None
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return there
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(there)
                words = f"another process has kept {folder} locked for {_WAIT_S:g} s"
                raise TimeoutError(errno.ETIMEDOUT, words) from None
            time.sleep(0.02)
        except OSError:  # a file system without locks
            os.close(there)
            return None
