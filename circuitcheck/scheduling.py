"""Claims over several workers (pytest-xdist): those of one model stay on one worker, then those of one file.

A model that a worker has loaded, and what it has computed of it, serves all of its claims.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from circuitcheck.asked import without


class ClaimScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Work units are the claims of a model in a file; ``models`` are those that were asked, by their names in tests' ids."""

    def __init__(self, config: pytest.Config, log: Any, models: Sequence[str]):
        super().__init__(config, log)
        self.models = models
        self._has: dict[Any, str] = {}
        self.workqueue: OrderedDict[str, dict[str, bool]]

    def _split_scope(self, nodeid: str) -> str:
        return f"{nodeid.partition('::')[0]}::{self._model_of(nodeid)}"

    def _assign_work_unit(self, node: Any) -> None:
        """Give a worker its next unit: of the model that it has, or else of one that no other has, or else of any."""
        first = self._next(node)
        self.workqueue = OrderedDict([(first, self.workqueue.pop(first)), *self.workqueue.items()])
        self._has[node] = first.partition("::")[2]
        super()._assign_work_unit(node)

    def _next(self, node: Any) -> str:
        taken = {model for other, model in self._has.items() if other is not node and other in self.nodes}
        own = self._has.get(node)
        ranks = [(model != own, model in taken) for model in (scope.partition("::")[2] for scope in self.workqueue)]
        return list(self.workqueue)[min(range(len(ranks)), key=ranks.__getitem__)]

    def _model_of(self, nodeid: str) -> str:
        return next((model for model in self.models if without(nodeid, model) != nodeid), "")
