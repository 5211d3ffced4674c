"""How far long work is, and how long it will take.

show = Progress(say=print, show=None)
show("sweep of patch L*.N*", 64, 46080)      # after every batch; "sweep of patch L*.N*: 46,080 runs will take about 52 min"
"""

import sys
import time
from collections.abc import Callable

from circuitcheck.texts import plain, plural

# Seconds before anything is shown, before an estimate is made, between two showings of one line, and between two lines.
_AT_ONCE, _MEASURED, _REWRITTEN, _LINES = 1, 3, 0.2, 60
# Work that takes longer than this, in seconds, is announced.
_LONG = 90


class Progress:
    """Called after every batch with what is being done, how many runs of it are done and how many there are. ``say`` writes a line
    that stays, ``show`` one that the next overwrites (None where there is no screen: then long work has a line a minute)."""

    def __init__(self, say: Callable[[str], object], show: Callable[[str], object] | None):
        self._say, self._show = say, show
        self._work, self._done = ("", 0), 0
        self._began = self._shown = self._said = 0.0
        self._first, self._is_told = 0, False

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if (what, total) != self._work or done < self._done:
            self._work, self._began, self._first, self._is_told = (what, total), now, done, False
        self._done = done
        if done >= total:
            self._work = ("", 0)
            return
        took = now - self._began
        is_measured = took > _MEASURED and done > self._first
        left = took * (total - done) / (done - self._first) if is_measured else 0.0
        if left + took > _LONG and is_measured and not self._is_told:
            self._is_told, self._said = True, now
            self._say(plain(f"{what}: {plural(total, 'run')} will take about {duration(left + took)}"))
        standing = (
            f"{what}: {done:,} of {plural(total, 'run')}{f', about {duration(left)} left' if is_measured else ''}"
        )
        if self._show is not None and took > _AT_ONCE and now - self._shown > _REWRITTEN:
            self._shown = now
            self._show(f"{plain(standing)} ")
        elif self._show is None and self._is_told and now - self._said > _LINES:
            self._said = now
            self._say(plain(standing))


def on_stderr() -> Callable[[str, int, int], None]:
    """For a model in a script, a shell or a notebook; where nobody looks at a screen, a line a minute of what takes long."""
    if not sys.stderr.isatty():
        return Progress(lambda line: print(line, file=sys.stderr, flush=True), None)

    def write(line: str, end: str) -> None:
        sys.stderr.write(f"\r\x1b[K{line}{end}")
        sys.stderr.flush()

    return Progress(lambda line: write(line, "\n"), lambda line: write(line, "\r"))


def duration(seconds: float) -> str:
    """So many seconds in words.

    >>> duration(40), duration(3000), duration(9000)
    ('40 s', '50 min', '2.5 h')
    """
    if seconds < _LONG:
        return f"{max(seconds, 1):.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < _LONG else f"{minutes / 60:.1f} h"
