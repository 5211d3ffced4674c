"""A file of claims about candidates, for the half of the pairs that they were not found on."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from circuitcheck.errors import MethodError, PromptError
from circuitcheck.finding.claims import Claim, claims_of, other_half, shared
from circuitcheck.finding.measured import Candidate, Measured
from circuitcheck.finding.source import source_of
from circuitcheck.prompts.prompt_pairs import PromptPairs, whole_of
from circuitcheck.records.files import write as write_file
from circuitcheck.version import __version__


def write(
    candidates: Measured, path: str | Path, top: int, pairs: str, other: PromptPairs | None, other_pairs: str
) -> Path:
    """See ``Candidates.write``."""
    file = Path(path)
    if file.exists():
        raise MethodError(f"{file} is there already, and may have been edited: write to another file")
    if not re.fullmatch(r"test_\w+\.py", file.name):
        raise MethodError(f"{file.name} is no file that pytest collects: call it test_{file.stem}.py")
    imports, made = _pairs(candidates.run.pairs, pairs, "PAIRS", file)
    if other is not None:
        more, also = _pairs(other, other_pairs, "OTHER", file)
        imports, made = [*imports, *more], [*made, *also]
    best = _best(candidates, top)
    claims = claims_of(candidates, best, other)
    if not claims:
        raise MethodError(
            f"nothing that was found is large enough, on {len(candidates.pairs)} pairs, to be claimed of others: find with more "
            "pairs=, or look at the table"
        )
    content = _content(candidates, best, claims, imports, made)
    write_file(file, content.encode("utf-8"))
    return file


def _best(candidates: Measured, top: int) -> list[Candidate]:
    return [one for kind in candidates.kinds for one in candidates.top(kind, top)]


def _pairs(pairs: PromptPairs, place: str, name: str, file: Path) -> tuple[list[str], list[str]]:
    """Imports and lines that give the other half a name in capitals."""
    whole, other = whole_of(pairs), other_half(pairs)
    by = f", by={other.description.by!r}" if other.description.by else ""
    split = f'.split("{other.description.half}"{by})'
    if place:
        module, _, variable = place.partition("::")
        if not variable.isidentifier() or Path(module).suffix != ".py":
            raise MethodError(f"pairs are written as FILE.py::NAME, not {place!r}")
        if Path(module).resolve().parent != file.resolve().parent:
            raise MethodError(f"claims that import {variable} from {module} are written next to it, not to {file}")
        dot = "." if (file.parent / "__init__.py").exists() else ""
        return [f"from {dot}{Path(module).stem} import {variable}"], [f"{name} = {variable}{split}"]
    try:
        code = source_of(whole.description if whole is not None else pairs.description)
    except PromptError as error:
        raise PromptError(
            f"{error}: say where they are, pairs='FILE.py::NAME', and write the claims next to that"
        ) from None
    names = [word for word in ("PromptPairs", "contrast") if f"{word}(" in code or f"{word}." in code]
    return [f"from circuitcheck import {', '.join(names)}"], [f"{name} = {code}{split}"]


def _content(
    candidates: Measured,
    best: Sequence[Candidate],
    claims: Sequence[Claim],
    imports: Sequence[str],
    made: Sequence[str],
) -> str:
    found = {one.site: one for one in best}
    there = ", ".join(f"{len(one.components):,} {one.kind}" for one in candidates.attributed)
    lines = [
        '"""Claims about what was found on other pairs: to be read, and edited, before they are believed."""',
        "",
        # Comments, in which what a template says is never Python's.
        f"# written by circuitcheck {__version__}",
        f"# found in   {candidates.run.model.name} ({candidates.fingerprint})",
        f"# found on   {_found_on(candidates)}",
        f"# found by   {_found_by(candidates)}",
        f"# among      {there}",
        f"# claimed of {', '.join(shared(candidates.run.pairs))}",
        "#",
        "# Thresholds are lower prediction limits from the pairs that these were found on alone, the level split over what is claimed.",
        "",
        "import pytest",
        "",
        *dict.fromkeys(imports),
        "",
        *_marked(candidates, claims),
        *made,
    ]
    for number, claim in enumerate(claims):
        name, _ = _slug(claim)
        told = _told(candidates, found[claim.site])
        pairs = "OTHER" if claim.of_other else "PAIRS"
        words = f"{claim.site.granularity} {claim.site} {claim.words}."
        taken = any(other.site != claim.site and _slug(other) == _slug(claim) for other in claims[:number])
        suffix = f"_{number}" if taken else ""
        lines += [
            "",
            "",
            f"@pytest.mark.circuit(found={told!r})",
            f"def test_{name}_{claim.name}{suffix}(model):",
            f'    """{words[0].upper()}{words[1:]}"""',
            f"    assert model.on({pairs}{_asked(candidates)}).{claim.comparison}",
        ]
    return "\n".join([*lines, ""])


def _marked(candidates: Measured, claims: Sequence[Claim]) -> list[str]:
    """The line by which the dictionaries of what is claimed are attached."""
    sites = {(claim.site.layer, claim.site.traits.host) for claim in claims}
    asked = [one.asked for one in candidates.run.model.dictionaries if (one.layer, one.kind) in sites]
    return [f"pytestmark = pytest.mark.circuit(dictionary={asked!r})", ""] if asked else []


def _slug(claim: Claim) -> tuple[str, str]:
    return re.sub(r"\W+", "_", str(claim.site)).strip("_").lower(), claim.name


def _asked(candidates: Measured) -> str:
    """What is said of a run beside its pairs."""
    run = candidates.run
    if not isinstance(run.readout.given, str):
        raise MethodError(f"{run.readout} is a function, which is not written out: find by a readout that has a name")
    readout = "" if run.readout.name == "logit_diff" else f', readout="{run.readout.name}"'
    return readout + (f', at="@{run.read_at}"' if run.where else "")


def _told(candidates: Measured, one: Candidate) -> str:
    """How a component was found, in a line for reports."""
    [kind] = [some for some in candidates.attributed if some.kind == one.kind]
    place = 1 + int((np.abs(kind.at_best) > abs(one.attributed)).sum())
    return (
        f"found on {_found_on(candidates)}, by {_found_by(candidates)}: number {place} of {len(kind.components):,} {kind.kind} "
        f"by attribution; here {', '.join(shared(candidates.run.pairs))}"
    )


def _found_on(candidates: Measured) -> str:
    run = candidates.run
    half, by = run.pairs.description.half, run.pairs.description.by
    parted = f" by {', '.join(by)}" if by else ""
    return f"{len(candidates.pairs)} pairs of the half {half!r}{parted} of {run.pairs!r} ({run.pairs.identity})"


def _found_by(candidates: Measured) -> str:
    steps = f"integrated gradients in {candidates.steps} steps" if candidates.steps > 1 else "attribution patching"
    runs = "1 run" if candidates.runs == 1 else f"{candidates.runs} runs"
    return f"{steps} into the {candidates.into} prompt, then exact patches, in {runs} of find"
