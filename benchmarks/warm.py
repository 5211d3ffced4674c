"""What a second run costs, whose numbers are all in the store: seconds, and what it imports; as JSON.

python -m benchmarks.warm                                           # the bundled claims
python -m benchmarks.warm hypotheses/smollm2 --circuit-model=smollm2

What is not of the standard library, and not circuitcheck's or pytest's own, is an import. The first run fills a store of its own.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_HEAVY = ("torch", "transformer_lens", "transformers")
# One run: the time from before pytest is imported until its end, and which packages were imported.
_RUN = """
import json, sys, time
start = time.perf_counter()
import pytest
status = pytest.main(sys.argv[2:])
seconds = time.perf_counter() - start
tops = {name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)}
own = {"circuitcheck", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", *sys.stdlib_module_names}
imported = sorted(top for top in tops - own if not top.startswith(("_", "test_")))
with open(sys.argv[1], "w") as file:
    json.dump({"status": int(status), "seconds": round(seconds, 2), "imports": imported}, file)
"""


def main(given: list[str]) -> int:
    """Run twice, and print both."""
    claims = given or [str(path.relative_to(_ROOT)) for path in sorted(_ROOT.glob("hypotheses/*.py"))]
    with tempfile.TemporaryDirectory() as place:
        options = ["-q", "-p", "no:cacheprovider", f"--circuit-store={place}/evidence.sqlite", *claims]
        runs = [_run(Path(place) / f"{name}.json", options) for name in ("first", "second")]
    first, second = runs
    heavy = sorted(set(_HEAVY) & set(map(str, second["imports"])))
    print(json.dumps({"first": first, "second": second, "heavy": heavy}, indent=2))
    return int(first["status"] or second["status"] or bool(heavy))


def _run(told: Path, options: list[str]) -> dict[str, Any]:
    subprocess.run([sys.executable, "-c", _RUN, str(told), *options], cwd=_ROOT, stdout=subprocess.DEVNULL, check=False)  # noqa: S603
    found: dict[str, Any] = json.loads(told.read_text())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
