"""The schema of the JSON report, and its fields as the tables of docs/reference/reports.md.

    python -m circuitcheck.report.schema docs/reference/reports.md     # writes the tables again

A field is added in schema.json alone: tests hold real reports and the page against it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("schema.json")
BEGIN, END = "<!-- fields: from circuitcheck/report/schema.json -->", "<!-- end of fields -->"

Schema = dict[str, Any]


def read() -> Schema:
    """The schema (JSON Schema 2020-12)."""
    content: Schema = json.loads(PATH.read_text(encoding="utf-8"))
    return content


def with_tables(page: str) -> str:
    """A page with the tables of all fields between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{_tables(read())}\n{END}{after}"


def _tables(schema: Schema) -> str:
    parts = [("The report", schema), *schema["$defs"].items()]
    return "\n".join(line for name, part in parts for line in _table(name, part))


def _table(name: str, schema: Schema) -> Iterator[str]:
    title = name if name == "The report" else f"`{name}`"
    yield from (f"### {title}", "", schema["description"], "", "| field | type | meaning |", "|---|---|---|")
    for field, content in schema["properties"].items():
        shown = f"`{field}`" if field in schema["required"] else f"`{field}` (not always there)"
        meaning = content["description"].replace("|", "\\|")
        yield f"| {shown} | {_type(content)} | {meaning} |"
    yield ""


def _type(schema: Schema) -> str:
    """The type of a field in words."""
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    named = ["array of " + _type(schema["items"]) if kind == "array" else kind for kind in kinds]
    return " or ".join(named)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
