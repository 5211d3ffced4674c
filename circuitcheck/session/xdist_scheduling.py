"""Claims over several workers (pytest-xdist): those of one model stay on one worker, then those of one file.

A model that a worker has loaded, and what it has computed of it, serves all of its claims.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from circuitcheck.texts import without


class ClaimScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Work units are the claims of a model in a file; ``models`` are those that were asked, by their names in tests' ids."""

    def __init__(self, config: pytest.Config, log: Any, models: Sequence[str]):
        super().__init__(config, log)
        self.models = models
        self._has: dict[Any, str] = {}
        self.numnodes: int
        self.workqueue: OrderedDict[str, dict[str, bool]]

    def _split_scope(self, nodeid: str) -> str:
        return f"{nodeid.partition('::')[0]}::{self._model_of(nodeid)}"

    def _assign_work_unit(self, node: Any) -> None:
        """Give a worker its next unit: of the model that it has, or else of one that no other has. Where there are fewer models
        than workers one of any; otherwise it has nothing more to do."""
        taken = {model for other, model in self._has.items() if other is not node and other in self.nodes}

        def distance(scope: str) -> tuple[bool, bool]:
            model = scope.partition("::")[2]
            return model != self._has.get(node), model in taken

        next_one = min(self.workqueue, key=distance)
        if distance(next_one) == (True, True) and len(self.models) >= self.numnodes > 1:
            node.shutdown()
            return
        self._has[node] = next_one.partition("::")[2]
        self.workqueue.move_to_end(next_one, last=False)
        super()._assign_work_unit(node)

    def _model_of(self, nodeid: str) -> str:
        return next((model for model in self.models if without(nodeid, model) != nodeid), "")
