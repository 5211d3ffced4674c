"""The table, as Markdown."""

from typing import Any


def as_markdown(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [
        f"{found['date']}, {found['machine']}; {versions}; median of {found['runs']} alternating runs (lowest-highest)"
    ]
    for shape, rows in found["tables"].items():
        names = list(rows[0]["times"])
        lines += [
            "",
            f"### {shape} shape, random weights",
            "",
            "| work | " + " | ".join(names) + " | ratio | share of the limit |",
        ]
        lines.append("|---|" + "---|" * (len(names) + 2))
        for row in rows:
            cells = [_cell(row["times"][name], row["scaled"] and name != names[0]) for name in names]
            lines.append(f"| {row['work']} | {' | '.join(cells)} | **{row['ratio']:.0f}x** | {row['share']:.0%} |")
        swept = rows[-1]
        kept, grown = swept["memory"] / 2**20, swept["grown"] / 2**20
        lines += ["", f"The sweep ran under `--circuit-memory={kept:.0f}MB`; the process' peak grew by {grown:.0f} MB."]
    lines += ["", "\\* claims timed on a few of them, and scaled to all."]
    return "\n".join(lines)


def _cell(times: dict[str, float], scaled: bool) -> str:
    star = r"\*" if scaled else ""
    return f"{_seconds(times['median'])}{star} ({_seconds(times['low'])}-{_seconds(times['high'])})"


def _seconds(time: float) -> str:
    if time < 1:
        return f"{1000 * time:.0f} ms"
    return f"{time:.1f} s" if time < 100 else f"{time:,.0f} s"
