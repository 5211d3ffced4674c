"""Where models are kept that were made here of something else: ``CIRCUITCHECK_CACHE``, or the user's cache folder.

made("smollm2-q4", convert)      # the folder, made by convert(folder) where it is not there yet
"""

import glob
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from circuitcheck.errors import ModelError
from circuitcheck.records.files import reason

_UNFINISHED = ".unfinished-"


def place() -> Path:
    """The folder that all of them are in; it need not be there."""
    given = os.environ.get("CIRCUITCHECK_CACHE")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("circuitcheck", appauthor=False)


def kept(name: str) -> Path | None:
    """The folder of a model, None where it was not made."""
    folder = place() / name
    return folder if folder.is_dir() else None


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of a model. Where it is not there, ``make`` fills one that is moved to its place when it is whole: what is
    interrupted leaves nothing. Raises ``ModelError`` where the cache cannot be written."""
    if (there := kept(name)) is not None:
        return there
    cache = place()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for left in cache.glob(f"{_UNFINISHED}{glob.escape(name)}-*"):  # by what was killed
            if not _is_running(left):
                shutil.rmtree(left, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{name}-{os.getpid()}-", dir=cache))
    except OSError as error:
        raise ModelError(
            f"models cannot be kept in {cache} ({reason(error)}): set CIRCUITCHECK_CACHE to a folder that can be written"
        ) from error
    try:
        make(unfinished)
        unfinished.chmod(0o755)
        os.replace(unfinished, cache / name)
    except OSError as error:
        if kept(name) is None:  # otherwise another process was faster
            raise ModelError(f"{name} could not be written to {cache} ({reason(error)})") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return cache / name


def _is_running(unfinished: Path) -> bool:
    """Whether the process that makes a folder is there still."""
    import psutil

    process = unfinished.name.rpartition("-")[0].rpartition("-")[2]
    return process.isdigit() and psutil.pid_exists(int(process))
