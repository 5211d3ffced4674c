"""The command line beside the plugin.

circuitcheck doctor     how often verdicts are wrong under given settings, and how many pairs they take
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitcheck.settings import Settings

_QUICK, _FULL = 2_000, 20_000


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what the program returns to the shell."""
    parser = argparse.ArgumentParser(
        prog="circuitcheck", description="pytest for circuit hypotheses: the tools beside it"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="measure how often verdicts are wrong, and how many pairs they take")
    doctor.add_argument("--alpha", type=float, help="error rate of an effect (default 0.05)")
    doctor.add_argument("--budget", type=int, help="pairs drawn at most (default 1024)")
    doctor.add_argument("--bound", type=float, help="mean gaps that one pair counts for at most (default 2)")
    doctor.add_argument("--full", action="store_true", help=f"{_FULL:,} simulated claims a shape, not {_QUICK:,}")
    doctor.add_argument("--claims", type=int, help="simulated claims a shape")
    doctor.add_argument("--json", type=Path, metavar="PATH", help="write what was found as JSON")
    given = parser.parse_args(arguments)
    try:
        settings = _settings(given)
    except ValueError as error:
        doctor.error(str(error))
    return _doctor(settings, given.claims or (_FULL if given.full else _QUICK), given.json)


def _settings(given: argparse.Namespace) -> "Settings":
    from circuitcheck.settings import Settings

    named = {name: getattr(given, name) for name in ("alpha", "budget", "bound") if getattr(given, name) is not None}
    settings = Settings(**named)
    if not 0 < settings.alpha < 0.5:
        raise ValueError(f"--alpha is a number between 0 and 0.5, not {settings.alpha:g}")
    if settings.budget < 32:
        raise ValueError(f"--budget is at least 32 pairs, not {settings.budget}")
    if not 0.1 < settings.bound < 100:
        raise ValueError(f"--bound is a number between 0.1 and 100, not {settings.bound:g}")
    return settings


def _doctor(settings: "Settings", claims: int, path: Path | None) -> int:
    from circuitcheck import doctor

    found = []
    shapes = [*doctor.shapes(), *doctor.of_planted(), doctor.of_bundled()]
    for number, shape in enumerate(shapes, start=1):
        print(f"{number} of {len(shapes)}: {shape.name}", file=sys.stderr, flush=True)
        found.append(doctor.examine(shape, settings, claims))
    print(doctor.as_markdown(settings, found))
    if path is not None:
        path.write_text(json.dumps(doctor.as_json(settings, found), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
