"""The table of docs/reference/models.md: which architectures agree, and which are refused and why.

print(as_markdown(findings))
write(Path("docs/reference/models.md"), findings)    # between its two marks
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from differential.comparison import GROUPS, Finding
from differential.configurations import ARCHITECTURES, left_out

BEGIN, END = "<!-- made by `make differential` -->", "<!-- end -->"
_LONGEST = 150


def as_markdown(findings: Mapping[str, Sequence[Finding]]) -> str:
    """The table, its reasons by number, and what is not in it."""
    reasons: list[str] = []
    lines = [f"| architecture | {' | '.join(GROUPS)} |", "|---|" + "---|" * len(GROUPS)]
    for architecture, found in findings.items():
        cells = [_cell([one for one in found if one.group == group], reasons) for group in GROUPS]
        lines.append(f"| {short(architecture)} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))]
    if set(findings) == set(ARCHITECTURES):
        for reason, names in left_out().items():
            lines += ["", f"Not in the table, since {reason}: {', '.join(names)}."]
    return "\n".join(lines)


def write(page: Path, findings: Mapping[str, Sequence[Finding]]) -> None:
    """Put the table between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{as_markdown(findings)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def rows(markdown: str) -> dict[str, list[str]]:
    """The cells of a table (of a page: of the one between its marks) by architecture, with reasons in the place of their numbers."""
    markdown = markdown.partition(BEGIN)[2].partition(END)[0] if BEGIN in markdown else markdown
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", markdown, re.MULTILINE))
    found = {}
    for line in re.findall(r"^\| (.*) \|$", markdown, re.MULTILINE)[1:]:
        name, *cells = line.split(" | ")
        found[name] = [re.sub(r"\((\d+(, \d+)*)\)", lambda of: _named(of[1], reasons), cell) for cell in cells]
    return found


def _named(numbers: str, reasons: Mapping[str, str]) -> str:
    return f"({'; '.join(reasons[number] for number in numbers.split(', '))})"


def short(architecture: str) -> str:
    """An architecture's name without what all have in common."""
    return re.sub(r"(ForCausalLM|LMHeadModel)$", "", architecture)


def _cell(found: Sequence[Finding], reasons: list[str]) -> str:
    """What came of one group: in both dtypes, where that is the same."""
    dtypes = dict.fromkeys(one.dtype for one in found)
    if not found:
        return ""
    cells = {dtype: _outcome([one for one in found if one.dtype == dtype], reasons) for dtype in dtypes}
    if len(set(cells.values())) == 1:
        return next(iter(cells.values()))
    first, *others = cells
    return "; ".join([cells[first], *(f"{dtype}: {cells[dtype]}" for dtype in others)])


def _outcome(found: Sequence[Finding], reasons: list[str]) -> str:
    """Such as "yes", "2 of 3 (4)", "refused (1, 4)"; numbers in brackets are those of reasons."""
    agree = sum(one.outcome == "agrees" for one in found)
    if agree == len(found):
        return "yes"
    for outcome, word in (("differs", "WRONG"), ("error", "ERROR")):
        if count := sum(one.outcome == outcome for one in found):
            return f"**{word}: {count} of {len(found)}**"
    numbers = []
    for reason in dict.fromkeys(shortened(one) for one in found if one.outcome != "agrees"):
        if reason not in reasons:
            reasons.append(reason)
        numbers.append(reasons.index(reason) + 1)
    kinds = {one.outcome for one in found}
    word = f"{agree} of {len(found)}" if agree else "refused" if kinds == {"refused"} else "not compared"
    return f"{word} ({', '.join(map(str, sorted(numbers)))})"


def shortened(finding: Finding) -> str:
    """The first sentence of a refusal, without the model's name, its address and its numbers."""
    reason = finding.reason.splitlines()[0] if finding.reason else ""
    reason = re.sub(rf"\b{finding.architecture}\b", "the model", reason)
    reason = re.sub(r"\bL\d+\.[A-Z0-9.]+\b", "it", reason)
    reason = re.sub(r"\bof layer \d+ shows \w+", "shows it", re.sub(r"\bblocks\.\d+", "blocks.*", reason))
    reason = re.split(r": on \d+ tokens|; |: hold the scales| \(.*", reason)[0]
    if len(reason) > _LONGEST:
        reason = reason[:_LONGEST].rpartition(" ")[0] + " ..."
    return f"{'not compared: ' if finding.outcome == 'not compared' else ''}{reason.strip()}"
