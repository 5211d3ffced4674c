"""A bridge that is loaded when it is first needed, and watched from then on.

held = Held(load)
held.is_loaded      # False
held.bridge         # load()'s, once

As long as nothing has loaded it, and nothing has imported PyTorch, nothing can have changed it.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any


class Held:
    """The bridge that ``load`` gives. ``is_late``: somebody else had imported PyTorch before it was loaded, and may have changed functions
    that it calls."""

    def __init__(self, load: Callable[[], Any]):
        self._load, self._bridge, self.is_late = load, None, False
        self._lock, self._watchers = threading.RLock(), list[Callable[[Any], None]]()

    @classmethod
    def of(cls, bridge: Any) -> "Held":
        """One that is there already."""
        held = cls(lambda: bridge)
        held._bridge = bridge
        return held

    @property
    def is_loaded(self) -> bool:
        return self._bridge is not None

    @property
    def bridge(self) -> Any:
        """Raises what loading raises."""
        with self._lock:
            if self._bridge is None:
                self.is_late = "torch" in sys.modules
                bridge = self._load()
                for watch in self._watchers:
                    watch(bridge)
                self._bridge, self._watchers = bridge, []
            return self._bridge

    def when_loaded(self, watch: Callable[[Any], None]) -> None:
        """Call ``watch`` with the bridge, before anybody else gets it; at once, where it is loaded."""
        with self._lock:
            if self._bridge is None:
                self._watchers.append(watch)
            else:
                watch(self._bridge)

    def see(self) -> None:
        """Load it where somebody else has imported PyTorch: from then on it could be changed, and is to be watched."""
        if self._bridge is None and "torch" in sys.modules:
            _ = self.bridge
