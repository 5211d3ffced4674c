"""One page of what a session found: a file that needs nothing else, and lets nothing else run or load."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

import circuitcheck
from circuitcheck.records.files import write
from circuitcheck.records.report_fields import ModelFields
from circuitcheck.report.claims import Claim, ClaimCollector, LockReport
from circuitcheck.report.page.content import STATES, Row, model_names, rows_of
from circuitcheck.report.page.details import side_by_side
from circuitcheck.report.page.models import by_step, compared, described
from circuitcheck.report.page.variables import carried
from circuitcheck.settings import Settings
from circuitcheck.texts import encodable, plural, printable

_HERE = Path(__file__).parent


def write_page(path: Path, collector: ClaimCollector, config: pytest.Config, lock: LockReport | None = None) -> None:
    """Write the page of a session; what was at the path stays as it was until all is written."""
    claims = list(collector.claims.values())
    text = page(claims, collector.models(), asked_for(config), datetime.now().astimezone(), lock)
    write(path, encodable(text).encode("utf-8"))


def asked_for(config: pytest.Config) -> dict[str, str]:
    """The settings that decide what is drawn, as they were for the session."""
    defaults = {name: getattr(Settings, name) for name in ("seed", "alpha", "budget", "bound")}
    given = {name: config.getoption(f"circuit_{name}") or config.getini(f"circuit_{name}") for name in defaults}
    return {name: str(given[name] or default) for name, default in defaults.items()}


def page(
    claims: Sequence[Claim],
    models: Sequence[ModelFields],
    settings: Mapping[str, str],
    when: datetime,
    lock: LockReport | None = None,
) -> str:
    """The page's text: the same for the same claims, but for its date."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style, script = (_ours(name) for name in ("page.css", "page.js"))
    environment.filters["described"] = described
    rows, models = rows_of(claims), by_step(models)
    asked, matrix = compared(rows, models)
    return environment.get_template("page.html").render(
        style=style,
        script=script,
        policy=_policy(style, script),
        rows=rows,
        counts=_counts(rows),
        symbols=STATES,
        headline=headline(rows, lock),
        lock=lock,
        models=models,
        names=model_names(claims),
        files=list(dict.fromkeys(row.file for row in rows)),
        asked=asked,
        matrix=matrix,
        carried=carried(rows),
        settings=settings,
        when=when,
        version=circuitcheck.__version__,
        side_by_side=side_by_side,
    )


def headline(rows: Sequence[Row], lock: LockReport | None = None) -> str:
    """The outcome of the session in a sentence; where the lock does not hold, it says so."""
    told = _of_claims(rows)
    if lock is None:
        return told
    return f"{told}; {lock.lines[0].removeprefix('lock: ').splitlines()[0]}"


def _of_claims(rows: Sequence[Row]) -> str:
    made = [row for row in rows if row.state != "skipped"]
    failing = sum(row.claim.failed for row in made)
    if not rows:
        return "No claim was made"
    if not made:
        return "Every claim was skipped"
    if failing:
        return f"{failing:,} of {plural(len(made), 'claim')} {'fails' if failing == 1 else 'fail'}"
    return "The claim came out as stated" if len(made) == 1 else f"All {len(made):,} claims came out as stated"


def _counts(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """How many claims there are in each state, in the order of states."""
    counts = Counter(row.state for row in rows)
    return sorted(counts.items(), key=lambda one: list(STATES).index(one[0]) if one[0] in STATES else len(STATES))


def _ours(name: str) -> Markup:
    """A style sheet or script of this folder, as it is."""
    return Markup((_HERE / name).read_text(encoding="utf-8"))  # noqa: S704


def _policy(style: str, script: str) -> str:
    """A content security policy under which this style sheet and this script are all that there is."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    allowed = f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _shown(value: object) -> object:
    """What an expression of a template puts out: the user's texts with signs for characters that HTML does not take."""
    return printable(value) if type(value) is str else value
