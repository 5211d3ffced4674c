"""PyTorch, imported when something of it is first used: where every number is remembered, that is never.

from circuitcheck.engine.on_demand import torch

Annotations are read as modules are imported: until then, tensors have a stand-in, of which nothing is an instance.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
else:

    class _Torch:
        """The module, in the place of which it stands."""

        def __getattr__(self, name: str) -> Any:
            if name in _STAND_INS and "torch" not in sys.modules:
                return _STAND_INS[name]
            import torch

            return getattr(torch, name)

    _STAND_INS = {name: type(name, (), {"__module__": "torch"}) for name in ("Tensor", "device", "dtype")}
    torch = _Torch()
