"""The closing section: one line a claim."""

from collections import Counter
from typing import Any, cast

import pytest

from circuitcheck.claims.measuring.rank_words import place
from circuitcheck.experiments.mutants import OUTCOMES
from circuitcheck.report.claims import Claim, ClaimCollector, established
from circuitcheck.report.matrix import Line, matrix, told
from circuitcheck.texts import plain, plural
from circuitcheck.units import certainty, counted, statement, unseen, written

_COLOURS = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "unrefuted": "cyan", "undecided": "red"}
_COLOURS["skipped"] = "yellow"
UNTOUCHED = "the untouched model's"
# Of a claim's words, what its row among several models shows; a line that is no trouble to read, and to a file.
_CLAIM, _WIDE = 60, 100


class PlainTerminal:
    """A terminal on which what claims, prompts and other people's files say is text, whatever is in it."""

    def __init__(self, terminal: pytest.TerminalReporter):
        self._terminal = terminal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)

    def write_line(self, line: str, **markup: bool) -> None:
        self._terminal.write_line(plain(line), **markup)


def write_summary(terminal: pytest.TerminalReporter, collector: ClaimCollector, fdr: float | None = None) -> None:
    """Write the section, or nothing where no claim was made."""
    claims = list(collector.claims.values())
    if not claims:
        return
    terminal = cast(pytest.TerminalReporter, PlainTerminal(terminal))
    terminal.section("circuit claims")
    terminal.ensure_newline()
    _write_matrix(terminal, claims)
    for claim in claims:
        _write_claim(terminal, claim)
    counts = Counter(f"{claim.verdict}{', as expected' if claim.outcome == 'xfailed' else ''}" for claim in claims)
    models = "; ".join(f"{model['name']} (fingerprint {model['fingerprint']})" for model in collector.models())
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    terminal.write_line(
        f"{plural(len(claims), 'claim')}: {summary}{f' on {models}' if models else ''}{_alphas(claims)}{_seeds(collector)}"
    )
    for model in collector.models():
        if model["engine"] != "cone":
            terminal.write_line(f"{model['name']} was run by {model['engine']}")
        if (base_run := model.get("base_run", UNTOUCHED)) != UNTOUCHED:
            terminal.write_line(f"what {model['name']} says was {base_run}")
    for (name, words), tests in collector.changed.items():
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        terminal.write_line(
            f"{name} was not as it was loaded ({words}) in {tests[0]}{more}: nothing of that is remembered"
        )
    for message in collector.of_store:
        terminal.write_line(f"store: {message}")
    for line in collector.unwritten:
        terminal.write_line(line)
    _write_reasons(terminal, claims)
    if fdr is not None:
        _write_established(terminal, collector, fdr)
    _write_mutants(terminal, claims)


def _write_claim(terminal: pytest.TerminalReporter, claim: Claim) -> None:
    """A line: the verdict, with how it compares to the lock's; what was found; the claim in words."""
    expected = claim.outcome == "xfailed"
    verdict = f"{claim.verdict}{', as expected' if expected else ''}{f', {claim.lock_state}' if claim.is_off else ''}"
    colour = "red" if claim.is_off else "yellow" if expected else _COLOURS[claim.verdict]
    terminal.write(f"{verdict:<13} ", **{colour: True})
    terminal.write_line(_fitted(_found(claim), claim.title, len(f"{verdict:<13} "), terminal))


def _write_matrix(terminal: pytest.TerminalReporter, claims: list[Claim]) -> None:
    """Claims by model, where several models were asked: what is too wide for a line is written below each other."""
    columns, lines = matrix(claims)
    if not lines:
        return
    rows = [["", *(column.short for column in columns)]]
    rows += [[_short(_about(line)), *map(told, line.cells)] for line in lines]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    terminal.write_line("by model")
    if sum(widths) + 2 * len(widths) <= max(terminal._tw.fullwidth, _WIDE):
        for row in rows:
            terminal.write_line("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
        return
    width = max(map(len, rows[0]))
    for line in lines:
        terminal.write_line(f"  {_about(line)}")
        for column, claim in zip(columns, line.cells, strict=True):
            terminal.write_line(f"    {column.short:<{width}}  {told(claim)}")


def _about(line: Line) -> str:
    """A row's claim in words, or its test's name without a model's."""
    return line.first.title if line.first.words else line.test.rpartition("::")[2]


def _short(words: str) -> str:
    return words if len(words) <= _CLAIM else f"{words[: _CLAIM - 1]}…"


def _alphas(claims: list[Claim]) -> str:
    """At which error rates those claims were decided that rest on a sample."""
    effects = [effect for claim in claims for effect in claim.effects]
    sampled = [1 - effect["level"] for effect in effects if not effect["exact"] and "searched" not in effect]
    if not sampled:
        return ""
    rates = " and ".join(f"{rate:.3g}" for rate in sorted(set(sampled)))
    return f"; {len(sampled)} of {plural(len(effects), 'effect')} decided from samples, each at alpha {rates}"


def _seeds(collector: ClaimCollector) -> str:
    """Under which seeds pairs were drawn."""
    seeds = sorted({model["seed"] for model in collector.models()})
    return f"; --circuit-seed={' and '.join(seeds)}" if seeds else ""


def _write_reasons(terminal: pytest.TerminalReporter, claims: list[Claim]) -> None:
    """Why claims were skipped: many share a reason."""
    for reason, count in Counter(claim.problem for claim in claims if claim.verdict == "skipped").items():
        terminal.write_line(f"{count} skipped: {reason}")


def _write_established(terminal: pytest.TerminalReporter, collector: ClaimCollector, fdr: float) -> None:
    """Which claims stand, all of them taken together."""
    found = {claim.nodeid for claim in established(collector, fdr)}
    decided = [claim for claim in collector.claims.values() if claim.outcome != "skipped"]
    terminal.write_line(
        f"{len(found)} of {plural(len(decided), 'claim')} {'is' if len(decided) == 1 else 'are'} established at a false discovery rate of {fdr:g} (e-BH)"
    )
    for claim in decided:
        if claim.verdict == "supported" and claim.nodeid not in found:
            terminal.write_line(f"  not established: {claim.title} (e-value {claim.e_value:.3g})")


def _write_mutants(terminal: pytest.TerminalReporter, claims: list[Claim]) -> None:
    """How many mutants were killed, and each one that was not."""
    found = [(claim, name.replace("_", " "), what) for claim in claims for name, what in claim.mutants.items()]
    if not found:
        return
    counts = Counter(what for _, _, what in found)
    terminal.write_line("mutants: " + ", ".join(f"{counts[what]} {what}" for what in OUTCOMES if counts[what]))
    for what in ("survived", "inconclusive"):
        for claim, name, outcome in found:
            if outcome == what:
                terminal.write_line(f"  {what}: {name}: {claim.title} ({claim.nodeid})")


def _found(claim: Claim) -> str:
    effect = claim.decisive
    if claim.verdict == "skipped":
        return ""
    if effect is None:
        return f"{claim.outcome}: {claim.problem or 'no comparison was decided'}"
    more = claim.more
    stated = statement(effect["label"], effect["operator"], effect["threshold"], effect["margin"], effect["unit"])
    sure = certainty(effect["exact"], effect["level"], effect["low"], effect["high"])
    if "searched" in effect:
        searched = effect["searched"]
        found = searched["standing"] if searched["clean"] is None else repr(searched["clean"])
        return f"{stated}: {written(effect['estimate'], effect['unit'])}: {found}{more}"
    if effect["examples"] > 1:
        sure = f"the last of {effect['examples']} examples"
    whose = f" for {effect['worst']}" if "worst" in effect else ""
    found = f"{written(effect['estimate'], effect['unit'])}{whose}"
    controls = effect.get("controls")
    rank = f", {place(controls)}" if controls else ""
    at = "verdict" if effect["stopped"] == "verdict" else None
    many = counted(effect["n"], effect["counted"], at)
    if effect["verdict"] == "supported":
        many += unseen(effect["clipped"], effect["unseen"])
    return f"{stated}: {found} ({sure}, {many}{rank}, {claim.model['name'] if claim.model else '?'}){more}"


def _fitted(found: str, words: str, used: int, terminal: pytest.TerminalReporter) -> str:
    """The finding and the claim's words; on a screen, as much of the words as its line holds (at least a few)."""
    room = max(terminal._tw.fullwidth - used - len(found) - 3, 24)
    fits = len(words) <= room or not terminal.isatty
    shown = words if fits else words[: room - 1] + "…"
    return f"{found}  {shown}" if found else shown
