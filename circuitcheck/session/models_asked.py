"""The models that a session asks: each by name or path, with what is otherwise for it than the session's options say.

--circuit-model=gpt2
--circuit-model=gpt2 --circuit-model=gpt2,dtype=bfloat16
--circuit-model='runs/checkpoint-*'
--circuit-model=EleutherAI/pythia-70m,revision=step3000
--circuit-model=gpt2,adapter=runs/checkpoint-500
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from circuitcheck.models.checkpoints import by_step, is_model
from circuitcheck.session.dictionaries_asked import Dictionary, dictionaries_of
from circuitcheck.texts import plain

OPTIONS = ("dtype", "weights", "device", "revision", "adapter", "bos")
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Asked:
    """One model as it was asked for: ``text`` is all that was said, and its name in reports and locks. ``dictionaries``: those that are
    attached to it."""

    text: str
    name: str
    options: tuple[tuple[str, str], ...] = ()
    dictionaries: tuple[Dictionary, ...] = ()

    def __str__(self) -> str:
        return self.text

    def source(self, root: Path) -> Path | str:
        """Where it is, seen from ``root``; otherwise its name."""
        return here if (here := root / self.name).exists() else self.name


def asked_of(config: pytest.Config) -> list[Asked]:
    """The models of ``--circuit-model``, or of ``circuit_model`` in the ini file; raises ``UsageError`` for what names none."""
    given = named(config)
    if given is None:
        given = config.getini("circuit_model")
    return with_dictionaries(config, read(given, config.rootpath))


def with_dictionaries(config: pytest.Config, models: Sequence[Asked], marked: object = None) -> list[Asked]:
    """The models with the dictionaries that a session, and a marker, attaches to them."""
    dictionaries = dictionaries_of(config, marked)
    return [replace(one, dictionaries=dictionaries) for one in models]


def named(config: pytest.Config) -> list[str] | None:
    """What ``--circuit-model`` says, None where it is not given."""
    given: list[str] | None = config.getoption("circuit_model")
    return given


def read(given: Sequence[str], root: Path) -> list[Asked]:
    """Models in the order given, checkpoints of a pattern in the order of their steps, each once."""
    return list(dict.fromkeys(asked for text in given if text for asked in _read(text, root)))


def _read(text: str, root: Path) -> Iterator[Asked]:
    name, *said = text.split(",") if not (root / text).exists() else [text]
    options = []
    for one in said:
        option, _, value = one.partition("=")
        if option not in OPTIONS or not value:
            raise pytest.UsageError(
                f"--circuit-model={plain(text)}: behind a model's name stand {', '.join(f'{known}=...' for known in OPTIONS)}, not {one!r}"
            )
        options.append((option, value))
    if not name:
        raise pytest.UsageError(f"--circuit-model={plain(text)} names no model")
    if not _PATTERN.search(name) or (root / name).exists():
        yield Asked(text, name, tuple(options))
        return
    whole = Path(name).is_absolute()
    start = Path(Path(name).anchor) if whole else root
    found = [path for path in start.glob(str(Path(name).relative_to(start) if whole else name)) if is_model(path)]
    if not found:
        raise pytest.UsageError(
            f"--circuit-model={plain(text)}: no model's folder or file goes by that, looked for from {root}"
        )
    for path in by_step(found):
        place = str(path if whole else path.relative_to(root))
        yield Asked(",".join([place, *said]), place, tuple(options))
