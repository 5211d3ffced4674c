"""Token ids and lists as users give them."""

from collections.abc import Mapping, Set
from operator import index
from typing import Any


def id_of(given: Any) -> int:
    """A token id as a plain integer; NumPy's and torch's are integers, too, and so are their arrays with one element.

    Raises ``TypeError`` for what is none, and for truth values, which Python takes for 0 and 1.
    """
    if _is_array(given) and given.shape:
        row = _row_of(given)
        given = row[0] if len(row) == 1 else given
    if isinstance(given, bool) or str(getattr(given, "dtype", "")).endswith("bool"):
        raise TypeError(f"{given!r} is no token id")
    return index(given)


def members(given: Any) -> list[Any]:
    """What is in a list, or in an array of one row; of a set in an order that is the same in every session; of all else that by
    itself. Raises ``TypeError`` for an array of several rows."""
    if isinstance(given, str | bytes | bytearray | memoryview | Mapping):
        return [given]
    if isinstance(given, Set):
        return sorted(given, key=str)
    if _is_array(given):
        return _row_of(given) if given.shape else [given]
    try:
        return list(given)
    except TypeError:
        return [given]


def _is_array(given: Any) -> bool:
    """Whether it is an array of NumPy's or torch's, or what has their shape and lists."""
    return hasattr(given, "shape") and hasattr(given, "tolist")


def _row_of(array: Any) -> list[Any]:
    """The elements of an array in which at most one dimension is longer than 1."""
    if sum(size != 1 for size in array.shape) > 1:
        raise TypeError(f"an array of shape {tuple(array.shape)} is no row of token ids")
    row: list[Any] = array.reshape(-1).tolist()
    return row
