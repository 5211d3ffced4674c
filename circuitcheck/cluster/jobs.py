"""A job: the claims of one file about one model, with what it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """``model`` as it is asked for; ``file`` and ``tests`` (names without that of the model), seen from pytest's root; ``memory``: bytes that
    a process takes that loads the model, of which ``weights`` are the model's on disk; ``paths``: files and folders that it reads."""

    model: str
    file: str
    tests: tuple[str, ...]
    weights: int
    memory: int
    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file} of {self.model}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a store may know the model by."""
        name = self.model.partition(",")[0]
        return self.model, name, Path(name).name


@dataclass(frozen=True)
class Outcome:
    """What became of a job on a node: pytest's exit ``code``, negative for a signal that ended it, None where the node was lost; the last
    lines that it wrote; and what kept tests from being asked at all, such as a model that could not be loaded."""

    code: int | None
    tail: str = ""
    problems: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether pytest came to its end; what verdicts came out is another question."""
        return self.code in (0, 1)

    def __str__(self) -> str:
        if self.code is None:
            return "its node was lost"
        return f"it was ended by signal {-self.code}" if self.code < 0 else f"pytest ended with {self.code}"


@dataclass(frozen=True)
class Order:
    """What all jobs have in common: pytest's ``root`` on the head, its ``options`` but for what is collected, the packed working
    directory, and the ``paths`` of all models."""

    root: str
    options: tuple[str, ...]
    archive: bytes
    paths: tuple[str, ...]


def models_of(jobs: Sequence[Job]) -> list[str]:
    """Each model once."""
    return list(dict.fromkeys(job.model for job in jobs))
