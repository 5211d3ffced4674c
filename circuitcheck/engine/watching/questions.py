"""Questions to a model: what is computed while one is answered is of one and the same model.

    with engine.question():
        base, patched = answers.base(...), answers.each(...)

The model is looked at where the outermost question begins, unless it is not loaded yet. What was computed of a model that has changed since is forgotten. Of
one that is not as it was loaded, nothing is recalled and nothing is kept, in memory or on disk.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from circuitcheck.engine.watching.changes import Changes
from circuitcheck.engine.watching.fingerprints import of_changed
from circuitcheck.engine.watching.held import Held
from circuitcheck.errors import CircuitError
from circuitcheck.sampling.remembered import NotRemembered, Remembered


class Questions:
    """The questions to one model. ``forget`` forgets what was computed of it; ``on_change`` gets, in words, how a model that
    is asked differs from the one that was loaded. ``generation`` counts how often all was forgotten;
    ``depth`` says within how many questions we are; ``changes`` is what watches the model, None until it is loaded."""

    def __init__(self, held: Held, remembered: Remembered, forget: Callable[[], None]):
        self._held, self.remembered = held, remembered
        self.changes: Changes | None = None
        held.when_loaded(self._watch)
        self.on_change: Callable[[str], None] = lambda words: None
        self.generation, self._forget, self.depth = 0, forget, 0
        self._lock = threading.RLock()  # modules are replaced while a cone runs

    @contextmanager
    def one(self) -> Iterator[None]:
        """One question, and those that answering it takes."""
        with self._lock:
            if not self.depth:
                self._look()
            self.depth += 1
            try:
                yield
            except (CircuitError, NotRemembered):
                raise
            except BaseException:
                # What counts as checked since it was begun to be may not have been: Ctrl-C comes anywhere.
                self._forget()
                raise
            finally:
                self.depth -= 1

    @property
    def bridge(self) -> Any:
        """The model, loaded where it was not."""
        return self._held.bridge

    @property
    def is_changed(self) -> bool:
        """Whether it was not as it was loaded when it was last looked at."""
        return self.changes is not None and bool(self.changes.words or self.changes.foreign)

    @property
    def fingerprint(self) -> str:
        """Which model it was when it was last looked at."""
        loaded, changed = self.remembered.fingerprint, "" if self.changes is None else self.changes.words
        return of_changed(loaded, changed, self.bridge) if changed else loaded

    def _watch(self, bridge: Any) -> None:
        self.changes = Changes(bridge, is_late=self._held.is_late)
        self.remembered.off = self.remembered.off or self.is_changed

    def _look(self) -> None:
        self._held.see()
        changes = self.changes
        if changes is None:
            return
        # Somebody's hook may give another number each time, though it is the same hook: one answer is good for one question.
        if changes.look() or self.is_changed:
            self.generation += 1
            self._forget()
        self.remembered.off = self.is_changed
        if changes.words:
            self.on_change(changes.words)
