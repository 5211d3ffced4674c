"""The summary in Markdown: claims as tables, those that failed first with what was found.

Made for ``$GITHUB_STEP_SUMMARY`` and comments: what claims and prompts say stays text, and no more is written than GitHub shows.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from circuitcheck.records.files import write
from circuitcheck.report.claims import Claim, ClaimCollector, LockReport
from circuitcheck.report.escaping import as_code, in_html, in_markdown
from circuitcheck.report.matrix import Column, matrix, told
from circuitcheck.texts import plural
from circuitcheck.units import UNITS, certainty, counted, limit, written

# GitHub shows a step's summary up to a mebibyte, and none at all beyond.
LIMIT = 2**20
_EXPLANATION = 4_000
_SYMBOLS = {
    "supported": "✅",
    "refuted": "❌",
    "inconclusive": "❓",
    "unrefuted": "🔍",
    "undecided": "⚠️",
    "skipped": "⏭️",
    "refuted, as expected": "☑️",
}
_HEAD = "| verdict | claim | effect | threshold | n | model |\n|---|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Block:
    """What is shown whole or not at all; ``claims``: how many it is the row of."""

    text: str
    claims: int = 0


def write_markdown(path: Path, collector: ClaimCollector, lock: LockReport | None) -> None:
    """Write the summary to a file."""
    write(path, summary(collector, lock).encode("utf-8"))


def summary(collector: ClaimCollector, lock: LockReport | None = None, room: int = LIMIT) -> str:
    """The summary, cut with a note where it would take more than ``room`` bytes; empty where there is nothing to tell."""
    claims = list(collector.claims.values())
    if not claims and lock is None:
        return ""
    return _cut(list(_blocks(claims, collector, lock)), len(claims), room)


def _blocks(claims: list[Claim], collector: ClaimCollector, lock: LockReport | None) -> Iterator[Block]:
    failing = [claim for claim in claims if claim.failed or claim.is_off]
    others = [claim for claim in claims if not (claim.failed or claim.is_off)]
    yield Block("## Circuit claims\n\n")
    if lock is not None:
        yield from _of_lock(lock)
    if claims:
        yield Block(_counts(claims, collector))
    yield from _matrix(claims)
    if failing:
        yield Block(f"\n### Not as claimed{' or locked' if any(claim.is_off for claim in failing) else ''}\n\n{_HEAD}")
        yield from (Block(_row(claim), 1) for claim in failing)
        yield Block("\n")
        yield from (Block(_details(claim)) for claim in failing)
    if others:
        yield Block(f"\n### {'As claimed' if not failing else 'The others'}\n\n{_HEAD}")
        yield from (Block(_row(claim), 1) for claim in others)
    reasons = Counter(claim.problem for claim in others if claim.verdict == "skipped")
    if reasons:
        yield Block("\n")
        yield from (Block(f"- {count} skipped: {in_markdown(why, 1_000)}\n") for why, count in reasons.items())


def _of_lock(lock: LockReport) -> Iterator[Block]:
    """What is said of the lock: a sentence, and a list of findings."""
    first, *others = lock.lines
    yield Block(f"{'✅' if lock.holds else '❌'} {as_code(first, 2_000)}\n\n")
    for line in others:
        deep = line.startswith("    ")
        yield Block(f"{'  ' if deep else ''}- {as_code(line.strip(), 2_000)}\n")
    if others:
        yield Block("\n")


def _counts(claims: list[Claim], collector: ClaimCollector) -> str:
    counts = Counter(claim.standing for claim in claims)
    told = " · ".join(f"{_symbol(word)} {count} {word}" for word, count in counts.items())
    models = ", ".join(
        f"{in_markdown(m['name'])} (fingerprint {as_code(m['fingerprint'])})" for m in collector.models()
    )
    return f"{plural(len(claims), 'claim')}: {told}{f'; on {models}' if models else ''}\n\n"


def _row(claim: Claim) -> str:
    name = as_code(claim.nodeid)
    words = f"{in_markdown(claim.title)}<br>{name}" if claim.words.strip() else name
    cells = [f"{_symbol(claim.standing)} {claim.standing}", words, *_found(claim)]
    return f"| {' | '.join(cells)} | {in_markdown(claim.model['name'] if claim.model else '')} |\n"


def _found(claim: Claim) -> tuple[str, str, str]:
    """The effect with its interval, the threshold, n."""
    effect = claim.decisive
    if effect is None:
        return in_markdown(claim.problem), "", ""
    stated = limit(effect["operator"], effect["threshold"], effect["margin"], effect["unit"])
    number = f"{written(effect['estimate'], effect['unit'])} {UNITS[effect['unit']].phrase}".strip()
    if "searched" in effect:
        sure = (
            f"the worst; {effect['searched']['standing']}"
            if effect["searched"]["clean"] is None
            else "a counterexample"
        )
    else:
        sure = certainty(effect["exact"], effect["level"], effect["low"], effect["high"])
    more = claim.more and f",{claim.more}"
    whose = f" for {effect['worst']}" if "worst" in effect else ""
    told = f"{as_code(effect['label'])}: {in_markdown(f'{number}{whose} ({sure}){more}')}"
    return told, in_markdown(stated), in_markdown(counted(effect["n"], effect["counted"]).removeprefix("n="))


def _details(claim: Claim) -> str:
    """What was found of a claim that failed, behind a line to open."""
    told = "\n".join([*(f"lock: {line}" for line in claim.changed), claim.explanation])
    said = told if len(told) <= _EXPLANATION else f"{told[:_EXPLANATION]}…"
    title = f"{_symbol(claim.standing)} {claim.standing}: {in_markdown(claim.title)}"
    # A blank line ends the tag's own block of HTML; that of <pre> goes on to its end, over blank lines.
    name = in_html(f"{claim.nodeid}\n\n")
    return f"<details><summary>{title}</summary>\n\n<pre>{name}{in_html(said)}\n</pre>\n\n</details>\n"


def _matrix(claims: list[Claim]) -> Iterator[Block]:
    """Claims that several models were asked about: one row a test, one column a model."""
    columns, lines = matrix(claims)
    if not lines:
        return
    heads = " | ".join(map(_column, columns))
    yield Block(f"\n### By model\n\n| claim | {heads} |\n|---|{'---|' * len(columns)}\n")
    for line in lines:
        name = in_markdown(line.first.title) if line.first.words.strip() else as_code(line.test)
        yield Block(f"| {name} | {' | '.join(map(_cell, line.cells))} |\n")


def _column(column: Column) -> str:
    """A model's name, and the step of a checkpoint."""
    return in_markdown(column.short) + ("" if column.step is None else f"<br>step {column.step:,}")


def _cell(claim: Claim | None) -> str:
    return "" if claim is None else f"{_symbol(claim.standing)} {in_markdown(told(claim))}"


def _symbol(word: str) -> str:
    if word.endswith((", changed", ", drifted", ", behaviour absent", ", broken")):
        return _SYMBOLS["refuted"]
    return _SYMBOLS.get(word, "⚠️")


def _cut(blocks: list[Block], claims: int, room: int) -> str:
    """As many of the blocks as there is room for, with a note where that is not all of them."""
    texts, used, shown = [], 0, 0
    for block in blocks:
        size = len(block.text.encode("utf-8"))
        if used + size > room - 300:
            left = (
                f"{claims - shown:,} of {plural(claims, 'claim')} {'is' if claims - shown == 1 else 'are'}"
                if claims > shown
                else "the rest is"
            )
            texts.append(f"\n\n**Cut here**, at what GitHub shows of a step (1 MiB): {left} left out.\n")
            break
        texts.append(block.text)
        used, shown = used + size, shown + block.claims
    return "".join(texts)
