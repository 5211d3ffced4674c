"""The house in numbers and in one picture: modules, folders, circles, the longest files, and the way of one claim.

    python tools/house.py                    # of the tree that this file is in
    python tools/house.py ../another/tree    # of another one, such as a worktree of an earlier commit
    python tools/house.py --picture          # the rooms as a Mermaid graph, as docs/explanation/architecture.md has it

All imports are counted: those inside functions and those for types alone too. The way is that of `patch("L1.N8") > 0.4` on nine
pairs of the bundled model: which modules are entered, and how many frames deep the first write is.
"""

import argparse
import ast
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "circuitcheck"
Graph = dict[str, set[str]]

_WAY = """
import json, sys
from circuitcheck import PromptPairs, contrast, load

pairs = PromptPairs(
    "I climbed up the {fruit} tree and picked", answer=" an", foil=" a",
    fruit=contrast(clean=["apple", "olive", "orange"], corrupt=["lemon", "peach", "pear"]),
)
run, entered, deepest = load("bundled").on(pairs), {}, []

def trace(frame, event, _):
    module = frame.f_globals.get("__name__") or ""
    if module.startswith("circuitcheck"):
        entered[module] = None
        if not deepest and frame.f_code.co_name in ("write", "_write", "__call__") and module.endswith("writes"):
            depth, above = 0, frame
            while above is not None:
                depth, above = depth + ("circuitcheck" in above.f_globals.get("__name__", "")), above.f_back
            deepest.append(depth)

sys.setprofile(trace)
verdict = run.patch("L1.N8") > 0.4
sys.setprofile(None)
print(json.dumps({"pairs": verdict.measurement.n, "entered": list(entered), "depth": deepest}))
"""


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    parser.add_argument("--picture", action="store_true")
    given = parser.parse_args()
    modules = modules_of(given.tree)
    graph = imports(modules)
    print(picture(rooms(graph)) if given.picture else told(given.tree, modules, graph))


def modules_of(tree: Path) -> dict[str, Path]:
    """The files of the package by their module's name."""
    found = {}
    for path in sorted((tree / PACKAGE).rglob("*.py")):
        parts = path.relative_to(tree).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(modules: dict[str, Path]) -> Graph:
    """Which modules each one imports, anywhere in it; the package itself, which hands names on, is left out."""
    graph: Graph = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[name] = {other for other in _imported(tree, modules) if other not in (name, PACKAGE)}
    del graph[PACKAGE]
    return graph


def _imported(tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def circles(graph: Graph) -> list[list[str]]:
    """Modules that import each other, in groups: the strongly connected components of more than one (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            place = stack.index(name)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                found.append(sorted(group))

    sys.setrecursionlimit(10_000)
    for name in graph:
        if name not in order:
            visit(name)
    return sorted(found, key=len, reverse=True)


def rooms(graph: Graph) -> Graph:
    """The same of the rooms: folders and modules of the top folder."""
    found: Graph = defaultdict(set)
    for name, others in graph.items():
        room = name.split(".")[1]
        found[room] |= {other.split(".")[1] for other in others} - {room}
    return dict(found)


def picture(graph: Graph) -> str:
    """Rooms and their imports, without those that a longer way shows, as a Mermaid graph."""

    def reached(start: str, over: str) -> bool:
        """Whether there is a way to a room by another one."""
        seen, waiting = set[str](), [other for other in graph[start] if other != over]
        while waiting:
            room = waiting.pop()
            if room == over:
                return True
            if room not in seen:
                seen.add(room)
                waiting += graph.get(room, ())
        return False

    lines = ["graph TD"]
    for room in sorted(graph):
        lines += [f"    {room} --> {other}" for other in sorted(graph[room]) if not reached(room, other)]
    return "\n".join(lines)


def told(tree: Path, modules: dict[str, Path], graph: Graph) -> str:
    """All of it in words."""
    folders: dict[Path, int] = defaultdict(int)
    for path in modules.values():
        folders[path.parent.relative_to(tree)] += 1
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules.items()}
    longest = sorted(lengths, key=lambda name: lengths[name], reverse=True)[:5]
    way = json.loads(
        subprocess.run([sys.executable, "-c", _WAY], cwd=tree, check=True, capture_output=True, text=True).stdout  # noqa: S603
    )
    found = circles(graph)
    lines = [
        f"modules   {len(modules)}, {sum(lengths.values()):,} lines",
        "folders   " + ", ".join(f"{folder} {count}" for folder, count in sorted(folders.items())),
        f"circles   {len(found)}" + (f", of {', '.join(str(len(group)) for group in found)} modules" if found else ""),
        "longest   " + ", ".join(f"{name} {lengths[name]}" for name in longest),
        f"one claim {len(way['entered'])} modules entered, first write {way['depth'][0]} frames deep ({way['pairs']} pairs)",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
