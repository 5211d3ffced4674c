"""The manual's page of the Python API, out of docstrings.

    ```{api} Model Run mean
    ```

A Sphinx directive: each public function or class, with its public methods, as `py:` directives in Markdown. Files are parsed and
nothing is imported, since the package's faces import torch, which takes longer than all of the manual.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils.nodes import Node
from sphinx.util.docutils import SphinxDirective

import circuitcheck

ROOT = Path(circuitcheck.__file__).parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Api(SphinxDirective):
    """Shows the functions and classes that its arguments name: as `circuitcheck` exports them, or in full."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[Node]:
        """The nodes of all of them."""
        text = "\n".join(line for name in self.arguments[0].split() for line in described(name))
        return self.parse_text_to_nodes(text)


def described(name: str) -> Iterator[str]:
    """The lines of a function, or of a class with its methods."""
    module, _, last = name.rpartition(".")
    file = (module or circuitcheck._HOME_OF[last]).replace(".", "/")
    path = next(path for path in (ROOT / f"{file}.py", ROOT / file / "__init__.py") if path.exists())
    body = ast.parse(path.read_text(encoding="utf-8")).body
    node = next(node for node in body if isinstance(node, Function | ast.ClassDef) and node.name == last)
    if isinstance(node, Function):
        yield from _block("function", f"{last}({_arguments(node)})", _markdown(node))
        return
    yield from _block("class", last, _markdown(node))
    for method in node.body:
        words = {ast.unparse(one) for one in method.decorator_list} if isinstance(method, Function) else {"overload"}
        if not isinstance(method, Function) or method.name.startswith("_") or "overload" in words:
            continue
        if words & {"property", "cached_property", "functools.cached_property"}:
            yield from _block("property", f"{last}.{method.name}", _markdown(method))
        else:
            yield from _block("method", f"{last}.{method.name}({_arguments(method)})", _markdown(method))


def _block(kind: str, signature: str, text: str) -> Iterator[str]:
    yield from (f"````{{py:{kind}}} {signature}", "", text, "````", "")


def _arguments(function: Function) -> str:
    """Its arguments with their defaults, without self and types."""
    given = function.args
    for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))):
        one.annotation = None
    return ast.unparse(given).removeprefix("self").removeprefix("cls").removeprefix(", ")


def _markdown(node: Any) -> str:
    """A docstring whose indented blocks are code."""
    text = ast.get_docstring(node) or ""
    return re.sub(
        r"(?m)(?<=\n\n)((?: {4}.*\n?|\n(?= {4}))+)", lambda block: f"```python\n{_shifted(block[0])}```\n", text
    )


def _shifted(block: str) -> str:
    return "".join(line[4:] + "\n" if line else "\n" for line in block.rstrip().split("\n"))


def setup(app: Any) -> dict[str, bool]:
    """Registers the directive with Sphinx."""
    app.add_directive("api", Api)
    return {"parallel_read_safe": True}
