"""Which model it is: known by its files, and by what is made of them.

    files = Files.of({path.name: path for path in folder.glob("*.safetensors")}, store)
    Identity(files.digests, weights="processed", bos=0, dtype="float32").fingerprint   # '9f0c2a...', 16 hex digits

Files count by name, size and content: weights, configuration, tokenizer. What reads them counts no further: the versions of
libraries and the device are noted with each number, and are no part of which model it is. A file that is as it was when its
hash was taken (size, times of writing and of any change to its entry, inode) is not read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from circuitcheck.errors import ModelError
from circuitcheck.records.store import Store

# Goes up with what an identity is made of; of the first one, locks say nothing (it read tensors as they were loaded, and
# libraries' own defaults).
DEFINITION = 2
# The clock of a file's times may be this coarse: what was written so recently may be written again and look the same.
_SETTLED_S = 3.0


@dataclass(frozen=True)
class Identity:
    """What a model is made of: the ``digests`` of its files (name, size, hash); whether LayerNorm is folded and writing weights
    centred (``weights``); the token that is put in front of text (``bos``); the ``dtype``. ``content``: a hash of what no file
    says, of a model that was made or wrapped elsewhere, or whose tokenizer is not among the files."""

    digests: tuple[tuple[str, int, str], ...]
    weights: str
    bos: int | None
    dtype: str
    content: str = ""

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all of it."""
        said = json.dumps({"definition": DEFINITION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Files:
    """Files by the names that they count under, as they were when they were read. ``stamps``: what a file that was not changed
    has kept."""

    paths: Mapping[str, Path]
    stamps: tuple[str, ...]
    digests: tuple[tuple[str, int, str], ...]

    @staticmethod
    def of(paths: Mapping[str, Path], store: Store | None) -> "Files":
        """Read what a store does not remember. Raises ``ModelError`` for a file that changes meanwhile."""
        ordered = dict(sorted(paths.items()))
        stamps = tuple(map(_stamp, ordered.values()))
        digests = [_digest(path, stamp, store) for path, stamp in zip(ordered.values(), stamps, strict=True)]
        sizes = [int(stamp.split()[0]) for stamp in stamps]
        found = Files(ordered, stamps, tuple(zip(ordered, sizes, digests, strict=True)))
        found.check_unchanged()
        return found

    def check_unchanged(self) -> None:
        """Raises ``ModelError`` where a file is not what it was when it was read."""
        for path, stamp in zip(self.paths.values(), self.stamps, strict=True):
            if _stamp(path) != stamp:
                raise ModelError(
                    f"{path} was written while the model was loaded from it: load it again when it is done"
                )


def _stamp(path: Path) -> str:
    """What writing to a file, or putting another in its place, changes."""
    try:
        there = os.stat(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from None
    return f"{there.st_size} {there.st_mtime_ns} {there.st_ctime_ns} {there.st_ino}"


def _digest(path: Path, stamp: str, store: Store | None) -> str:
    place = str(path.resolve())
    known = None if store is None else store.digest(place, stamp)
    if known is not None:
        return known
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from None
    _, written, changed, _ = map(int, stamp.split())
    if store is not None and time.time_ns() - max(written, changed) > _SETTLED_S * 1e9:
        store.note_digest(place, stamp, found)
    return found
