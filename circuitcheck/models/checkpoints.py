"""Checkpoints of one training run: which folder is one, and after how many steps it was saved."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from circuitcheck.texts import natural

# checkpoint-500, step3000, global_step_20: as trainers name folders, and hub repositories their revisions.
_STEP = re.compile(r"(?:checkpoint|step)[-_]?(\d+)$", re.IGNORECASE)


def step_of(name: str | Path) -> int | None:
    """The training step of a checkpoint: as its trainer's state says, or its name; None where neither does."""
    state = Path(name) / "trainer_state.json"
    try:
        step = json.loads(state.read_text(encoding="utf-8"))["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        found = _STEP.search(Path(name).stem)
        return int(found[1]) if found else None
    return int(step) if isinstance(step, int) else None


def by_step(paths: Sequence[Path]) -> list[Path]:
    """In the order of training; others after them, by name, numbers in it as numbers."""

    def place(path: Path) -> tuple[bool, int, list[str | int]]:
        step = step_of(path)
        return step is None, step or 0, natural(str(path))

    return sorted(paths, key=place)


def is_model(path: Path) -> bool:
    """Whether a folder or file is one that can be loaded: beside checkpoints lie logs and optimizers' states."""
    if path.is_dir():
        return (path / "config.json").is_file()
    return path.suffix in (".pt", ".safetensors") and path.with_name(f"{path.stem}.config.json").is_file()
