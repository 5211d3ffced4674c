"""What was measured, as test-report properties: JSON scalars under indexed keys.

    circuit.claim              "L1.N8 alone restores 40 % of the article"
    circuit.model.name         "bundled"
    circuit.0.estimate         0.522
    circuit.0.method.value     "clean activation"

JUnit files, xdist and other reporters carry such properties for free.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from circuitcheck.texts import encodable

PREFIX = "circuit."
# What every report of a claim has.
CLAIM = f"{PREFIX}claim"
_TEXT = "(json)"
Scalar = str | int | float | bool | None


def to_properties(content: Mapping[str, Any], prefix: str = PREFIX) -> list[tuple[str, Scalar]]:
    """Nested mappings as (dotted key, scalar) couples."""
    properties: list[tuple[str, Scalar]] = []
    for key, value in content.items():
        if isinstance(value, list | tuple) or (
            isinstance(value, Mapping) and not (value and all(map(_is_name, value)))
        ):
            # Lists, mappings of nothing and keys in the user's own words travel as JSON text.
            properties.append((f"{prefix}{key}{_TEXT}", encodable(json.dumps(value, ensure_ascii=False))))
        elif isinstance(value, Mapping):
            properties += to_properties(value, f"{prefix}{key}.")
        else:
            properties.append((f"{prefix}{key}", encodable(value) if isinstance(value, str) else _plain(value)))
    return properties


def _plain(value: Any) -> Scalar:
    """A number as Python's own: workers send no numpy scalars."""
    plain: Scalar = value.item() if hasattr(value, "item") else value
    return plain


def _is_name(key: object) -> bool:
    return str(key).isidentifier() or str(key).isdigit()


def from_properties(properties: Iterable[tuple[str, object]]) -> dict[str, Any]:
    """The nested mappings again, with None for numbers that JSON does not have; empty where no property is ours."""
    content: dict[str, Any] = {}
    for key, value in properties:
        if not key.startswith(PREFIX):
            continue
        *path, last = key.removeprefix(PREFIX).split(".")
        inside = content
        for step in path:
            inside = inside.setdefault(step, {})
        if last.endswith(_TEXT):
            inside[last.removesuffix(_TEXT)] = json.loads(str(value), parse_constant=lambda _: None)
        else:
            inside[last] = None if isinstance(value, float) and not math.isfinite(value) else value
    return content
