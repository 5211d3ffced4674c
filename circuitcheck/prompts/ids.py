"""Token ids and lists as users give them."""

from collections.abc import Mapping, Set
from operator import index
from typing import Any


def id_of(given: Any) -> int:
    """A token id as a plain integer; NumPy's and torch's are integers, too.

    Raises ``TypeError`` for what is none, and for truth values, which Python takes for 0 and 1.
    """
    if isinstance(given, bool) or str(getattr(given, "dtype", "")).endswith("bool"):
        raise TypeError(f"{given!r} is no token id")
    return index(given)


def members(given: Any) -> list[Any]:
    """What is in a list or an array, of a set in an order that is the same in every session; of all else that by itself."""
    if isinstance(given, str | bytes | bytearray | memoryview | Mapping):
        return [given]
    if isinstance(given, Set):
        return sorted(given, key=str)
    try:
        return list(given)
    except TypeError:  # as of an array without dimensions, which is iterable by its type
        return [given]
