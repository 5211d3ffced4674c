"""The working directory of jobs: what pytest's root has but for models, packed on the head and laid out again on a node.

Models stay where they are: their paths lead there by links, and must be present on the nodes.
"""

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from circuitcheck.errors import CircuitError

_MOST = 200 * 2**20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt", ".h5", ".msgpack", ".onnx")
# What is made anew, or is not read by tests. Counterexamples are: they are tried first.
_LEFT = {"__pycache__", "node_modules", "site-packages"}
_SEARCHED = (".circuitcheck", "counterexamples")


def packed(root: Path, paths: Sequence[str]) -> bytes:
    """The files under a folder as a zip archive, without ``paths``, weights and hidden files. Raises ``CircuitError`` where they are many."""
    without = {_whole(root, path) for path in paths}
    buffer, size = io.BytesIO(), 0
    sizes: dict[str, int] = {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(root, without):
            inside = file.relative_to(root)
            bytes_of = file.stat().st_size
            size, top = size + bytes_of, inside.parts[0]
            sizes[top] = sizes.get(top, 0) + bytes_of
            if size > _MOST:
                largest = ", ".join(
                    f"{name} {many / 2**20:,.0f} MB"
                    for name, many in sorted(sizes.items(), key=lambda one: -one[1])[:3]
                )
                raise CircuitError(
                    f"{root}, pytest's root, has more than {_MOST / 2**20:.0f} MB besides models, too much to be sent to every job ({largest} so far): "
                    "give the claims a folder with a pytest.ini of their own, or move data out of it"
                )
            archive.write(file, inside)
    return buffer.getvalue()


def lay_out(archive: bytes, root: Path, folder: Path, paths: Sequence[str]) -> Path:
    """The working directory on a node, under ``folder``, where it has as many folders above it as the root has, so that paths such as
    ../models lead there, too."""
    place = _under(folder, root)
    place.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as packed_files:
        packed_files.extractall(place)
    for path in paths:
        there = _whole(root, path)
        link = _under(folder, there)
        if not Path(path).is_absolute() and not link.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(there)
    return place


def missing(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Those paths that are not on this machine."""
    return tuple(path for path in paths if not _whole(root, path).exists())


def _whole(root: Path, path: str) -> Path:
    return Path(os.path.normpath(root / Path(path).expanduser()))


def _under(folder: Path, place: Path) -> Path:
    return folder / "root" / place.relative_to(place.anchor)


def _files(root: Path, without: set[Path]) -> Iterator[Path]:
    for place, folders, files in os.walk(root):
        here = Path(place)
        inside = here.relative_to(root).parts
        folders[:] = [
            name for name in sorted(folders) if here / name not in without and _goes_along(here / name, inside)
        ]
        for name in sorted(files):
            file = here / name
            hidden = name.startswith(".") or inside == _SEARCHED[:1]
            if file not in without and file.suffix not in _WEIGHTS and not hidden and file.is_file():
                yield file


def _goes_along(folder: Path, inside: tuple[str, ...]) -> bool:
    if inside[:1] == _SEARCHED[:1] or folder.name == _SEARCHED[0]:
        return (*inside, folder.name) in (_SEARCHED[:1], _SEARCHED)
    return not folder.name.startswith(".") and folder.name not in _LEFT and not (folder / "pyvenv.cfg").exists()
