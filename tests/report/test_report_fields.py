"""The records that reports are built from are what the schema describes, field by field and type by type."""

import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from circuitcheck.drawing.heatmaps import SweepFields
from circuitcheck.records import report_fields
from circuitcheck.report.schema import read
from circuitcheck.units import UNITS

DEFINITIONS = read()["$defs"]
RECORDS = {
    "model": report_fields.ModelFields,
    "settings": report_fields.SettingsFields,
    "claim": report_fields.ClaimFields,
    "effect": report_fields.EffectFields,
    "method": report_fields.MethodFields,
    "controls": report_fields.ControlsFields,
    "probe_controls": report_fields.ProbeControlsFields,
    "searched": report_fields.SearchFields,
    "duel": report_fields.DuelFields,
    "pair": report_fields.PairFields,
    "sweep": SweepFields,
}
JSON = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def kinds_of(hint: Any) -> set[str]:
    """The JSON types of a field's values, lists and mappings with those of what is in them."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return set().union(*map(kinds_of, inside))
    if origin is Literal:
        return {JSON[type(inside[0])]}
    if origin is list:
        return {f"array of {kind}" for kind in kinds_of(inside[0])}
    if origin is dict:
        return {f"object of {kind}" for kind in kinds_of(inside[1])}
    return {next(name for name, record in RECORDS.items() if record is hint) if is_typeddict(hint) else JSON[hint]}


def described(schema: dict[str, Any]) -> set[str]:
    """The same of a field of the schema."""
    if "$ref" in schema:
        return {schema["$ref"].rpartition("/")[2]}
    if "anyOf" in schema:
        return set().union(*map(described, schema["anyOf"]))
    if "enum" in schema:
        return {JSON[type(one)] for one in schema["enum"]}
    found = set()
    for kind in schema["type"] if isinstance(schema["type"], list) else [schema["type"]]:
        inside = {"array": "items", "object": "additionalProperties"}.get(kind)
        found |= {f"{kind} of {one}" for one in described(schema[inside])} if inside else {kind}
    return found


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_fields_that_the_schema_describes(name: str) -> None:
    hints = get_type_hints(RECORDS[name], include_extras=True)
    required = {field for field in RECORDS[name].__required_keys__ if get_origin(hints[field]) is not NotRequired}
    kinds = {
        field: kinds_of(get_args(hint)[0] if get_origin(hint) is NotRequired else hint) for field, hint in hints.items()
    }
    schema = DEFINITIONS[name]
    assert kinds == {field: described(content) for field, content in schema["properties"].items()}
    assert required - set(schema["required"]) <= {"asked"}  # which the reporter adds to a model
    assert set(schema["required"]) - required <= {"asked"}


def test_the_schema_knows_every_unit() -> None:
    assert DEFINITIONS["effect"]["properties"]["unit"]["enum"] == [*UNITS]


def test_everything_that_the_schema_defines_of_a_claim_has_a_record() -> None:
    assert set(DEFINITIONS) - set(RECORDS) == {"lock"}
